package sqlite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"switchhook/gateway/hook"
	"switchhook/gateway/store"
)

// realPush has the shape, size and entropy of a push from GitHub: hashes that do not repeat, URLs that do.
func realPush() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	hex := func(n int) string {
		s := ""
		for len(s) < n {
			s += fmt.Sprintf("%016x", r.Uint64())
		}
		return s[:n]
	}
	words := []string{"fix", "the", "parser", "when", "a", "header", "is", "missing", "add", "tests", "for", "retry", "remove", "unused", "release", "version", "merge", "branch", "update", "docs", "bump", "dependency", "server", "client", "timeout"}
	msg := func() string {
		s := ""
		for range 4 + r.IntN(9) {
			s += words[r.IntN(len(words))] + " "
		}
		return s
	}
	type o = map[string]any
	user := o{"login": "Codertocat", "id": 21031067, "node_id": "MDQ6VXNlcjIxMDMxMDY3", "avatar_url": "https://avatars1.githubusercontent.com/u/21031067?v=4", "url": "https://api.github.com/users/Codertocat", "html_url": "https://github.com/Codertocat", "followers_url": "https://api.github.com/users/Codertocat/followers", "gists_url": "https://api.github.com/users/Codertocat/gists{/gist_id}", "type": "User", "site_admin": false}
	var commits []o
	for range 11 {
		id := hex(40)
		commits = append(commits, o{"id": id, "tree_id": hex(40), "distinct": true, "message": msg(), "timestamp": fmt.Sprintf("2026-11-%02dT%02d:%02d:%02d+01:00", 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60)), "url": "https://github.com/Codertocat/Hello-World/commit/" + id,
			"author": o{"name": "Mona Lisa", "email": "mona@example.com", "username": "octocat"}, "added": []string{}, "removed": []string{}, "modified": []string{"src/" + words[r.IntN(25)] + ".go", "docs/" + words[r.IntN(25)] + ".md"}})
	}
	b, _ := json.Marshal(o{"ref": "refs/heads/main", "before": hex(40), "after": hex(40), "commits": commits, "repository": o{"id": 186853002, "name": "Hello-World", "owner": user, "full_name": "Codertocat/Hello-World"}, "sender": user})
	return b
}

// noise is what cannot be packed.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b) //nolint:errcheck // it never fails
	return b
}

func TestPack(t *testing.T) {
	for name, b := range map[string][]byte{
		"nil": nil, "empty": {}, "small": []byte(strings.Repeat("a", packMin-1)), "repeating": []byte(strings.Repeat("a", packMin)),
		"noise": noise(5000), "a push": realPush(), "large": bytes.Repeat(realPush(), 100), "large noise": noise(packPooled + 1),
		"what looks packed": pack(realPush()).data,
	} {
		p := pack(b)
		form, _ := p.form.(int64)
		got, err := unpack(bytes.Clone(p.data), form)
		if err != nil || !bytes.Equal(got, b) || (got == nil) != (b == nil) {
			t.Errorf("%s: came back as %d bytes, %v", name, len(got), err)
		}
		if len(p.data) > len(b) {
			t.Errorf("%s: %d bytes became %d", name, len(b), len(p.data))
		}
		if wants := !strings.Contains(name, "noise") && len(b) >= packMin; wants != (form == packedS2) && name != "what looks packed" {
			t.Errorf("%s: form %d", name, form)
		}
		p.release()
	}
	for _, bad := range []struct {
		data []byte
		form int64
	}{{[]byte("not S2"), packedS2}, {nil, packedS2}, {[]byte("x"), 7}} {
		if b, err := unpack(bad.data, bad.form); err == nil || errors.As(err, new(*packError)) != true {
			t.Errorf("unpack(%q, %d) = %q, %v", bad.data, bad.form, b, err)
		}
	}
}

// FuzzPack: what is packed comes back, and what was not packed is an error or something, without a panic.
func FuzzPack(f *testing.F) {
	f.Add(realPush())
	f.Add([]byte(strings.Repeat("ab", 1000)))
	f.Add(pack(realPush()).data)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := pack(b)
		form, _ := p.form.(int64)
		if got, err := unpack(p.data, form); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes came back as %d, %v", len(b), len(got), err)
		}
		p.release()
		if len(b) < 1<<16 {
			unpack(b, packedS2) //nolint:errcheck // it may be one
		}
	})
}

