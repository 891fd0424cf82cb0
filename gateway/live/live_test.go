package live_test

import (
	"context"
	"fmt"
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

// watching runs a Watcher over the folder until the test ends. Each change that it tells of is one value of the channel.
func (f *folder) watching(options ...func(*live.Watcher)) <-chan struct{} {
	f.t.Helper()
	changed := make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	w := live.NewWatcher([]string{f.at("connectors")}, []string{f.at("config.yaml")})
	for _, o := range options {
		o(w)
	}
	go func() { done <- w.Run(ctx, slog.New(slog.DiscardHandler), func() { changed <- struct{}{} }) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return changed
}

func (f *folder) at(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// watchChanges change files in the ways that editors and tools do. Each is one change.
var watchChanges = []struct {
	what string
	do   func(f *folder)
}{
	{"a file is written", func(f *folder) { f.write("connectors/shop.yml", shop+"#") }},
	{"an editor writes anew and renames", func(f *folder) {
		f.write("connectors/.shop.yml.swp", shop+"##")
		f.must(os.Rename(f.at("connectors/.shop.yml.swp"), f.at("connectors/shop.yml")))
	}},
	{"a file is unlinked and comes again", func(f *folder) {
		f.must(os.Remove(f.at("connectors/shop.yml")))
		f.write("connectors/shop.yml", shop+"###")
	}},
	{"a folder comes, with files", func(f *folder) { f.write("connectors/box/global-webhooks/all/spec.yml", "key: all") }},
	{"a file comes in a folder of the new folder", func(f *folder) { f.write("connectors/box/global-webhooks/all/handle.js", "//") }},
	{"config.yaml is written", func(f *folder) { f.write("config.yaml", base+"#") }},
	{"config.yaml is removed and comes again", func(f *folder) {
		f.must(os.Remove(f.at("config.yaml")))
		f.write("config.yaml", base+"##")
	}},
	{"many files at once, as git checkout does", func(f *folder) {
		for i := range 300 {
			name := fmt.Sprintf("connectors/box/lib%d/x.js", i%30)
			f.write(name+".new", fmt.Sprint("//", i))
			f.must(os.Rename(f.at(name+".new"), f.at(name)))
		}
	}},
	{"a folder is renamed", func(f *folder) { f.must(os.Rename(f.at("connectors/box"), f.at("connectors/crate"))) }},
	{"a file is written in it", func(f *folder) { f.write("connectors/crate/global-webhooks/all/handle.js", "// again") }},
	{"a folder goes", func(f *folder) { f.must(os.RemoveAll(f.at("connectors/crate"))) }},
	{"the connectors folder goes and comes again", func(f *folder) {
		f.must(os.Rename(f.at("connectors"), f.at("old")))
		f.write("connectors/shop.yml", shop+"####")
	}},
	{"a file is written in it", func(f *folder) { f.write("connectors/shop.yml", shop+"#####") }},
}

// TestWatch makes changes one after the other: each is told of once. (Twice is possible where the machine
// stops for so long within a change that it looks over.)
func TestWatch(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	changed := f.watching()
	again := 0
	for _, change := range watchChanges {
		change.do(f)
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not seen", change.what)
		}
		// Events that are still to come are of this change.
		for settled := false; !settled; {
			select {
			case <-changed:
				again++
			case <-time.After(250 * time.Millisecond):
				settled = true
			}
		}
	}
	if again > len(watchChanges)/2 {
		t.Errorf("%d of %d changes were told of again", again, len(watchChanges))
	}
	// What others do beside config.yaml is of no concern, and does not hold up what is.
	f.write("events.ndjson", "")
	f.write("connectors/.hidden", "x")
	f.write("connectors/shop.yml~", "x")
	select {
	case <-changed:
		t.Error("files that do not matter are told of")
	case <-time.After(300 * time.Millisecond):
	}
}

// Where the file system sends no events, changes are found by looking.
func TestWatchWithoutEvents(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	changed := f.watching(live.WithoutEvents(5 * time.Millisecond))
	for _, change := range watchChanges {
		change.do(f)
		select {
		case <-changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: not seen", change.what)
		}
		for settled := false; !settled; { // it may have been seen half done
			select {
			case <-changed:
			case <-time.After(50 * time.Millisecond):
				settled = true
			}
		}
	}
}

// Kubernetes mounts a ConfigMap as links to ..data, which is a link to a folder that it replaces.
func TestWatchKubernetes(t *testing.T) {
	for name, options := range map[string][]func(*live.Watcher){"events": nil, "polling": {live.WithoutEvents(5 * time.Millisecond)}} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t, base, nil)
			version := 0
			swap := func(dir, file, text string) {
				t.Helper()
				version++
				data := fmt.Sprintf("%s/..2026_%d", dir, version)
				f.write(data+"/"+file, text)
				f.must(os.Symlink(filepath.Base(data), f.at(dir+"/..data_tmp")))
				old, _ := os.Readlink(f.at(dir + "/..data"))
				f.must(os.Rename(f.at(dir+"/..data_tmp"), f.at(dir+"/..data")))
				if old != "" {
					f.must(os.RemoveAll(f.at(dir + "/" + old)))
				}
			}
			f.must(os.MkdirAll(f.at("connectors"), 0o755))
			swap("connectors", "shop.yml", shop)
			f.must(os.Symlink("..data/shop.yml", f.at("connectors/shop.yml")))
			f.must(os.Remove(f.at("config.yaml")))
			swap(".", "config.yaml", base)
			f.must(os.Symlink("..data/config.yaml", f.at("config.yaml")))
			g := f.mustReload()
			if g.Connectors["shop"] == nil || len(g.Connectors) != 1 {
				t.Fatalf("connectors: %v", g.Connectors)
			}
			changed := f.watching(options...)
			for i, swap := range []func(){
				func() { swap("connectors", "shop.yml", shop+"# 2") }, func() { swap("connectors", "shop.yml", shop+"# 3") },
				func() { swap(".", "config.yaml", base+"# 2") }, func() { swap(".", "config.yaml", base+"# 3") },
			} {
				swap()
				select {
				case <-changed:
				case <-time.After(20 * time.Second):
					t.Fatalf("swap %d is not seen", i)
				}
				for settled := false; !settled; {
					select {
					case <-changed:
					case <-time.After(250 * time.Millisecond):
						settled = true
					}
				}
				next := f.mustReload()
				if i < 2 && next.Connectors["shop"] == g.Connectors["shop"] {
					t.Errorf("swap %d: the connector was not loaded again", i)
				}
				g = next
			}
		})
	}
}

