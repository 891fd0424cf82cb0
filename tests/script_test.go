package tests

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"switchhook/gateway/cli"
	"switchhook/gateway/script/worker"
)

// patience bounds every wait of a script. It is long, because machines are
// slow at times; a wait ends as soon as what it waits for is there.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	worker.Main()
	testscript.Main(m, map[string]func(){
		// The real program, in a process of its own.
		"switchhook": func() { os.Exit(cli.Main(os.Args[1:], cli.System())) },
		// Sends a webhook; see callProgram.
		"call": func() { os.Exit(callProgram(os.Args[1:])) },
	})
}

// TestScripts runs the program as people do: each file of testdata/script is a
// folder of files and the commands typed into it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Values[slotKey{}] = new(slot)
			e.Setenv("NO_COLOR", "1")
			e.Setenv("REPO", repository(t))
			for _, name := range []string{"PORT", "ADMIN_PORT", "RECEIVER_PORT"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": cmdServe, "stop": cmdStop, "kill9": cmdKill, "hangup": cmdHangup, "await": cmdAwait,
		},
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// repository is the absolute path of the checkout.
func repository(t testing.TB) string {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// givenPorts are those that freePort returned; the kernel may offer one again.
var givenPorts sync.Map

func freePort() (string, error) {
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		_, port, err := net.SplitHostPort(ln.Addr().String())
		ln.Close()
		if _, given := givenPorts.LoadOrStore(port, true); !given || err != nil {
			return port, err
		}
	}
}

// gatewayProcess is a gateway that a script has started.
type gatewayProcess struct {
	cmd  *exec.Cmd
	done chan error
}

