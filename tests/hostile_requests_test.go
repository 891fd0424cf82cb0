package tests

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hostile is a gateway under attack, with a good client beside the attackers.
type hostile struct {
	*gateway
	addr string // of the webhook listener
	path map[string]string
}

const hostileConnector = `
key: echo
name: Echo
parametersSchema: {type: object, properties: {secret: {type: string}, token: {type: string}}}
globalWebhooks:
  events:
    verify: none
    handle: |
      export default ({ data }) => ({ events: data === undefined ? [] : [{ selector: 'n/' + data.n, payload: data }] })
  signed:
    verify: {scheme: hmac-sha256, header: X-Signature, secret: parameters.secret, signed: "{timestamp}.{body}", timestamp: {header: X-Timestamp, tolerance: 5m}}
    handle: |
      export default ({ data }) => ({ events: [{ selector: 'n/' + data.n, payload: data }] })
  guarded:
    verify: {scheme: token, header: X-Token, secret: parameters.token}
    handle: |
      export default ({ data }) => ({ events: [{ selector: 'n/' + data.n, payload: data }] })
`

const hostileSecret = "a-secret-that-nobody-knows"

// newHostile starts a gateway with the defaults of every limit, except that a
// request may take 3 seconds to come and not 30.
func newHostile(t *testing.T) *hostile {
	g := newGateway(t, `{type: file, path: out.ndjson}`)
	text, err := os.ReadFile(filepath.Join(g.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "server: {", "server: {readTimeout: 3s, ", 1)
	config = strings.Replace(config, "echo: {connector: echo}", "echo: {connector: echo, parameters: {secret: "+hostileSecret+", token: "+hostileSecret+"}}", 1)
	config = strings.Replace(config, `all: {integration: echo, selector`, `all: {integration: echo, webhook: events, selector`, 1)
	write(t, filepath.Join(g.dir, "config.yaml"), config)
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), hostileConnector)
	out, err := g.command("urls", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var urls []struct{ Webhook, URL string }
	if err := json.Unmarshal(out, &urls); err != nil {
		t.Fatal(err)
	}
	if len(urls) != 3 {
		t.Fatalf("the webhooks are %s", out)
	}
	h := &hostile{gateway: g, path: map[string]string{}}
	for _, u := range urls {
		parsed, err := url.Parse(u.URL)
		if err != nil {
			t.Fatal(err)
		}
		h.addr, h.path[u.Webhook] = parsed.Host, parsed.Path
		if u.Webhook == "events" {
			g.url = u.URL
		}
	}
	g.start()
	return h
}

// raw sends bytes over a connection of its own and returns the status of the
// answer, 0 when the connection was closed without one. It is an error when neither happens in time.
func (h *hostile) raw(text string) int {
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Error(err)
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.WriteString(conn, text) }()
	return h.answer(conn)
}

func (h *hostile) answer(conn net.Conn) int {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			h.t.Error("no answer, and the connection stays open")
		}
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// post sends a body to a webhook and returns the status.
func (h *hostile) post(webhook, contentType string, body []byte, fields ...string) int {
	req, err := http.NewRequest("POST", "http://"+h.addr+h.path[webhook], bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := caller.Do(req)
	if err != nil {
		h.t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// many opens n connections, writes text to each, and then a byte of drip ten times a
// second until the gateway answers or closes. It returns how often each status was seen.
func (h *hostile) many(n int, text, drip string) map[int]int {
	seen := map[int]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			conn, err := net.Dial("tcp", h.addr)
			if err != nil {
				h.t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, text)
			done := make(chan struct{})
			if drip != "" {
				go func() {
					tick := time.NewTicker(100 * time.Millisecond)
					defer tick.Stop()
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						case <-tick.C:
							if _, err := io.WriteString(conn, drip[i%len(drip):i%len(drip)+1]); err != nil {
								return
							}
						}
					}
				}()
			}
			status := h.answer(conn)
			close(done)
			mu.Lock()
			seen[status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	return seen
}

// answered demands that every status is one of those.
func answered(t *testing.T, seen map[int]int, want ...int) {
	t.Helper()
	for status := range seen {
		if !slices.Contains(want, status) {
			t.Errorf("answers are %v, want only %v", seen, want)
			return
		}
	}
	if len(seen) == 0 {
		t.Error("no answers")
	}
}

func (h *hostile) sign(body []byte, at time.Time) []string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(hostileSecret))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	return []string{"X-Timestamp", stamp, "X-Signature", hex.EncodeToString(mac.Sum(nil))}
}

