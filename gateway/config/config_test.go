package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// environment is what tests have for the process's.
func environment(pairs ...string) config.Options {
	set := map[string]string{}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		set[name] = value
	}
	return config.Options{Environ: pairs, Env: func(name string) (string, bool) { v, ok := set[name]; return v, ok }}
}

func load(t *testing.T, path string, opt config.Options) *config.Config {
	t.Helper()
	c, list := config.Load(path, opt)
	if len(list) > 0 || c == nil {
		t.Fatalf("%s: %v", path, text(list))
	}
	return c
}

func text(list diagnostic.List) string {
	var b bytes.Buffer
	_ = diagnostic.WriteText(&b, list, false)
	return b.String()
}

// plain is findings without code frames.
func plain(list diagnostic.List) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s: %s %s: %s\n", strings.TrimPrefix(d.Position(), "testdata/broken/"), d.Severity, d.Code, d.Message)
		if d.Hint != "" {
			fmt.Fprintf(&b, "  help: %s\n", d.Hint)
		}
	}
	return b.String()
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBroken(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			c, list := config.Load(file, environment("WORD=dont-show-me", "SECRET=whsec_dont-show-me"))
			if c != nil || !list.HasErrors() {
				t.Error("it loads")
			}
			// SECRET and WORD stand for secrets, and the files hold literal ones.
			if shown := text(list); strings.Contains(shown, "dont-show-me") || strings.Contains(shown, "ZG9udC1zaG93LW1l") {
				t.Errorf("a secret is shown:\n%s", shown)
			}
			got := plain(list)
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			// The same whichever way maps are walked.
			for range 5 {
				if _, again := config.Load(file, environment("WORD=dont-show-me", "SECRET=whsec_dont-show-me")); plain(again) != got {
					t.Fatal("the findings are in another order each time")
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := load(t, "testdata/good/minimal.yaml", environment())
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Path: filepath.Join(dir, "minimal.yaml"), Dir: dir,
		Server: config.Server{
			Listen: "127.0.0.1:8080", MaxBody: 10 << 20, MaxHeader: 64 << 10, InFlightBytes: 112 << 20, MaxConnections: 16384,
			ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second, DrainTimeout: 25 * time.Second,
		},
		Admin:      config.Admin{Listen: "127.0.0.1:8081"},
		Connectors: filepath.Join(dir, "connectors"),
		Data:       filepath.Join(dir, "data"),
		Scripts:    config.Scripts{Isolation: config.Process, Timeout: time.Second, KillAfter: 2 * time.Second, Memory: 256 << 20},
		Retention:  config.Retention{Age: 720 * time.Hour, Size: 10 << 30},
		Dedupe:     config.Dedupe{Window: 24 * time.Hour},
		Log:        config.Log{Level: "info", Format: "auto"},
		Workspaces: map[string]*config.Workspace{},
	}
	if got := c.Server.PublicURL.String(); got != "http://127.0.0.1:8080" {
		t.Errorf("public URL is %s", got)
	}
	got := *c
	got.Document, got.Server.PublicURL.URL = nil, nil
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(config.Secret{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	c := load(t, "testdata/good/published.yaml", environment("GITHUB_SECRET=geheim"))
	w := c.Workspaces["demo"]
	if got := string(w.Integrations["github"].Parameters.JSON()); got != `{"secret":"geheim"}` {
		t.Errorf("parameters are %s", got)
	}
	if w.Integrations["shop"].Parameters != nil || w.Integrations["shop"].Connector != "shop" {
		t.Errorf("shop is %+v", w.Integrations["shop"])
	}
	want := map[string]hook.Subscription{
		"main-pushes": {Workspace: "demo", Name: "main-pushes", Integration: "github", Webhook: "events", Selector: "push/octocat/**",
			Filter: json.RawMessage(`{"ref":"refs/heads/main"}`),
			Destination: hook.Destination{Type: "stdout", Timeout: 15 * time.Second, Concurrency: 1,
				Retry: hook.RetryPolicy{Delays: hook.DefaultRetryDelays, Jitter: 0.1}}},
		"orders": {Workspace: "demo", Name: "orders", Integration: "shop", Event: "order-created", Parameters: json.RawMessage(`{"shop":42}`),
			Destination: hook.Destination{Type: "http", URL: "https://example.com/hooks", Secrets: []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
				Timeout: 15 * time.Second, Concurrency: 16, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
				Retry: hook.RetryPolicy{Delays: []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute}, Jitter: 0.1}}},
	}
	got := map[string]hook.Subscription{}
	for name, s := range w.Subscriptions {
		got[name] = s.Subscription
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if c.Admin.Token.IsSet() {
		t.Error("there is a token")
	}
	at := w.Subscriptions["orders"].At("event").Errorf("x", "m")
	if at.Line != 21 || at.Column != 16 {
		t.Errorf("event is at %s", at.Position())
	}
	if whole := w.Subscriptions["orders"].At("webhook"); whole != w.Subscriptions["orders"].Node {
		t.Error("an absent key is not the whole")
	}
}

func TestEverything(t *testing.T) {
	t.Parallel()
	c := load(t, "testdata/good/everything.yaml", environment("URL_KEY=0123456789abcdef", "CONNECTIONS=77"))
	if got := c.Server.PublicURL.String(); got != "https://hooks.example.com/in" {
		t.Errorf("public URL is %s", got)
	}
	if c.Server.MaxConnections != 77 || c.Server.MaxBody != 1<<20 || c.Server.InFlightBytes != 1e9 || c.Server.WriteTimeout != 90*time.Second || c.Server.DrainTimeout != 0 {
		t.Errorf("server is %+v", c.Server)
	}
	if got := fmt.Sprint(c.Server.TrustedProxies); got != "[10.0.0.0/8 fd00::/8 192.0.2.7/32]" {
		t.Errorf("proxies are %s", got)
	}
	if c.Admin.Token.Reveal() != "a-token-of-some-length" || c.URLKey.Reveal() != "0123456789abcdef" {
		t.Error("secrets are not what they stand for")
	}
	if c.Connectors != "/srv/connectors" || c.Data != filepath.Join(filepath.Dir(c.Dir), "data") {
		t.Errorf("folders are %s and %s", c.Connectors, c.Data)
	}
	w := c.Workspaces["one"]
	if got := string(w.Integrations["a-1_b"].Parameters.JSON()); got != `{"secret":4711,"nested":{"list":[1,"0123456789abcdef","${kept}"]}}` {
		t.Errorf("parameters are %s", got)
	}
	if n := len(c.Workspaces["empty"].Integrations); n != 0 {
		t.Errorf("the empty workspace has %d integrations", n)
	}
	d := w.Subscriptions["to-http"].Destination
	if diff := cmp.Diff(hook.Headers{{Name: "Authorization", Value: "Bearer 0123456789abcdef"}, {Name: "x-team", Value: " a\tb "}}, d.Headers); diff != "" {
		t.Error(diff)
	}
	if len(d.Secrets) != 2 || d.CloudEvents != "structured" || d.Timeout != 5*time.Second || d.Retry.Jitter != 0.5 {
		t.Errorf("http is %+v", d)
	}
	var age time.Duration
	for _, delay := range d.Retry.Delays {
		age += delay
	}
	if n := len(d.Retry.Delays); n != 9 || d.Retry.Delays[1] != 10*time.Second || d.Retry.Delays[3] != 40*time.Second || age > time.Hour {
		t.Errorf("delays are %v", d.Retry.Delays)
	}
	k := w.Subscriptions["to-kafka"].Destination
	if got := fmt.Sprint(k.Retry.Delays); got != "[0s 1s 3s 9s 27s 1m0s 1m0s]" {
		t.Errorf("delays are %s", got)
	}
	if !w.Subscriptions["to-kafka"].Paused || !w.Subscriptions["to-nats"].Ordered {
		t.Error("flags are lost")
	}
	if got := w.Subscriptions["to-file"].Destination.Path; got != filepath.Join(c.Dir, "out/events.ndjson") {
		t.Errorf("file is %s", got)
	}
	n := w.Subscriptions["to-nats"].Destination
	if n.RatePerSecond != 50 || n.Concurrency != 4 || n.Subject != "hooks.{workspace}.{type}" {
		t.Errorf("nats is %+v", n)
	}
	if got := string(w.Subscriptions["to-http"].Filter); got != `{"amount":{"$gt":10.50}}` {
		t.Errorf("filter is %s", got)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := write(t, "server: {listen: 127.0.0.1:1, maxConnections: 1, idleTimeout: 1s}\nlog: {level: warn}\n")
	opt := environment("SWITCHHOOK_SERVER_MAX_CONNECTIONS=2", "SWITCHHOOK_SERVER_IDLE_TIMEOUT=2s", "SWITCHHOOK_ADMIN_TOKEN=geheim",
		"SWITCHHOOK_LOG_LEVEL=", "SWITCHHOOK_SERVER_PUBLIC_URL=https://hooks.example.com/", "SWITCHHOOK_CONFIG=x", "SWITCHHOOK_DATA=/var/lib/x",
		"SWITCHHOOK_SERVER_TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.0/24", "SWITCHHOOK_URL_KEY=00000000000000001")
	opt.Set = []string{"server.idleTimeout=3s", "connectors=elsewhere", "server.rateLimit.perWebhook=2.5"}
	c := load(t, file, opt)
	here, err := filepath.Abs("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{c.Server.Listen, c.Server.MaxConnections, c.Server.IdleTimeout, c.Admin.Token.Reveal(), c.Log.Level, c.Server.PublicURL.String(),
		c.Data, c.Connectors, fmt.Sprint(c.Server.TrustedProxies), c.Server.RateLimit.PerWebhook, c.URLKey.Reveal()}
	want := []any{"127.0.0.1:1", 2, 3 * time.Second, "geheim", "warn", "https://hooks.example.com",
		"/var/lib/x", here, "[10.0.0.0/8 192.0.2.0/24]", 2.5, "00000000000000001"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOverrideErrors(t *testing.T) {
	t.Parallel()
	opt := environment("SWITCHHOOK_SERVER_LISTN=x", "SWITCHHOOK_SCRIPTS_MEMORY=many", "SWITCHHOOK_ADMIN_LISTEN=0.0.0.0:1", "SWITCHHOOK_MINE=used", "SWITCHHOOK_NOTHING=1",
		"SWITCHHOOK_LOG_FORMAT=\xff")
	opt.Set = []string{"server.listen", "server.lisen=1", "server.readTimeout=dont-show-me", "server.publicUrl=https://x:dont-show-me@h/"}
	_, list := config.Load(write(t, "admin: {token: \"${SWITCHHOOK_MINE:-}${NONE:-}\", listen: 127.0.0.1:1}\nretention: {age: ${SWITCHHOOK_MINE}}\n"), opt)
	got := ""
	for _, d := range list {
		got += fmt.Sprintf("%s|%s|%s|%s|%s\n", d.Severity, d.Code, strings.TrimPrefix(d.Position(), filepath.Dir(d.File)), d.Message, d.Hint)
	}
	const want = `error|weak-secret|/config.yaml:1:16|the token guards an address that others can reach, and is shorter than 16 bytes|make one with: openssl rand -hex 32
error|bad-duration|/config.yaml:2:18|what this expands to is not a duration|a duration has a unit, such as 500ms, 5s, 30m or 2h
error|invalid-utf8|environment variable SWITCHHOOK_LOG_FORMAT|the value is not UTF-8 text|
warning|unknown-variable|environment variable SWITCHHOOK_NOTHING|there is no such setting, and the file does not use the variable|
error|bad-size|environment variable SWITCHHOOK_SCRIPTS_MEMORY|this is not a size|a size is a number of bytes with or without a unit, such as 64KiB, 10MiB or 1GB
warning|unknown-variable|environment variable SWITCHHOOK_SERVER_LISTN|there is no such setting, and the file does not use the variable|did you mean "SWITCHHOOK_SERVER_LISTEN"?
error|unknown-key|flag server.lisen|there is no such setting|did you mean "server.listen"?
error|bad-flag|flag server.listen|expected a setting and a value, such as server.listen=127.0.0.1:9090|
error|bad-url|flag server.publicUrl|this URL may not have a user, a query or a fragment|such as https://hooks.example.com
error|bad-duration|flag server.readTimeout|what this expands to is not a duration|a duration has a unit, such as 500ms, 5s, 30m or 2h
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"testdata/none.yaml": "testdata/none.yaml: there is no such file (name the configuration with -c)",
		"testdata":           "testdata: cannot read the configuration: is a directory",
	} {
		if _, list := config.Load(path, environment()); list.Error() != want {
			t.Errorf("got %s", list.Error())
		}
	}
}

func TestIncludedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"crlf": "a\r\n", "two": "a\n\n", "binary": "\xff", "large": strings.Repeat("x", 1<<20+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "c.yaml")
	source := "workspaces: {w: {integrations: {i: {connector: c, parameters: {crlf: ${file:crlf}, two: ${file:two}}}}}}\n"
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(t, path, environment())
	if got := string(c.Workspaces["w"].Integrations["i"].Parameters.JSON()); got != `{"crlf":"a","two":"a\n"}` {
		t.Errorf("got %s", got)
	}
	source = strings.NewReplacer("file:crlf", "file:binary", "file:two", "file:large").Replace(source)
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	_, list := config.Load(path, environment())
	if len(list) != 2 || list[0].Message != "the file binary is not UTF-8 text" || list[1].Message != "the file large is larger than 1MiB" {
		t.Errorf("got %s", text(list))
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	t.Parallel()
	s := config.NewSecret("geheim")
	var logged bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&logged, nil))
	logger.Info("m", "s", s, "p", &s, "in", struct{ S config.Secret }{s})
	encoded, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	all := logged.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T"} {
		all += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, struct{ S config.Secret }{s})
	}
	if strings.Contains(all, "geheim") || strings.Contains(all, "676568") || strings.Contains(all, "103 101") {
		t.Errorf("it shows: %s", all)
	}
	if got := fmt.Sprint(config.Secret{}); got != "" {
		t.Errorf("an empty one is %q", got)
	}
	if s.Reveal() != "geheim" || !s.IsSet() || (config.Secret{}).IsSet() {
		t.Error("the value is lost")
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{
		"0": 0, "4096": 4096, "1B": 1, "64KiB": 65536, "10MiB": 10 << 20, "1.5GiB": 3 << 29, "1GB": 1e9, "2 kB": 2000, " 7 ": 7, "1TiB": 1 << 40, "1e3": 1000,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "+1", "1.5", "10 miles", "0x10", "1_000", "Inf", "NaN", "99999999TiB", "1KiBB"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for size, want := range map[config.Size]string{0: "0B", 1: "1B", 1024: "1KiB", 1536: "1536B", 10 << 20: "10MiB"} {
		if size.String() != want {
			t.Errorf("%d is %s", size, size)
		}
	}
}

func TestDecodeFromJSON(t *testing.T) {
	t.Parallel()
	doc, list := document.Parse("request body", []byte(`{"integration": "i", "webhook": "w", "selector": "a/**", "filter": {"x": [1, {"$gt": 2}]},
		"destination": {"type": "file", "path": "relative"}}`))
	if len(list) > 0 {
		t.Fatal(list)
	}
	s, list := config.DecodeSubscription(doc.Root, "")
	if len(list) != 1 || list[0].Code != "bad-path" || list[0].Line != 2 {
		t.Errorf("got %s", text(list))
	}
	if s.Selector != "a/**" || string(s.Filter) != `{"x":[1,{"$gt":2}]}` {
		t.Errorf("got %+v", s)
	}
	if list := config.CheckName(doc.Root, "subscription", "ok-1"); len(list) > 0 {
		t.Error(list)
	}
}

func TestUnexpandedTextStaysText(t *testing.T) {
	t.Parallel()
	// A value from the environment is text where text is wanted, whatever it looks like.
	path := write(t, "workspaces: {w: {integrations: {i: {connector: ${C}, parameters: {s: ${C}}}}}}\n")
	c := load(t, path, environment("C=123"))
	i := c.Workspaces["w"].Integrations["i"]
	if i.Connector != "123" || string(i.Parameters.JSON()) != `{"s":"123"}` {
		t.Errorf("got %s and %s", i.Connector, i.Parameters.JSON())
	}
}
