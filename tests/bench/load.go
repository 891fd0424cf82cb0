package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// secret signs the requests.
const secret = "s3cret"

// result is what came of one measurement.
type result struct {
	rate     float64       // requests a second
	p50, p99 time.Duration // until the response
	cpu      time.Duration // of the measured program, for one request
}

// message is a signed request, ready to be sent.
func message(path string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nUser-Agent: GitHub-Hookshot/044aadd\r\n"+
		"X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\nX-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\n\r\n",
		path, hex.EncodeToString(mac.Sum(nil)), len(body))
	return append(head, body...)
}

// errSilent is in the error of drive when nothing was answered while it measured.
var errSilent = errors.New("answered nothing")

// drive sends a request again and again over a number of connections, as cheaply as it can, and measures after it has
// warmed up.
func drive(ctx context.Context, p *program, connections int, d time.Duration, next func(n int64) []byte) (result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var clients sync.WaitGroup
	var measuring atomic.Bool
	var sent atomic.Int64
	times := make([][]time.Duration, connections)
	for c := range connections {
		clients.Go(func() {
			if err := connection(ctx, p.addr, func() []byte { return next(sent.Add(1)) }, func(took time.Duration) {
				if measuring.Load() {
					times[c] = append(times[c], took)
				}
			}); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	wait := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	wait(d / 4)
	cpu, began := p.cpu(), time.Now()
	measuring.Store(true)
	wait(d)
	measuring.Store(false)
	took, used := time.Since(began), p.cpu()-cpu
	err := context.Cause(ctx)
	cancel(nil)
	clients.Wait()
	if err != nil {
		return result{}, fmt.Errorf("%s: %w\n%s", p.name, err, p.lastWords())
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return result{}, fmt.Errorf("%s %w in %v", p.name, errSilent, d)
	}
	slices.Sort(all)
	return result{
		rate: float64(len(all)) / took.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100],
		cpu: used / time.Duration(len(all)),
	}, nil
}

// connection sends requests until ctx ends, over one connection at a time: the server may close it after an answer.
func connection(ctx context.Context, addr string, next func() []byte, took func(time.Duration)) error {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
		r := bufio.NewReaderSize(conn, 16<<10)
		for closed := false; !closed && err == nil && ctx.Err() == nil; {
			began := time.Now()
			if _, err = conn.Write(next()); err == nil {
				if closed, err = answer(r); err == nil {
					took(time.Since(began))
				}
			}
		}
		stop()
		_ = conn.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// answer reads a response without looking at more than it must. It reports whether the server closes the connection.
func answer(r *bufio.Reader) (closed bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return false, fmt.Errorf("answered %q", bytes.TrimSpace(line))
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return false, err
			}
		case bytes.EqualFold(name, []byte("Connection")):
			closed = bytes.EqualFold(value, []byte("close"))
		}
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return closed, err
}

// push is a JSON body in the shape of a push to GitHub (https://docs.github.com/en/webhooks/webhook-events-and-payloads#push)
// of about a size in bytes, with made-up values.
func push(size int) []byte {
	type object = map[string]any
	hash := func(i int) string { // as hashes are: they do not shrink when they are packed
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		return hex.EncodeToString(sum[:20])
	}
	commit := func(i int) object {
		return object{
			"id": hash(i), "message": fmt.Sprintf("Mend %s, which was broken since %s", hash(-i)[:12], hash(i + 1)[:7]),
			"timestamp": fmt.Sprintf("2026-01-%02dT%02d:04:05Z", i%28+1, i%24), "url": "https://github.com/octocat/Hello-World/commit/" + hash(i),
			"author": object{"name": "Mona Lisa", "email": "mona@example.com", "username": "octocat"},
			"added":  []string{"README.md"}, "removed": []string{}, "modified": []string{"src/main.go", "src/main_test.go"},
		}
	}
	encode := func(commits []object) []byte {
		body, err := json.Marshal(object{
			"ref": "refs/heads/main", "before": hash(-1), "after": hash(-2),
			"repository": object{"id": 1296269, "name": "Hello-World", "full_name": "octocat/Hello-World", "private": false,
				"owner": object{"login": "octocat", "id": 1}, "html_url": "https://github.com/octocat/Hello-World"},
			"pusher": object{"name": "octocat"}, "commits": commits,
		})
		if err != nil {
			panic(err)
		}
		return body
	}
	none, one := len(encode(nil)), len(encode([]object{commit(0)}))
	commits := []object{}
	for i := range max(0, (size-none+(one-none)/2)/(one-none)) {
		commits = append(commits, commit(i))
	}
	return encode(commits)
}

// pushSize is the size of the body that most is measured with.
const pushSize = 7000

// receiver is a server in this process that deliveries go to.
func receiver() (addr string, count *atomic.Int64, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, nil, err
	}
	count = new(atomic.Int64)
	s := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		count.Add(1)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	return ln.Addr().String(), count, func() { _ = s.Close(); <-done }, nil
}
