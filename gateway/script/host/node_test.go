package host_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dop251/goja"
	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/script/host"
)

// newRuntime is a runtime with the objects.
func newRuntime(t testing.TB, opt host.Options) *goja.Runtime {
	t.Helper()
	rt := goja.New()
	// As the engine does; without it endless recursion in JavaScript ends the process.
	rt.SetMaxCallStackSize(200)
	if err := host.Install(rt, opt); err != nil {
		t.Fatal(err)
	}
	return rt
}

// snippet is one line of a table in testdata/snippets. How much of an error must agree with Node's is
// said in front: nothing for all of it, "~" for name and code, "~~" only that there is one.
type snippet struct {
	file   string
	line   int
	source string
	loose  int
}

func readSnippets(t *testing.T) []snippet {
	t.Helper()
	files, err := filepath.Glob("testdata/snippets/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no snippets: %v", err)
	}
	var all []snippet
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for n := 1; lines.Scan(); n++ {
			text := strings.TrimSpace(lines.Text())
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			s := snippet{file: filepath.Base(file), line: n, source: text}
			for strings.HasPrefix(s.source, "~") {
				s.loose++
				s.source = s.source[1:]
			}
			s.source = strings.TrimSpace(s.source)
			all = append(all, s)
		}
	}
	return all
}

// node runs the snippets with Node. Without Node the test is skipped, but not in CI.
func node(t *testing.T, fixtures json.RawMessage, snippets []string) []string {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("SWITCHHOOK_CI") == "1" {
		skip = t.Fatalf
	}
	path, err := exec.LookPath("node")
	if err != nil {
		skip("node is not there to compare with: %v", err)
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		skip("node does not run: %v", err)
	}
	if !strings.HasPrefix(string(version), "v20.") {
		skip("the tables are for Node 20, this is %s", bytes.TrimSpace(version))
	}
	input, err := json.Marshal(map[string]any{"fixtures": fixtures, "snippets": snippets})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "testdata/node.js")
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.Bytes())
	}
	var results []string
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("node's output: %v", err)
	}
	if len(results) != len(snippets) {
		t.Fatalf("node gave %d results for %d snippets", len(results), len(snippets))
	}
	return results
}