// TestPackedPayloads: payloads that are parts of a packed body, packed themselves, or neither are read back in all the ways there are.
func TestPackedPayloads(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	defer s.Close()
	body := realPush()
	rec := benchRecord(1, 10)
	rec.Request.Body = body
	rec.Events, rec.Deliveries = nil, nil
	payloads := [][]byte{body, body[100:200], body[10 : len(body)-10], body[:0], []byte(`{"made":1}`), bytes.Repeat([]byte(`{"made":2}`), 500), {}}
	for i, p := range payloads {
		e := &hook.Event{ID: fmt.Sprint("evt_", i), RequestID: rec.Request.ID, Selector: "a", Payload: p}
		if i < 4 {
			e.FromBody, e.BodyOffset = true, []int{0, 100, 10, 0}[i]
		}
		rec.Events = append(rec.Events, e)
		rec.Deliveries = append(rec.Deliveries, &hook.Delivery{Event: e, Subscription: "demo/s"})
	}
	if err := s.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	got, err := s.Request(t.Context(), rec.Request.ID)
	if err != nil || !bytes.Equal(got.Request.Body, body) || len(got.Events) != len(payloads) {
		t.Fatalf("%v, %d events", err, len(got.Events))
	}
	var ids []string
	for i, d := range rec.Deliveries {
		ids = append(ids, d.ID)
		if !bytes.Equal(got.Events[i].Payload, payloads[i]) {
			t.Errorf("payload %d of the request is %q", i, got.Events[i].Payload)
		}
		one, _, err := s.Delivery(t.Context(), d.ID)
		if err != nil || !bytes.Equal(one.Event.Payload, payloads[i]) || one.Event.Payload == nil {
			t.Errorf("payload %d of the delivery is %q, %v", i, one.Event.Payload, err)
		}
	}
	s.Release(ids...)
	claimed, err := s.Claim(t.Context(), "demo/s", s.now(), 100)
	if err != nil || len(claimed) != len(payloads) {
		t.Fatal(len(claimed), err)
	}
	for i, d := range claimed {
		if !bytes.Equal(d.Event.Payload, payloads[i]) {
			t.Errorf("payload %d that was claimed is %q", i, d.Event.Payload)
		}
	}
	page, _, err := s.Requests(t.Context(), store.RequestQuery{Text: "Hello-World", Limit: 5})
	if err != nil || len(page) != 1 {
		t.Errorf("a text in a packed body is in %d requests, %v", len(page), err)
	}

	// one that is damaged is an error, and not an empty payload
	if err := s.write(t.Context(), 0, func(tx *tx) error {
		_, err := tx.exec("UPDATE contents SET body = x'ff00ff'")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Request(t.Context(), rec.Request.ID); !errors.As(err, new(*packError)) {
		t.Errorf("Request = %v", err)
	}
	if _, _, err := s.Delivery(t.Context(), rec.Deliveries[1].ID); !errors.As(err, new(*packError)) {
		t.Errorf("Delivery = %v", err)
	}
	s.Release(ids...)
	if _, err := s.Claim(t.Context(), "demo/s", s.now(), 100); !errors.As(err, new(*packError)) {
		t.Errorf("Claim = %v", err)
	}
}

// TestUnpackedBefore: what a version wrote that did not pack is read as it is.
func TestUnpackedBefore(t *testing.T) {
	dir := t.TempDir()
	body := realPush()
	err := func() error {
		c, err := earlier(t, dir, 2)
		defer c.close()
		if err != nil {
			return err
		}
		for _, query := range []string{
			"INSERT INTO sources VALUES(1, 'demo', 'i', 'w', 'c')", "INSERT INTO subscriptions(id, name) VALUES(1, 'demo/s')",
			"INSERT INTO requests VALUES(1, 'req_1', 1, 0, 200, 1, 1, 'POST', '/p', 1, 2, 2, NULL)",
			"INSERT INTO events VALUES((1 << 20) + 1, 'evt_1', NULL, 'a', NULL, NULL, 100, 200, NULL)", "INSERT INTO events VALUES((1 << 20) + 2, 'evt_2', NULL, 'a', NULL, NULL, NULL, 2, x'7b7d')",
			"INSERT INTO deliveries VALUES((1 << 20) + 1, 1, 1, 0, 1, 0, 0, NULL)", "INSERT INTO deliveries VALUES((1 << 20) + 2, 2, 1, 0, 1, 0, 0, NULL)",
		} {
			if _, err := c.exec(query); err != nil {
				return err
			}
		}
		_, err = c.exec("INSERT INTO contents(id, url, body) VALUES(1, 'https://example.com/p', ?)", body)
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	defer s.Close()
	want := [][]byte{body[100:300], []byte("{}")}
	got, err := s.Request(t.Context(), "req_1")
	if err != nil || !bytes.Equal(got.Request.Body, body) || len(got.Events) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	claimed, err := s.Claim(t.Context(), "demo/s", s.now(), 10)
	if err != nil || len(claimed) != 2 {
		t.Fatalf("%d claimed, %v", len(claimed), err)
	}
	for i, payload := range want {
		if !bytes.Equal(got.Events[i].Payload, payload) || !bytes.Equal(claimed[i].Event.Payload, payload) {
			t.Errorf("payload %d is %q and %q", i, got.Events[i].Payload, claimed[i].Event.Payload)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	body := realPush()
	var p packed
	for b.Loop() {
		p = pack(body)
		p.release()
	}
	b.ReportMetric(float64(len(p.data))/float64(len(body)), "of-size")
}