// What changes between NewWatcher and Run is told of.
func TestWatchBegins(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	changed := f.watching(func(*live.Watcher) { f.write("connectors/shop.yml", shop+"# in between") })
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Error("not seen")
	}
}

// A new version of a connector that config.yaml does not fit is as a broken one: the version before serves, the
// other connectors do not wait, and mending either clears it.
func TestHeldBack(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop, "other.yml": strings.Replace(shop, "key: shop", "key: other", 1)})
	first := f.mustReload()
	path := first.Endpoint("main", "shop", "orders").Path
	for name, broken := range map[string]string{
		"the event is gone":     strings.Replace(shop, "order-created:", "order-made:", 1),
		"a parameter is needed": strings.Replace(shop, "required: [secret]", "required: [secret, token]", 1),
		"the webhook is gone":   strings.Replace(shop, "  orders:\n", "  sales:\n", 1),
		"it is gone":            "",
	} {
		if broken == "" {
			f.must(os.Remove(f.at("connectors/shop.yml")))
		} else {
			f.write("connectors/shop.yml", broken)
		}
		f.write("connectors/other.yml", strings.Replace(shop, "key: shop", "key: other", 1)+"\n# "+name)
		before := f.live.Current()
		g, list := f.reload()
		if g == nil {
			t.Fatalf("%s: refused: %s", name, list)
		}
		if c := g.Connectors["shop"]; c == nil || c.State != live.Stale || !c.Problems.HasErrors() || len(g.Problems()) == 0 {
			t.Fatalf("%s: %+v", name, c)
		}
		if e := g.Find(path); e == nil || e.Webhook == nil || g.Subscription("main/by-event") == nil || g.Subscription("main/by-event").Inactive != "" {
			t.Errorf("%s: the version before does not serve", name)
		}
		if g.Connectors["other"] == before.Connectors["other"] {
			t.Errorf("%s: another connector had to wait", name)
		}
		if g, _ := f.reload(); g == nil || g.Connectors["shop"].State != live.Stale || len(g.Connectors["shop"].Problems) == 0 {
			t.Errorf("%s: it is forgotten at the next reload", name)
		}
		f.write("connectors/shop.yml", shop)
		if c := f.mustReload().Connectors["shop"]; c.State != live.Up || len(c.Problems) > 0 {
			t.Errorf("%s: mended: %s %v", name, c.State, c.Problems)
		}
	}
	// config.yaml is mended in place of the connector.
	f.write("connectors/shop.yml", strings.Replace(shop, "order-created:", "order-made:", 1))
	f.mustReload()
	f.write("config.yaml", strings.Replace(base, "order-created", "order-made", 1))
	if c := f.mustReload().Connectors["shop"]; c.State != live.Up {
		t.Errorf("config.yaml is mended: %s %v", c.State, c.Problems)
	}
	// A mistake in config.yaml is one, whatever connectors did.
	f.write("config.yaml", strings.Replace(base, "order-created", "order-lost", 1))
	if g, list := f.reload(); g != nil || !list.HasErrors() || !f.live.Refused().HasErrors() {
		t.Errorf("taken over: %s", list)
	}
	f.write("config.yaml", strings.Replace(base, "order-created", "order-made", 1))
	if f.mustReload(); f.live.Refused() != nil {
		t.Errorf("mended, and still: %s", f.live.Refused())
	}
}

