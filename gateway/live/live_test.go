package live_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchhook/gateway/config"
	"switchhook/gateway/hook"
	"switchhook/gateway/live"
	"switchhook/gateway/script"
	"switchhook/spec/diagnostic"
)

const shop = `
key: shop
name: Shop
parametersSchema: {type: object, required: [secret], properties: {secret: {type: string, minLength: 1}, region: {type: string, default: eu}}}
globalWebhooks:
  orders:
    verify: {scheme: hmac-sha256, header: X-Sig, secret: parameters.secret}
    handle: "export default () => ({})"
events:
  order-created:
    getEventSelector:
      type: javascript
      code: "export default ({parameters}) => ({globalWebhookKey: 'orders', globalWebhookEventSelector: 'created/' + parameters.shop})"
`

const base = `
workspaces:
  main:
    integrations:
      shop: {connector: shop, parameters: {secret: s3cret}}
    subscriptions:
      by-event: {integration: shop, event: order-created, parameters: {shop: 42}, destination: {type: stdout}}
      by-selector: {integration: shop, selector: "created/*", filter: {total: {$gt: 10}}, destination: {type: stdout}}
`

// folder is a configuration on disk and what is built of it.
type folder struct {
	t    testing.TB
	dir  string
	live *live.Live
}

func newFolder(t testing.TB, configuration string, connectors map[string]string) *folder {
	f := &folder{t: t, dir: t.TempDir()}
	f.write("config.yaml", configuration)
	for name, text := range connectors {
		f.write("connectors/"+name, text)
	}
	engine := script.NewInProcess(script.Options{})
	t.Cleanup(func() { engine.Close() })
	f.live = live.New(&live.Builder{Engine: engine, URLKey: live.URLKey("0123456789abcdef"), Now: time.Now})
	return f
}

func (f *folder) write(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) reload() (*live.Generation, diagnostic.List) {
	f.t.Helper()
	cfg, list := config.Load(filepath.Join(f.dir, "config.yaml"), config.Options{Env: func(string) (string, bool) { return "", false }})
	if list.HasErrors() {
		f.t.Fatal(list)
	}
	return f.live.Reload(f.t.Context(), cfg)
}

func (f *folder) mustReload() *live.Generation {
	f.t.Helper()
	g, list := f.reload()
	if list.HasErrors() {
		f.t.Fatal(list)
	}
	return g
}

func TestFind(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	g := f.mustReload()
	e := g.Endpoint("main", "shop", "orders")
	if e == nil {
		t.Fatal("there is no endpoint")
	}
	if got := g.Find(e.Path); got != e {
		t.Errorf("its own path finds %v", got)
	}
	if e.URL != "http://127.0.0.1:8080"+e.Path {
		t.Errorf("URL is %s", e.URL)
	}
	if string(e.Parameters) == "" || !strings.Contains(string(e.Parameters), `"region":"eu"`) {
		t.Errorf("defaults are not applied: %s", e.Parameters)
	}
	token := e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	flipped := "A" + token[1:]
	if flipped == token {
		flipped = "B" + token[1:]
	}
	for _, path := range []string{
		"", "/", e.Path + "/", e.Path[1:], strings.ToUpper(e.Path), e.Path[:len(e.Path)-1],
		"/main/shop/orders/" + flipped, "/main/shop/other/" + token, "/main//orders/" + token, "/main/shop/orders/x/" + token,
		"/main/shop/../shop/orders/" + token,
	} {
		if got := g.Find(path); got != nil {
			t.Errorf("Find(%q) finds %s", path, got.Path)
		}
	}
}

func TestBrokenConnectorKeepsServing(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	first := f.mustReload()
	path := first.Endpoint("main", "shop", "orders").Path

	f.write("connectors/shop.yml", strings.Replace(shop, "verify:", "verfiy:", 1))
	g := f.mustReload()
	c := g.Connectors["shop"]
	if c.State != live.Stale || !c.Problems.HasErrors() || len(g.Problems()) == 0 {
		t.Fatalf("state %s, problems %v", c.State, c.Problems)
	}
	if e := g.Find(path); e == nil || e.Webhook == nil || e.Verifier == nil {
		t.Error("the last good version does not serve")
	}

	f.write("connectors/shop.yml", shop+"\n# mended\n")
	g = f.mustReload()
	if c := g.Connectors["shop"]; c.State != live.Up || len(c.Problems) > 0 {
		t.Errorf("mended: state %s, problems %v", c.State, c.Problems)
	}

	// Nothing changed: the connector is taken over, not built again.
	if again := f.mustReload(); again.Connectors["shop"] != g.Connectors["shop"] {
		t.Error("an unchanged connector was built again")
	}
}

func TestDownConnectorIsFoundByItsURL(t *testing.T) {
	good := newFolder(t, base, map[string]string{"shop.yml": shop})
	path := good.mustReload().Endpoint("main", "shop", "orders").Path

	f := newFolder(t, base, map[string]string{"shop.yml": strings.Replace(shop, "verify:", "verfiy:", 1)})
	g := f.mustReload()
	if c := g.Connectors["shop"]; c.State != live.Down {
		t.Fatalf("state %s", c.State)
	}
	if e := g.Find(path); e == nil || e.Webhook != nil {
		t.Errorf("its URL leads to %v", e)
	}
	if e := g.Find(strings.Replace(path, "orders", "others", 1)); e != nil {
		t.Error("a wrong token is taken")
	}
	if r := g.Subscription("main/by-event"); r == nil || r.Inactive == "" {
		t.Errorf("the subscription is not inactive: %v", r)
	}
}