// cmdServe starts the gateway with the given arguments, its output in the files
// out and err, and returns once it takes requests. With a leading !, it must
// end by itself, with the code 2.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	stdout, err := os.OpenFile(ts.MkAbs("out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	ts.Check(err)
	stderr, err := os.OpenFile(ts.MkAbs("err"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	ts.Check(err)
	program, err := exec.LookPath("switchhook")
	ts.Check(err)
	cmd := exec.Command(program, append([]string{"serve"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	for _, name := range []string{"PATH", "HOME", "PORT", "ADMIN_PORT", "RECEIVER_PORT", "REPO", "NO_COLOR", "TESTSCRIPT_COMMAND", "TMPDIR", "SECRET"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	ts.Check(cmd.Start())
	stdout.Close()
	stderr.Close()
	p := &gatewayProcess{cmd, make(chan error, 1)}
	go func() { p.done <- cmd.Wait() }()
	ts.Defer(func() { _ = cmd.Process.Kill() })
	if neg {
		select {
		case <-p.done:
			if code := cmd.ProcessState.ExitCode(); code != 2 {
				ts.Fatalf("serve ended with code %d, not 2:\n%s", code, ts.ReadFile("err"))
			}
		case <-time.After(patience):
			ts.Fatalf("serve did not end by itself")
		}
		return
	}
	slotOf(ts).p = p
	deadline := time.Now().Add(patience)
	for {
		resp, err := http.Get("http://127.0.0.1:" + ts.Getenv("ADMIN_PORT") + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-p.done:
			ts.Fatalf("serve ended: %v\n%s", err, ts.ReadFile("err"))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			ts.Fatalf("serve is not ready:\n%s", ts.ReadFile("err"))
		}
	}
}

// slot holds the gateway that a script runs; it has one at a time.
type slot struct{ p *gatewayProcess }

type slotKey struct{}

func slotOf(ts *testscript.TestScript) *slot { return ts.Value(slotKey{}).(*slot) }

func running(ts *testscript.TestScript) *gatewayProcess {
	p := slotOf(ts).p
	if p == nil {
		ts.Fatalf("no gateway runs")
	}
	return p
}

// cmdStop interrupts the gateway, which must drain and end with code 0.
func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	p := running(ts)
	sig := syscall.SIGINT
	if len(args) > 0 && args[0] == "TERM" {
		sig = syscall.SIGTERM
	}
	ts.Check(p.cmd.Process.Signal(sig))
	select {
	case err := <-p.done:
		if (err != nil) != neg {
			ts.Fatalf("the gateway ended with %v:\n%s", err, ts.ReadFile("err"))
		}
	case <-time.After(patience):
		ts.Fatalf("the gateway does not stop:\n%s", ts.ReadFile("err"))
	}
	slotOf(ts).p = nil
}

// cmdKill kills the gateway as a crash would.
func cmdKill(ts *testscript.TestScript, _ bool, _ []string) {
	p := running(ts)
	ts.Check(p.cmd.Process.Kill())
	<-p.done
	slotOf(ts).p = nil
}

// cmdHangup sends SIGHUP.
func cmdHangup(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(running(ts).cmd.Process.Signal(syscall.SIGHUP))
}

// cmdAwait waits until a file matches a regular expression; with a third
// argument, that often.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: await FILE REGEXP [COUNT]")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	want := 1
	if len(args) == 3 {
		_, err := fmt.Sscan(args[2], &want)
		ts.Check(err)
	}
	deadline := time.Now().Add(patience)
	for {
		content, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && len(re.FindAll(content, -1)) >= want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s never matched %q; it holds:\n%s\nthe gateway said:\n%s", args[0], args[1], content, readIfThere(ts.MkAbs("err")))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func readIfThere(path string) []byte {
	content, _ := os.ReadFile(path)
	return content
}

// callProgram sends one request to a webhook and prints status, headers and
// body of the answer:
//
//	call [-X METHOD] [-H 'Name: value']... [-hmac SECRET -header NAME [-prefix P]] WORKSPACE/INTEGRATION/WEBHOOK[?QUERY] [BODY-FILE | -d TEXT]
//
// A target that begins with a slash is a path. The URL is taken from
// `switchhook urls`, so config.yaml must be in the current directory.
func callProgram(args []string) int {
	flags := flag.NewFlagSet("call", flag.ContinueOnError)
	method := flags.String("X", "POST", "method")
	data := flags.String("d", "", "body")
	secret := flags.String("hmac", "", "sign the body with HMAC-SHA256")
	header := flags.String("header", "X-Hub-Signature-256", "header of the signature")
	prefix := flags.String("prefix", "sha256=", "in front of the signature")
	base := flags.String("base", "", "call this in place of the URL's scheme and host")
	var headers http.Header = http.Header{}
	flags.Func("H", "header", func(s string) error {
		name, value, ok := strings.Cut(s, ":")
		if !ok {
			return fmt.Errorf("%q is not a header", s)
		}
		headers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	body := []byte(*data)
	if flags.NArg() > 1 {
		content, err := os.ReadFile(flags.Arg(1))
		if err != nil {
			return fail(err)
		}
		body = content
	}
	target, query, _ := strings.Cut(flags.Arg(0), "?")
	url := "http://127.0.0.1:" + os.Getenv("PORT") + target
	if !strings.HasPrefix(target, "/") {
		var err error
		if url, err = webhookURL(target); err != nil {
			return fail(err)
		}
	}
	if *base != "" {
		url = *base + url[strings.Index(url, "/demo/"):]
	}
	if query != "" {
		url += "?" + query
	}
	if *secret != "" {
		mac := hmac.New(sha256.New, []byte(*secret))
		mac.Write(body)
		headers.Set(*header, *prefix+hex.EncodeToString(mac.Sum(nil)))
	}
	req, err := http.NewRequest(*method, url, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	req.Header = headers
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	fmt.Println("status:", resp.StatusCode)
	var names []string
	for name := range resp.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, v := range resp.Header[name] {
			fmt.Printf("%s: %s\n", strings.ToLower(name), v)
		}
	}
	fmt.Println()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		return fail(err)
	}
	return 0
}

func webhookURL(target string) (string, error) {
	out, err := exec.Command("switchhook", "urls", "--json").Output()
	if err != nil {
		return "", fmt.Errorf("switchhook urls: %w", err)
	}
	var urls []struct{ Workspace, Integration, Webhook, URL string }
	if err := json.Unmarshal(out, &urls); err != nil {
		return "", err
	}
	for _, u := range urls {
		if u.Workspace+"/"+u.Integration+"/"+u.Webhook == target {
			return u.URL, nil
		}
	}
	return "", fmt.Errorf("no webhook %s among %s", target, out)
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}