// TestHostileRequests sends what strangers could send to a gateway with the default
// limits, while a good client sends on. Every attack is answered as it should be,
// in bounded time; the good client is answered 200, or 503 while memory is short; and the
// process stays under 300 MB (350 for machines that differ). With -v it prints the table that SECURITY.md shows.
func TestHostileRequests(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 12_000 {
		need(t, fmt.Sprintf("10,000 connections need as many files open: the limit is %d", limit.Cur))
	}
	h := newHostile(t)
	head := func(webhook string) string { return "POST " + h.path[webhook] + " HTTP/1.1\r\nHost: h\r\n" }
	status := func(want int) func(t *testing.T, got int) {
		return func(t *testing.T, got int) {
			t.Helper()
			if got != want {
				t.Errorf("answered %d, want %d", got, want)
			}
		}
	}
	const mib = 1 << 20
	fill := func(piece string, size int) []byte { return bytes.Repeat([]byte(piece), size/len(piece)) }

	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = w.Write(make([]byte, 16*mib))
	}
	w.Close()

	attacks := []struct {
		name, answer string
		attack       func(t *testing.T)
	}{
		{"500 connections send a header byte by byte", "408", func(t *testing.T) {
			answered(t, h.many(500, head("events")+"X-Slow: ", "a"), 408)
		}},
		{"500 connections send a body byte by byte", "408", func(t *testing.T) {
			answered(t, h.many(500, head("events")+"Content-Length: 1000000\r\n\r\n{", "a"), 408)
		}},
		{"1,500 connections announce 10 MB and send nothing", "408 or 503", func(t *testing.T) {
			answered(t, h.many(1500, head("events")+"Content-Length: 10000000\r\n\r\n", ""), 408, 503)
		}},
		{"100 connections send 9 MB of 10 MB announced", "408 or 503", func(t *testing.T) {
			answered(t, h.many(100, head("events")+"Content-Length: 10000000\r\n\r\n"+string(fill("x", 9*mib)), ""), 408, 503, 0)
		}},
		{"10,000 idle connections", "served beside them", func(t *testing.T) {
			conns := make([]net.Conn, 0, 10_000)
			for range 10_000 {
				conn, err := net.Dial("tcp", h.addr)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			status(200)(t, h.post("events", "application/json", []byte(`{"n":1}`)))
			for _, conn := range conns {
				conn.Close()
			}
		}},
		{"200 headers of 1 MB", "431", func(t *testing.T) {
			answered(t, h.many(200, head("events")+"X-Long: "+string(fill("a", mib)), ""), 431, 0)
		}},
		{"100,000 header fields", "431", func(t *testing.T) {
			answered(t, map[int]int{h.raw(head("events") + string(fill("a: b\r\n", 600_000)) + "\r\n"): 1}, 431, 0)
		}},
		{"smuggling: length and coding, two lengths, folding, bare CR, NUL", "400", func(t *testing.T) {
			for _, rest := range []string{
				"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
				"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
				"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
				"Content-Length: 5, 6\r\n\r\nhello",
				"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
				"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
				"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
				"X: a\rContent-Length: 5\r\n\r\nhello",
				"X: a\nContent-Length: 5\r\n\r\nhello",
				"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
			} {
				if got := h.raw(head("events") + rest + "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"); got != 400 {
					t.Errorf("%q was answered %d", rest, got)
				}
			}
		}},
		{"paths: dot segments, encodings, NUL, absolute, 60 KB", "404 or 400", func(t *testing.T) {
			p := h.path["events"]
			for _, target := range []string{"/..", "/../" + p, p + "/..", "//" + p, "/." + p, strings.Replace(p, "/main", "/%6dain", 1), p + "%00", p + "%2e", p + "/",
				"http://evil.example" + p + "x", "*", p + ";x", p[:len(p)-1], strings.ToUpper(p), "/" + strings.Repeat("a", 60_000), p + "\x00"} {
				if got := h.raw("POST " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); got != 404 && got != 400 {
					t.Errorf("%.80q was answered %d", target, got)
				}
			}
		}},
		{"20 MB of chunk extensions", "400, 413 or 408", func(t *testing.T) {
			answered(t, map[int]int{h.raw(head("events") + "Transfer-Encoding: chunked\r\n\r\n" + string(fill("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 20*mib)) + "0\r\n\r\n"): 1}, 400, 413, 408)
		}},
		{"10 million chunks of one byte", "413 or 408", func(t *testing.T) {
			answered(t, map[int]int{h.raw(head("events") + "Transfer-Encoding: chunked\r\n\r\n" + string(fill("1\r\nx\r\n", 66*mib)) + "0\r\n\r\n"): 1}, 413, 408)
		}},
		{"a gzip bomb of 1 GB", "415", func(t *testing.T) {
			answered(t, map[int]int{h.raw(head("events") + "Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(bomb.Len()) + "\r\n\r\n" + bomb.String()): 1}, 415)
		}},
		{"a multipart body of 100,000 parts", "400", func(t *testing.T) {
			part := "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
			status(400)(t, h.post("events", "multipart/form-data; boundary=B", append(bytes.Repeat([]byte(part), 100_000), "--B--\r\n"...)))
		}},
		{"a form of 1,000,000 keys", "400", func(t *testing.T) {
			var form bytes.Buffer
			for i := range 1_000_000 {
				fmt.Fprintf(&form, "k%d=1&", i)
			}
			status(400)(t, h.post("events", "application/x-www-form-urlencoded", form.Bytes()))
		}},
		{"a form key of 100,000 brackets", "400", func(t *testing.T) {
			status(400)(t, h.post("events", "application/x-www-form-urlencoded", []byte("a"+strings.Repeat("[b]", 100_000)+"=1")))
		}},
		{"JSON 1,000,000 levels deep", "400", func(t *testing.T) {
			status(400)(t, h.post("events", "application/json", append(fill("[", mib), fill("]", mib)...)))
		}},
		{"JSON: 10 MB of {},", "400", func(t *testing.T) {
			status(400)(t, h.post("events", "application/json", append(append([]byte("["), fill("{},", 10*mib-10)...), "{}]"...)))
		}},
		{"much JSON, 8 at once: 99,999 objects, or 500,000 numbers", "200, or 504 over the deadline", func(t *testing.T) {
			for _, bomb := range []string{"[" + strings.Repeat("{},", 99_997) + "{}]", "[" + strings.Repeat("1,", 499_999) + "1]"} {
				answered(t, h.many(8, head("events")+"Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(bomb))+"\r\n\r\n"+bomb, ""), 200, 504)
			}
		}},
		{"16 bodies of 10 MB at once", "200, or 503", func(t *testing.T) {
			large := `{"n":1,"text":"` + strings.Repeat("x", 10*mib-30) + `"}`
			answered(t, h.many(16, head("events")+"Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(large))+"\r\n\r\n"+large, ""), 200, 503, 0)
		}},
		{"a body larger than announced, and one smaller", "200 and 400, 408 or none", func(t *testing.T) {
			answered(t, map[int]int{h.raw(head("events") + "Content-Type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"n\":1}and more"): 1}, 200)
			answered(t, map[int]int{h.raw(head("events") + "Content-Length: 10\r\n\r\n{}"): 1}, 408)
		}},
		{"more than 10 MiB", "413", func(t *testing.T) {
			answered(t, h.many(20, head("events")+"Content-Length: 10485761\r\n\r\n", ""), 413)
			answered(t, map[int]int{h.raw(head("events") + "Transfer-Encoding: chunked\r\n\r\nb00000\r\n" + string(fill("x", 11*mib)) + "\r\n0\r\n\r\n"): 1}, 413, 0)
		}},
		{"a charset that is none, bytes that are not UTF-8", "200, with a note", func(t *testing.T) {
			status(200)(t, h.post("events", "text/plain; charset=no-such", []byte("\xff\xfe\xfd")))
			status(200)(t, h.post("events", "application/json", []byte("{\"n\":\"\xff\xfe\"}")))
		}},
		{"a signed request replayed after 6 minutes, one from the future, one changed", "401", func(t *testing.T) {
			body := []byte(`{"n":1}`)
			now := time.Now()
			status(200)(t, h.post("signed", "application/json", body, h.sign(body, now)...))
			status(401)(t, h.post("signed", "application/json", body, h.sign(body, now.Add(-6*time.Minute))...))
			status(401)(t, h.post("signed", "application/json", body, h.sign(body, now.Add(6*time.Minute))...))
			status(401)(t, h.post("signed", "application/json", []byte(`{"n":2}`), h.sign(body, now)...))
			moved := h.sign(body, now.Add(-6*time.Minute))
			moved[1] = strconv.FormatInt(now.Unix(), 10)
			status(401)(t, h.post("signed", "application/json", body, moved...))
			status(401)(t, h.post("signed", "application/json", body))
		}},
		{"20,000 guesses of a token and of a URL", "401 and 404", func(t *testing.T) {
			var wg sync.WaitGroup
			for w := range 16 {
				wg.Go(func() {
					for i := range 625 {
						if got := h.post("guarded", "application/json", []byte(`{}`), "X-Token", fmt.Sprintf("%d-%d", w, i)); got != 401 {
							t.Errorf("a guessed token was answered %d", got)
							return
						}
						p := h.path["events"]
						resp, err := caller.Get("http://" + h.addr + p[:len(p)-4] + fmt.Sprintf("%04x", w*625+i))
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
						if resp.StatusCode != 404 && p[len(p)-4:] != fmt.Sprintf("%04x", w*625+i) {
							t.Errorf("a guessed URL was answered %d", resp.StatusCode)
							return
						}
					}
				})
			}
			wg.Wait()
		}},
	}

	good := h.goodClient()
	var table strings.Builder
	fmt.Fprintf(&table, "| attack | answer | time | memory, at most |\n|---|---|---|---|\n")
	var most int64
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			h.forgetPeak()
			began := time.Now()
			a.attack(t)
			took := time.Since(began)
			if took > 2*patience {
				t.Errorf("took %v", took)
			}
			peak := h.peakMemory()
			most = max(most, peak)
			if peak > 350e6 {
				t.Errorf("the gateway took %d MB", peak/1e6)
			}
			fmt.Fprintf(&table, "| %s | %s | %.1f s | %d MB |\n", a.name, a.answer, took.Seconds(), peak/1e6)
			// Whatever it was, the next request is served.
			h.await("a good request is served", func() bool { return h.send(1) == 200 })
		})
		if t.Failed() && h.cmd.ProcessState != nil {
			t.Fatalf("the gateway has ended:\n%s", h.logs)
		}
	}
	good(t)
	t.Logf("most memory: %d MB\n%s", most/1e6, &table)
	h.stop()
}

// goodClient sends a request every few milliseconds until the function it
// returns is called, which tells the test what was not right.
func (h *hostile) goodClient() (stop func(t *testing.T)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	statuses := map[int]int{}
	var took []time.Duration
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
				began := time.Now()
				statuses[h.send(n)]++
				took = append(took, time.Since(began))
			}
		}
	})
	return func(t *testing.T) {
		close(done)
		wg.Wait()
		slices.Sort(took)
		t.Logf("the good client: answers %v, p50 %v, p99 %v, slowest %v", statuses, took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		if statuses[200] < len(took)*8/10 {
			t.Errorf("the good client was answered %v", statuses)
		}
		for status := range statuses {
			if status != 200 && status != 503 {
				t.Errorf("the good client was answered %v", statuses)
			}
		}
	}
}

// forgetPeak begins a new measurement of the most memory the process has.
func (g *gateway) forgetPeak() {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.cmd.Process.Pid), []byte("5"), 0); err != nil {
		g.t.Log("the peak of memory is that since the start:", err)
	}
}