// Of two connectors with one key the one that served goes on, and the findings do not pile up.
func TestDuplicateConnectors(t *testing.T) {
	f := newFolder(t, base, map[string]string{"shop.yml": shop})
	served := f.mustReload().Connectors["shop"]
	f.write("connectors/a-copy.yml", shop+"# copy")
	for range 3 {
		c := f.mustReload().Connectors["shop"]
		if c.State != live.Stale || len(c.Problems) != 1 || !strings.HasSuffix(c.Problems[0].File, "a-copy.yml") {
			t.Fatalf("%s %v", c.State, c.Problems)
		}
		if len(served.Problems) > 0 {
			t.Fatal("a connector of an earlier generation was changed")
		}
	}
	f.must(os.Remove(f.at("connectors/a-copy.yml")))
	if c := f.mustReload().Connectors["shop"]; c.State != live.Up || len(c.Problems) > 0 {
		t.Errorf("%s %v", c.State, c.Problems)
	}
}

// BenchmarkReload is a reload of 200 connectors of which one changed, as a save causes it.
func BenchmarkReload(b *testing.B) {
	f := &folder{t: b, dir: b.TempDir()}
	f.write("config.yaml", base)
	f.write("connectors/shop.yml", shop)
	for i := range 199 {
		dir := fmt.Sprintf("connectors/c%d/", i)
		f.write(dir+"spec.yml", "name: C\nparametersSchema: {type: object, properties: {secret: {type: string}}}\n")
		f.write(dir+"common.js", "export const x = "+strings.Repeat("1 + ", 500)+"1\n")
		f.write(dir+"configuration.md", strings.Repeat("How to set it up. ", 100))
		f.write(dir+"global-webhooks/all/spec.yml", "name: All\nverify: {scheme: hmac-sha256, header: X-Sig, secret: parameters.secret}\nmethods: {handle: {implementationType: javascript}}\n")
		f.write(dir+"global-webhooks/all/handle.js", "import { x } from 'common'\nexport default ({ data }) => ({ events: [{ selector: 'a/' + x, payload: data }] })\n")
		for e := range 4 {
			f.write(fmt.Sprintf("%sevents/e%d/spec.yml", dir, e), "name: E\nimplementationType: global-webhook\nselector: a/b\nparametersSchema: {type: object}\n")
		}
	}
	engine := script.NewInProcess(script.Options{})
	b.Cleanup(func() { engine.Close() })
	f.live = live.New(&live.Builder{Engine: engine, URLKey: live.URLKey("0123456789abcdef"), Now: time.Now})
	f.mustReload()
	for i := 0; b.Loop(); i++ {
		f.write("connectors/c7/common.js", fmt.Sprint("export const x = ", i))
		f.mustReload()
	}
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
