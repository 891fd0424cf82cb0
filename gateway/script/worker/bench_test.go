package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchhook/gateway/body"
	"switchhook/gateway/hook"
	"switchhook/gateway/script"
	"switchhook/gateway/script/worker"
)

// pushBody is JSON of about 7 KB in the shape of a push.
func pushBody() []byte {
	var b bytes.Buffer
	b.WriteString(`{"ref":"refs/heads/main","after":"0d1a26e67d8f5eaf","repository":{"id":186853002,"full_name":"octocat/Hello-World"},"commits":[`)
	for i := range 20 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%040x","message":"Mend the thing that was broken in the place where it broke","timestamp":"2026-01-02T03:04:05Z",`+
			`"author":{"name":"Mona Lisa","email":"mona@example.com","username":"octocat"},"added":["README.md"],"removed":[],"modified":["src/main.go","src/main_test.go"]}`, i)
	}
	b.WriteString(`],"sender":{"login":"octocat","id":1}}`)
	return b.Bytes()
}

func pushInput() *script.HandleInput {
	text := pushBody()
	return &script.HandleInput{
		Request: &hook.Request{ID: "req_1", Workspace: "demo", Integration: "github", Webhook: "events", Connector: "github", Method: "POST", URL: "https://hooks.example/demo/github/events/token",
			Headers: hook.Headers{{Name: "Host", Value: "hooks.example"}, {Name: "User-Agent", Value: "GitHub-Hookshot/044aadd"}, {Name: "Content-Type", Value: "application/json"}, {Name: "X-GitHub-Event", Value: "push"}},
			Body:    text, ReceivedAt: time.Now()},
		Body: body.Parse("application/json", text), Parameters: json.RawMessage(`{"secret":"s3cr3t"}`),
	}
}

func build(t testing.TB, connector, code string) *script.Program {
	t.Helper()
	p, list := script.Build(script.Source{Connector: connector, Function: "handle", Code: code, File: connector + ".yml", Line: 1, Column: 1})
	if p == nil {
		t.Fatal(list)
	}
	return p
}

const pushCode = `export default function handle({ data, headers }) {
	return { events: [
		{ selector: headers["x-github-event"] + "/" + data.repository.full_name, payload: data },
		{ selector: "ref/" + data.ref, payload: { head: data.after, by: data.sender.login } } ] }
}`

// cpuTicks is the processor time of this process and its living children, in seconds.
func cpuSeconds(t testing.TB) float64 {
	t.Helper()
	total := ticks("self")
	for _, pid := range children() {
		total += ticks(pid)
	}
	return total / 100
}

func ticks(pid string) float64 {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return user + system
}

// children are the processes that this one has started.
func children() []string {
	var pids []string
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		pids = append(pids, strings.Fields(string(b))...)
	}
	return pids
}

// BenchmarkLoad is the handler alone, in process and in workers: 64 callers, a push of
// 7 KB that becomes two events, of one connector or of many.
func BenchmarkLoad(b *testing.B) {
	for _, connectors := range []int{1, 16} {
		var programs []*script.Program
		for i := range connectors {
			programs = append(programs, build(b, fmt.Sprintf("github%d", i), pushCode))
		}
		in := pushInput()
		for name, e := range map[string]func() script.Engine{
			"in-process": func() script.Engine { return script.NewInProcess(script.Options{}) },
			"process":    func() script.Engine { return engine(b, worker.Options{}) },
		} {
			b.Run(fmt.Sprintf("%s/connectors=%d", name, connectors), func(b *testing.B) {
				e := e()
				defer e.Close()
				todo := make(chan int, 64)
				var callers sync.WaitGroup
				for range 64 {
					callers.Go(func() {
						for i := range todo {
							r, err := e.Handle(context.Background(), programs[i%connectors], in)
							if err != nil || len(r.Events) != 2 {
								b.Errorf("%+v %v", r, err)
								return
							}
						}
					})
				}
				before := cpuSeconds(b)
				b.ResetTimer()
				for i := range b.N {
					todo <- i
				}
				close(todo)
				callers.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				b.ReportMetric((cpuSeconds(b)-before)*1e6/float64(b.N), "cpu-µs/call")
			})
		}
	}
}