func readFixtures(t testing.TB) json.RawMessage {
	t.Helper()
	data, err := os.ReadFile("testdata/fixtures.json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// evaluator returns a function that evaluates snippets, each in a runtime of its own.
func evaluator(t testing.TB) func(source string) string {
	t.Helper()
	show, err := os.ReadFile("testdata/show.js")
	if err != nil {
		t.Fatal(err)
	}
	program, err := goja.Compile("show.js", string(show), false)
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := goja.Compile("fixtures.json", "("+string(readFixtures(t))+")", false)
	if err != nil {
		t.Fatal(err)
	}
	return func(source string) string {
		t.Helper()
		rt := newRuntime(t, host.Options{})
		v, err := rt.RunProgram(program)
		if err != nil {
			t.Fatal(err)
		}
		run, _ := goja.AssertFunction(v)
		k, err := rt.RunProgram(fixtures)
		if err != nil {
			t.Fatal(err)
		}
		require := rt.ToValue(func(call goja.FunctionCall) goja.Value {
			m, ok := host.Module(rt, call.Argument(0).String())
			if !ok {
				panic(rt.NewTypeError("Cannot find module '%s'", call.Argument(0)))
			}
			return m
		})
		crypto, _ := host.Module(rt, "crypto")
		result, err := run(goja.Undefined(), rt.ToValue(source), k, crypto, require)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		return result.String()
	}
}

// loosen removes from a result what need not agree.
func loosen(result any, loose int) any {
	m, ok := result.(map[string]any)
	if !ok || loose == 0 {
		return result
	}
	e, ok := m["throws"].(map[string]any)
	if !ok {
		return result
	}
	delete(e, "message")
	if loose > 1 {
		delete(e, "name")
		delete(e, "code")
	}
	return result
}

func TestAgainstNode(t *testing.T) {
	snippets := readSnippets(t)
	if len(snippets) < 250 {
		t.Errorf("the tables have shrunk to %d snippets", len(snippets))
	}
	sources := make([]string, len(snippets))
	for i, s := range snippets {
		sources[i] = s.source
	}
	wanted := node(t, readFixtures(t), sources)
	evaluate := evaluator(t)
	for i, s := range snippets {
		var want, got any
		if err := json.Unmarshal([]byte(wanted[i]), &want); err != nil {
			t.Fatal(err)
		}
		mine := evaluate(s.source)
		if err := json.Unmarshal([]byte(mine), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(loosen(want, s.loose), loosen(got, s.loose)); diff != "" {
			t.Errorf("%s:%d: %s\n%s", s.file, s.line, s.source, diff)
		}
	}
}

// TestNodeVerifies lets Node check what was signed and encrypted here.
func TestNodeVerifies(t *testing.T) {
	var fixtures map[string]any
	if err := json.Unmarshal(readFixtures(t), &fixtures); err != nil {
		t.Fatal(err)
	}
	data := "Buffer.from(K.message)"
	cases := []struct{ name, sign, verify string }{
		{"rsa", "crypto.sign('sha256', " + data + ", K.rsaPrivate)", "crypto.verify('sha256', " + data + ", K.rsaPublic, SIGNED)"},
		{"rsa sha1", "crypto.createSign('RSA-SHA1').update(K.message).sign(K.rsaPrivate)", "crypto.createVerify('sha1').update(K.message).verify(K.rsaPublic, SIGNED)"},
		{"pss", "crypto.sign('sha256', " + data + ", {key: K.rsaPrivate, padding: 6})", "crypto.verify('sha256', " + data + ", {key: K.rsaPublic, padding: 6}, SIGNED)"},
		{"pss salt", "crypto.sign('sha512', " + data + ", {key: K.rsaPrivate, padding: 6, saltLength: -1})", "crypto.verify('sha512', " + data + ", {key: K.rsaPublic, padding: 6, saltLength: 64}, SIGNED)"},
		{"p256", "crypto.sign('sha256', " + data + ", K.p256Private)", "crypto.verify('sha256', " + data + ", K.p256Public, SIGNED)"},
		{"p384 raw", "crypto.sign('sha512', " + data + ", {key: K.p384Private, dsaEncoding: 'ieee-p1363'})", "crypto.verify('sha512', " + data + ", {key: K.p384Public, dsaEncoding: 'ieee-p1363'}, SIGNED)"},
		{"p521", "crypto.sign('sha1', " + data + ", K.p521Private)", "crypto.verify('sha1', " + data + ", K.p521Public, SIGNED)"},
		{"ed25519", "crypto.sign(null, " + data + ", K.edPrivate)", "crypto.verify(null, " + data + ", K.edPublic, SIGNED)"},
		{"oaep", "crypto.publicEncrypt({key: K.rsaPublic, oaepHash: 'sha256'}, " + data + ")", "crypto.privateDecrypt({key: K.rsaPrivate, oaepHash: 'sha256'}, SIGNED).equals(" + data + ")"},
		{"spki", "Buffer.from(crypto.createPublicKey(K.p256Private).export({type: 'spki', format: 'pem'}))", "SIGNED.toString() === K.p256Public"},
		{"pkcs8", "Buffer.from(crypto.createPrivateKey(K.rsaPkcs1Private).export({type: 'pkcs8', format: 'pem'}))", "SIGNED.toString() === K.rsaPrivate"},
	}
	evaluate := evaluator(t)
	var sources []string
	for _, c := range cases {
		var result struct {
			Value struct{ Buffer string }
		}
		made := evaluate(c.sign)
		if err := json.Unmarshal([]byte(made), &result); err != nil || result.Value.Buffer == "" {
			t.Fatalf("%s: %s", c.name, made)
		}
		sources = append(sources, strings.ReplaceAll(c.verify, "SIGNED", "Buffer.from('"+result.Value.Buffer+"', 'hex')"))
	}
	for i, result := range node(t, readFixtures(t), sources) {
		if result != `{"value":true}` {
			t.Errorf("%s: %s", cases[i].name, result)
		}
	}
}
