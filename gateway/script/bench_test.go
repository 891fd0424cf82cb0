package script_test

import (
	"context"
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
)

// push makes a body like that of GitHub's push event, of about 7 KB: its field names
// (https://docs.github.com/en/webhooks/webhook-events-and-payloads#push) with made-up values.
func push() []byte {
	user := func(name string) map[string]any {
		u := map[string]any{"login": name, "id": 21031067, "node_id": "MDQ6VXNlcjIxMDMxMDY3", "avatar_url": "https://avatars.example/u/21031067?v=4", "type": "User", "site_admin": false}
		for _, k := range []string{"url", "html_url", "followers_url", "gists_url", "starred_url", "subscriptions_url", "organizations_url", "repos_url", "events_url", "received_events_url"} {
			u[k] = "https://api.example/users/" + name + "/" + k
		}
		return u
	}
	repository := map[string]any{
		"id": 186853002, "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=", "name": "Hello-World", "full_name": "octocat/Hello-World", "private": false, "owner": user("octocat"),
		"description": nil, "fork": false, "created_at": 1557933565, "updated_at": "2026-05-15T15:20:41Z", "pushed_at": 1557933657, "size": 0, "stargazers_count": 0, "watchers_count": 0,
		"language": "Ruby", "has_issues": true, "has_projects": true, "has_wiki": true, "license": nil, "default_branch": "main", "topics": []string{"octocat", "api"},
	}
	for i := range 26 {
		k := fmt.Sprintf("resource_%02d_url", i)
		repository[k] = "https://api.example/repos/octocat/Hello-World/" + k + "{/sha}"
	}
	commit := func(id string) map[string]any {
		person := map[string]any{"name": "Monalisa Octocat", "email": "octocat@example.com", "username": "octocat"}
		return map[string]any{"id": id, "tree_id": id, "distinct": true, "message": "Update README.md: \"quotes\" and é", "timestamp": "2026-05-15T15:20:33Z",
			"url": "https://example.com/octocat/Hello-World/commit/" + id, "author": person, "committer": person, "added": []string{"a.txt"}, "removed": []string{}, "modified": []string{"README.md", "src/main.go"}}
	}
	b, err := json.Marshal(map[string]any{
		"ref": "refs/heads/main", "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "after": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c", "created": false, "deleted": false, "forced": false,
		"base_ref": nil, "compare": "https://example.com/octocat/Hello-World/compare/6113728f27ae...0d1a26e67d8f", "repository": repository, "pusher": map[string]any{"name": "octocat", "email": "octocat@example.com"},
		"sender": user("octocat"), "commits": []any{commit("0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"), commit("1d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c")}, "head_commit": commit("0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"),
	})
	if err != nil {
		panic(err)
	}
	return b
}

// prepare makes an engine, a program of code and what it is to be called with.
func prepare(b testing.TB, code string) (script.Engine, *script.Program, *script.HandleInput) {
	b.Helper()
	p, list := script.Build(script.Source{Connector: "github", Function: "handle", Code: code, File: "github.yml", Line: 1, Column: 1})
	if p == nil {
		b.Fatal(list)
	}
	e := script.NewInProcess(script.Options{})
	b.Cleanup(func() { _ = e.Close() })
	text := push()
	in := &script.HandleInput{
		Request: &hook.Request{
			ID: "req_1", Workspace: "demo", Integration: "github", Webhook: "events", Connector: "github", Method: "POST", URL: "https://hooks.example/demo/github/events/token",
			Headers: hook.Headers{{Name: "Host", Value: "hooks.example"}, {Name: "User-Agent", Value: "GitHub-Hookshot/044aadd"}, {Name: "Content-Length", Value: "7000"}, {Name: "Accept", Value: "*/*"}, {Name: "Content-Type", Value: "application/json"},
				{Name: "X-GitHub-Delivery", Value: "72d3162e-cc78-11e3-81ab-4c9367dc0958"}, {Name: "X-GitHub-Event", Value: "push"}, {Name: "X-GitHub-Hook-ID", Value: "292430182"}, {Name: "X-Hub-Signature-256", Value: "sha256=d57c68ca6f92289e6987922ff26938930f6e66a2d161ef06abdf1859230aa23c"}},
			Body: text, ReceivedAt: time.Now(),
		},
		Body: body.Parse("application/json", text), Parameters: json.RawMessage(`{"secret":"s3cr3t"}`),
	}
	if _, err := e.Handle(context.Background(), p, in); err != nil {
		b.Fatal(err)
	}
	return e, p, in
}

