package sqlite

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

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

func BenchmarkPack(b *testing.B) {
	body := realPush()
	b.Run("s2", func(b *testing.B) {
		var n int
		for b.Loop() {
			p := pack(body)
			n = len(p.data)
			p.release()
		}
		b.ReportMetric(float64(n), "bytes")
		b.ReportMetric(float64(len(body)), "of")
	})
	b.Run("snappy", func(b *testing.B) {
		var n int
		for b.Loop() {
			n = len(s2.EncodeSnappy(nil, body))
		}
		b.ReportMetric(float64(n), "bytes")
	})
	b.Run("zstd", func(b *testing.B) {
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		var n int
		for b.Loop() {
			n = len(e.EncodeAll(body, nil))
		}
		b.ReportMetric(float64(n), "bytes")
	})
	b.Run("un", func(b *testing.B) {
		p := pack(body)
		for b.Loop() {
			unpack(p.data, 1)
		}
	})
}