func TestMistakesInConfigLeaveTheGeneration(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	first := f.mustReload()
	f.write("config.yaml", strings.NewReplacer(
		"secret: s3cret", `secret: ""`,
		"event: order-created", "event: order-craeted",
		"$gt", "$gtt").Replace(base))
	g, list := f.reload()
	if g != nil || f.live.Current() != first {
		t.Fatal("a configuration with mistakes took effect")
	}
	var all strings.Builder
	if err := diagnostic.WriteText(&all, list, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"config.yaml:5:", `did you mean "order-created"?`, `did you mean "$gt"?`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the findings lack %q:\n%s", want, &all)
		}
	}
}

func TestMatch(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	g := f.mustReload()
	e := g.Endpoint("main", "shop", "orders")
	reached := func(selector, payload string) string {
		var names []string
		for _, sub := range f.live.Match(nil, f.live.Current(), e.Scope(), selector, []byte(payload)) {
			names = append(names, sub.Name)
		}
		return strings.Join(names, " ")
	}
	if got := reached("created/42", `{"total": 5}`); got != "by-event" {
		t.Errorf("reached %q", got)
	}
	if got := reached("created/7", `{"total": 11}`); got != "by-selector" {
		t.Errorf("reached %q", got)
	}
	if why := g.Subscription("main/by-selector").Reasons(e.Scope(), "created/7", []byte(`{"total": 5}`)); !strings.Contains(why, "filter") {
		t.Errorf("why not: %q", why)
	}

	// Made at run time: effective at once, kept over reloads, gone when deleted.
	sub := &hook.Subscription{Workspace: "main", Name: "later", Integration: "shop", Selector: "created/9",
		Destination: hook.Destination{Type: "stdout"}}
	if _, err := f.live.Put(t.Context(), sub, func(*hook.Subscription) error { return nil }); err != nil {
		t.Fatal(err)
	}
	f.mustReload()
	if got := reached("created/9", `{}`); got != "later" {
		t.Errorf("reached %q", got)
	}
	f.live.SetDisabled("main/later", "gone")
	if got := reached("created/9", `{}`); got != "" {
		t.Errorf("a disabled subscription is reached: %q", got)
	}
	f.live.SetDisabled("main/later", "")
	if found, err := f.live.Delete("main/later", func() error { return nil }); !found || err != nil {
		t.Fatal(found, err)
	}
	if got := reached("created/9", `{}`); got != "" {
		t.Errorf("a deleted subscription is reached: %q", got)
	}
	if _, err := f.live.Put(t.Context(), &hook.Subscription{Workspace: "main", Name: "by-event", Integration: "shop", Selector: "x"},
		func(*hook.Subscription) error { return nil }); err == nil {
		t.Error("a subscription of config.yaml was replaced")
	}
}

// TestWatch changes files in the ways that editors and tools do.
func TestWatch(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	changed := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- live.Watch(ctx, slog.New(slog.DiscardHandler), []string{filepath.Join(f.dir, "connectors")},
			[]string{filepath.Join(f.dir, "config.yaml")}, func() { changed <- struct{}{} })
	}()
	// The watch has begun once it sees a first change; until then it is made again.
	for i := 0; ; i++ {
		f.write("connectors/first.yml", strings.Repeat("#", i))
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
			if i < 200 {
				continue
			}
			t.Fatal("no change is ever seen")
		}
		break
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(f.dir, name) }
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"a file is written", func() { f.write("connectors/shop.yml", shop+"#") }},
		{"an editor writes anew and renames", func() {
			f.write("connectors/.shop.yml.swp", shop+"##")
			must(os.Rename(at("connectors/.shop.yml.swp"), at("connectors/shop.yml")))
		}},
		{"a folder comes, with files", func() { f.write("connectors/box/spec.yml", "key: box") }},
		{"a file comes in the new folder", func() { f.write("connectors/box/handle.js", "//") }},
		{"config.yaml is removed and comes again", func() {
			must(os.Remove(at("config.yaml")))
			f.write("config.yaml", base+"#")
		}},
		{"many files at once", func() {
			for i := range 50 {
				f.write("connectors/box/"+strings.Repeat("x", i+1)+".js", "//")
			}
		}},
		{"a folder goes", func() { must(os.RemoveAll(at("connectors/box"))) }},
	} {
		for len(changed) > 0 {
			<-changed
		}
		change.do()
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not seen", change.what)
		}
	}
	cancel()
	must(<-done)
}

func TestLoadURLKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := live.LoadURLKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := live.LoadURLKey(dir)
	if err != nil || string(again) != string(first) {
		t.Fatalf("the key is not kept: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, "url.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "url.key"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := live.LoadURLKey(dir); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a damaged key: %v", err)
	}
}