func benchmark(b *testing.B, code string) {
	b.Helper()
	e, p, in := prepare(b, code)
	b.ReportAllocs()
	b.ResetTimer()
	var before, after syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if _, err := e.Handle(context.Background(), p, in); err != nil {
			b.Fatal(err)
		}
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	// Processor time, the garbage collector's included; steadier than the
	// clock where other programs run.
	cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(cpu)/float64(b.N)/1e3, "cpu-us/op")
}

// passThrough reads three fields and passes the whole body on.
const passThrough = `export default function handle({ data, headers }) {
	const type = headers["x-github-event"], repo = data.repository.full_name
	return { events: [{ selector: type + "/" + repo, payload: data, id: headers["x-github-delivery"] }, { selector: "ref/" + data.ref, payload: data }] }
}`

// TestAllocations holds how much a call allocates, which unlike time does not depend on the machine: most of what a call
// costs, it costs by allocating.
func TestAllocations(t *testing.T) {
	for name, c := range map[string]struct {
		limit float64
		code  string
	}{
		"nothing":      {66, `export default function handle() {}`},
		"pass-through": {236, passThrough},
		"changed":      {352, `export default function handle({ data }) { data.seen = true; return { events: [{ selector: "a", payload: data }, { selector: "b", payload: data }] } }`},
	} {
		e, p, in := prepare(t, c.code)
		n := testing.AllocsPerRun(100, func() {
			if _, err := e.Handle(context.Background(), p, in); err != nil {
				t.Fatal(err)
			}
		})
		if n > c.limit {
			t.Errorf("%s: %v allocations, more than %v", name, n, c.limit)
		} else {
			t.Logf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkHandle is one call: a push of 7 KB becomes two events with it as their payload.
func BenchmarkHandle(b *testing.B) {
	for name, code := range map[string]string{
		"pass-through": passThrough,
		"async": `export default async function handle({ data, headers }) {
			return { events: [{ selector: headers["x-github-event"] + "/" + data.repository.full_name, payload: data }, { selector: "ref/" + data.ref, payload: data }] }
		}`,
		"changed": `export default function handle({ data }) {
			data.seen = true
			return { events: [{ selector: "a/" + data.repository.full_name, payload: data }, { selector: "ref/" + data.ref, payload: data }] }
		}`,
		"part": `export default function handle({ data }) {
			return { events: [{ selector: "push", payload: { commits: data.commits, by: data.sender.login } }] }
		}`,
		"nothing": `export default function handle() {}`,
		"console": `export default function handle({ headers }) { console.log("got", headers["x-github-event"]) }`,
		"crypto":  `import { createHash } from "crypto"; export default function handle({ rawBytes }) { return { response: { data: createHash("sha256").update(rawBytes).digest("hex") } } }`,
	} {
		b.Run(name, func(b *testing.B) { benchmark(b, code) })
	}
}

// BenchmarkBuild is the bundling of a small function.
func BenchmarkBuild(b *testing.B) {
	dir := folder(b, map[string]string{"handle.ts": "import { scope } from 'common'\nexport default async function handle({ data }: any) { return { events: [{ selector: scope(data), payload: data }] } }", "common.ts": "export const scope = (d: any) => `order.${d.type}/${d.shop}`"})
	for b.Loop() {
		if p, list := script.Build(script.Source{Function: "handle", Root: dir, Entry: "handle.ts"}); p == nil {
			b.Fatal(list)
		}
	}
}
