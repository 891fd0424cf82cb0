package spec_test

import (
	"bytes"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

// write makes a tree of files; content "FIFO", "SOCKET", "DIR" and "LINK target" make other things.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		target, isLink := strings.CutPrefix(content, "LINK ")
		switch {
		case content == "FIFO":
			err = syscall.Mkfifo(path, 0o644)
		case content == "DIR":
			err = os.Mkdir(path, 0o755)
		case content == "SOCKET":
			listener, listenErr := net.ListenUnix("unix", &net.UnixAddr{Name: path})
			if err = listenErr; err == nil {
				t.Cleanup(func() { _ = listener.Close() })
			}
		case isLink:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

const (
	goodWebhook = "name: A\nverify: none\n"
	goodHandler = "export default () => ({})\n"
)

// Whatever lies where a file should be, Load says so and returns at once.
func TestUnusualFiles(t *testing.T) {
	big := strings.Repeat("# ten megabytes\n", 10<<20/16)
	tests := []struct {
		name  string
		files map[string]string // below c/
		file  string            // that the diagnostic names
		code  string
	}{
		{"spec is a pipe", map[string]string{"spec.yml": "FIFO"}, "c/spec.yml", "not-a-file"},
		{"spec is a socket", map[string]string{"spec.yml": "SOCKET"}, "c/spec.yml", "not-a-file"},
		{"spec is a folder", map[string]string{"spec.yml": "DIR"}, "c/spec.yml", "not-a-file"},
		{"spec is a device", map[string]string{"spec.yml": "LINK /dev/zero"}, "c/spec.yml", "outside-folder"},
		{"spec leads out", map[string]string{"spec.yml": "LINK ../outside.yml"}, "c/spec.yml", "outside-folder"},
		{"spec dangles", map[string]string{"spec.yml": "LINK nowhere.yml"}, "c/spec.yml", "dangling-link"},
		{"spec leads to itself", map[string]string{"spec.yml": "LINK spec.yml"}, "c/spec.yml", "unreadable"},
		{"spec is large", map[string]string{"spec.yml": big}, "c/spec.yml", "file-too-large"},
		{"spec is not UTF-8", map[string]string{"spec.yml": "name: \xff\n"}, "c/spec.yml", "invalid-utf8"},
		{"spec is binary", map[string]string{"spec.yml": "\x7fELF\x00\x01"}, "c/spec.yml", "control-character"},
		{"spec is empty", map[string]string{"spec.yml": ""}, "c/spec.yml", "wrong-type"},
		{"webhooks is a file", map[string]string{"global-webhooks": "x"}, "c/global-webhooks", "not-a-folder"},
		{"events is a pipe", map[string]string{"events": "FIFO"}, "c/events", "not-a-folder"},
		{"events leads out", map[string]string{"events": "LINK /"}, "c/events", "outside-folder"},
		{"a webhook leads out", map[string]string{"global-webhooks/x": "LINK /tmp"}, "c/global-webhooks/x", "outside-folder"},
		{"handler is a pipe", map[string]string{"global-webhooks/a/handle.js": "FIFO"}, "c/global-webhooks/a/handle.js", "not-a-file"},
		{"handler leads out", map[string]string{"global-webhooks/a/handle.js": "LINK ../../../outside.yml"}, "c/global-webhooks/a/handle.js", "outside-folder"},
		{"handler is large", map[string]string{"global-webhooks/a/handle.js": big}, "c/global-webhooks/a/handle.js", "file-too-large"},
		{"fixtures is a pipe", map[string]string{"fixtures": "FIFO"}, "c/fixtures", "not-a-folder"},
		{"a fixture is a pipe", map[string]string{"fixtures/a.yml": "FIFO"}, "c/fixtures/a.yml", "not-a-file"},
		{"a fixture is a folder", map[string]string{"fixtures/a.yml": "DIR"}, "c/fixtures/a.yml", "not-a-file"},
		{"configuration is a pipe", map[string]string{"configuration.md": "FIFO"}, "c/configuration.md", "not-a-file"},
		{"configuration is large", map[string]string{"configuration.md": big}, "c/configuration.md", "file-too-large"},
		{"configuration is not UTF-8", map[string]string{"configuration.md": "\xff"}, "c/configuration.md", "invalid-utf8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			files := map[string]string{"spec.yml": "name: C\n", "global-webhooks/a/spec.yml": goodWebhook, "global-webhooks/a/handle.js": goodHandler}
			for name := range tt.files {
				for good := range files {
					if strings.HasPrefix(good, name+"/") {
						delete(files, good)
					}
				}
			}
			for name, content := range tt.files {
				files[name] = content
			}
			write(t, "c", files)
			write(t, ".", map[string]string{"outside.yml": "name: outside\n"})
			c, list := spec.Load("c")
			if c == nil || c.Key != "c" {
				t.Errorf("Load returned %+v", c)
			}
			if !slices.ContainsFunc(list, func(d diagnostic.Diagnostic) bool { return d.File == tt.file && d.Code == tt.code }) {
				var b bytes.Buffer
				_ = diagnostic.WriteText(&b, list, false)
				t.Errorf("no %s about %s in:\n%s", tt.code, tt.file, b.String())
			}
			if tt.code != "invalid-utf8" && tt.code != "outside-folder" && strings.Contains(c.Configuration, "outside") {
				t.Error("it has read a file outside")
			}
		})
	}
}

func TestUnusualSingleFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, ".", map[string]string{
		"pipe.yml": "FIFO", "socket.yml": "SOCKET", "big.yml": strings.Repeat("#\n", 5<<20), "latin.yml": "name: \xe9\n",
		"device.yml": "LINK /dev/zero", "dangling.yml": "LINK nowhere", "text.txt": "x", "fine.yml": "LINK target", "target": "globalWebhooks: {a: {verify: none, handle: x}}\n",
	})
	for name, code := range map[string]string{
		"pipe.yml": "not-a-file", "socket.yml": "not-a-file", "big.yml": "file-too-large", "latin.yml": "invalid-utf8",
		"device.yml": "not-a-file", "dangling.yml": "not-found", "text.txt": "not-a-connector", "nothing.yml": "not-found",
	} {
		c, list := spec.Load(name)
		if len(list) == 0 || list[0].Code != code || list[0].File != name {
			t.Errorf("%s: %v, want %s", name, list, code)
		}
		if hash := spec.Hash(name); c != nil && hash != c.Hash || c == nil && hash != "" {
			t.Errorf("%s: Hash is %q", name, hash)
		}
		if (c == nil) != (code == "not-found") {
			t.Errorf("%s: connector %+v", name, c)
		}
	}
	// A link to a file elsewhere is how configuration management hands out single files.
	if c, list := spec.Load("fine.yml"); list.HasErrors() || c.Key != "fine" {
		t.Errorf("fine.yml: %+v %v", c, list)
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	t.Chdir(t.TempDir())
	write(t, "c", map[string]string{"spec.yml": "name: C\n", "global-webhooks/a/spec.yml": goodWebhook, "global-webhooks/a/handle.js": goodHandler})
	for _, name := range []string{"c/global-webhooks/a/handle.js", "c/global-webhooks/a/spec.yml", "c/global-webhooks/a", "c/spec.yml", "c"} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
		_, list := spec.Load("c")
		if !slices.ContainsFunc(list, func(d diagnostic.Diagnostic) bool { return d.Code == "unreadable" && d.File == name }) {
			t.Errorf("%s: %v", name, list)
		}
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Kubernetes mounts a folder of links by way of ..data.
func TestKubernetesLayout(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"..2026_01_01/spec.yml": "name: Mounted\n", "..data": "LINK ..2026_01_01", "spec.yml": "LINK ..data/spec.yml",
		"global-webhooks/a/..v1/spec.yml": goodWebhook, "global-webhooks/a/..v1/handle.js": goodHandler, "global-webhooks/a/..data": "LINK ..v1",
		"global-webhooks/a/spec.yml": "LINK ..data/spec.yml", "global-webhooks/a/handle.js": "LINK ..data/handle.js",
	})
	c, list := spec.Load(dir)
	if len(list) > 0 || c.Name != "Mounted" || c.Webhook("a") == nil || c.Webhook("a").Handle == nil {
		t.Fatalf("%+v %v", c, list)
	}
	before := c.Hash
	write(t, dir, map[string]string{"..2026_01_02/spec.yml": "name: Changed\n", "..new": "LINK ..2026_01_02"})
	if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if c, list = spec.Load(dir); len(list) > 0 || c.Name != "Changed" || c.Hash == before {
		t.Fatalf("after the swap: %+v %v", c, list)
	}
}

// The same content has the same hash wherever it is; what matters changes it, and what does not does not.
func TestHash(t *testing.T) {
	files := map[string]string{
		"spec.yml": "name: C\n", "global-webhooks/a/spec.yml": goodWebhook, "global-webhooks/a/handle.js": goodHandler,
		"common.js": "x", "data.json": "{}", "fixtures/a.yml": "[]", "logo.png": "x", ".git/x.js": "x", "node_modules/x.js": "x",
	}
	load := func(change map[string]string) string {
		dir := t.TempDir()
		all := map[string]string{}
		for name, content := range files {
			all[name] = content
		}
		for name, content := range change {
			all[name] = content
		}
		write(t, dir, all)
		c, _ := spec.Load(dir)
		if c.Hash == "" {
			t.Fatal("no hash")
		}
		if alone := spec.Hash(dir); alone != c.Hash {
			t.Errorf("Hash is %s, that of Load %s", alone, c.Hash)
		}
		return c.Hash
	}
	base := load(nil)
	for name, differs := range map[string]bool{
		"spec.yml": true, "global-webhooks/a/handle.js": true, "common.js": true, "data.json": true, "new/deep/file.ts": true,
		"fixtures/a.yml": false, "logo.png": false, ".git/x.js": false, "node_modules/x.js": false, "fixtures/payloads/x.json": false,
	} {
		if got := load(map[string]string{name: "name: changed\n"}); (got != base) != differs {
			t.Errorf("%s: hash differs: %v, want %v", name, got != base, differs)
		}
	}
	if load(nil) != base {
		t.Error("the same content has another hash")
	}
	// A name and its content cannot be confused with another's.
	if load(map[string]string{"a.js": "b", "c.js": ""}) == load(map[string]string{"a.js": "", "c.js": "b"}) {
		t.Error("contents swapped, hash the same")
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "connectors", map[string]string{
		"box/spec.yml": "x", "crate/spec.yaml": "x", "nospec/global-webhooks/a/spec.yml": "x", "dirspec/spec.yml": "DIR",
		"acme.yml": "x", "other.yaml": "x", "pipe.yml": "FIFO", "gone.yml": "LINK nowhere", "linked": "LINK box",
		"README.md": "x", ".hidden/spec.yml": "x", ".hidden.yml": "x", "_draft/spec.yml": "x", "node_modules/spec.yml": "x", "empty": "DIR", "lib/x.js": "x",
	})
	got, list := spec.Find("connectors")
	want := []string{"acme.yml", "box", "crate", "dirspec", "gone.yml", "linked", "nospec", "other.yaml", "pipe.yml"}
	for i := range want {
		want[i] = filepath.Join("connectors", want[i])
	}
	if len(list) > 0 || !slices.Equal(got, want) {
		t.Errorf("got %v (%v)\nwant %v", got, list, want)
	}
	if _, list := spec.Find("conectors"); len(list) != 1 || list[0].Code != "not-found" || list[0].Hint != `did you mean "connectors"?` {
		t.Errorf("a folder that is not there: %v", list)
	}
	if _, list := spec.Find("connectors/acme.yml"); len(list) != 1 || !list.HasErrors() {
		t.Errorf("a file: %v", list)
	}
}

// Diagnostics name files as the person would: relative below the working directory, else absolute.
func TestShownPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"work/c/spec.yml": "name: [x]\n", "elsewhere/c/spec.yml": "name: [x]\n", "work/link": "LINK ../elsewhere/c", "work/f.yml": "name: [x]\n"})
	t.Chdir(filepath.Join(dir, "work"))
	tests := []struct{ path, file, shown string }{
		{"c", "c/spec.yml", "c"},
		{"./c/", "c/spec.yml", "c"},
		{"c/spec.yml", "c/spec.yml", "c"},
		{filepath.Join(dir, "work", "c"), "c/spec.yml", "c"},
		{"../elsewhere/c", filepath.Join(dir, "elsewhere/c/spec.yml"), filepath.Join(dir, "elsewhere/c")},
		{"link", "link/spec.yml", "link"},
		{"f.yml", "f.yml", ""},
		{filepath.Join(dir, "work", "f.yml"), "f.yml", ""},
	}
	for _, tt := range tests {
		c, list := spec.Load(tt.path)
		if len(list) == 0 || list[0].File != tt.file || c.Shown != tt.shown {
			t.Errorf("%s: %v, shown %q; want %s, %q", tt.path, list, c.Shown, tt.file, tt.shown)
		}
	}
	t.Chdir(filepath.Join(dir, "work", "c"))
	if c, list := spec.Load("."); list[0].File != "spec.yml" || c.Shown != "" || c.Key != "c" {
		t.Errorf("the working directory itself: %v, %+v", list, c)
	}
	t.Chdir(dir)
	if c, _ := spec.Load("work/link"); c.Root != resolved(t, filepath.Join(dir, "elsewhere/c")) || c.Key != "link" {
		t.Errorf("a linked folder: root %s, key %s", c.Root, c.Key)
	}
}

func resolved(t *testing.T, path string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

// All spellings of the getter, as a method and as a mere file.
func TestGetterSpellings(t *testing.T) {
	for _, name := range []string{"getEventSelector", "get-event-selector", "getEventsSelector", "get-events-selector"} {
		for _, ending := range []string{".js", ".ts", ".map.yml", ".yml"} {
			for _, methods := range []string{"", "methods:\n  " + name + ": {}\n", "functions:\n  " + name + ": {}\n"} {
				dir := t.TempDir()
				write(t, dir, map[string]string{
					"spec.yml": "key: c\n", "global-webhooks/a/spec.yml": goodWebhook, "global-webhooks/a/handle.js": goodHandler,
					"events/e/spec.yml": "implementationType: global-webhook\n" + methods, "events/e/" + name + ending: "x",
				})
				c, list := spec.Load(dir)
				e := c.Event("e")
				if len(list) > 0 || e == nil || e.GetEventSelector == nil {
					t.Errorf("%s%s %q: %v", name, ending, methods, list)
					continue
				}
				wantKind := spec.JavaScript
				if strings.HasSuffix(ending, ".yml") {
					wantKind = spec.Mapping
				}
				if f := e.GetEventSelector; f.Name != "getEventSelector" || f.Kind != wantKind || f.File != "events/e/"+name+ending {
					t.Errorf("%s%s: %+v", name, ending, f)
				}
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.y*ml")
	more, _ := filepath.Glob("testdata/good/*/*/*/spec.yml")
	for _, file := range append(files, more...) {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, source []byte) {
		single := filepath.Join(dir, "c.yml")
		folder := filepath.Join(dir, "c")
		for _, name := range []string{"spec.yml", "global-webhooks/a/spec.yml", "events/e/spec.yml"} {
			path := filepath.Join(folder, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, source, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(single, source, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{single, folder} {
			c, list := spec.Load(path)
			if c == nil {
				t.Fatal("nil connector")
			}
			for _, d := range list {
				if d.Message == "" || d.Code == "" || d.File == "" {
					t.Fatalf("a poor diagnostic: %+v", d)
				}
			}
			if list.HasErrors() {
				continue
			}
			for _, w := range c.Webhooks {
				if w.Handle == nil || w.Node == nil || c.Webhook(w.Key) != w {
					t.Fatalf("no errors, but a webhook is not whole: %+v", w)
				}
			}
			for _, e := range c.Events {
				if (e.Selector == nil) == (e.GetEventSelector == nil) || e.Selector != nil && len(c.Webhooks) > 0 && c.Webhook(e.Webhook) == nil {
					t.Fatalf("no errors, but an event is not whole: %+v", e)
				}
			}
		}
	})
}

// Of events that are made of others, in events and in data, those are taken that can be served; what else is in data is of no concern.
func TestChainedEvents(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"spec.yml": "name: X", "global-webhooks/w/spec.yml": "verify: none", "global-webhooks/w/handle.js": "export default () => ({})",
		"events/plain/spec.yml":           "implementationType: global-webhook\nselector: a",
		"events/none/spec.yml":            "implementationType: global-webhook\nmethods: {getEventSelector: {implementationType: not-supported}}",
		"events/made/spec.yml":            "implementationType: connector-event\nmethods: {getEventConfig: {implementationType: javascript}}",
		"events/made/get-event-config.js": "export default () => ({eventKey: 'plain'})",
		"data/orders/spec.yml":            "key: orders\nname: Orders\nevents:\n  created: {implementationType: connector-event}\n  updated: {implementationType: connector-event}\n  deleted: {implementationType: full-scan}",
		"data/orders/events-created-connector-event-get-event-config.js": "export default () => ({eventKey: 'plain'})",
		"data/orders/events-created-connector-event-extract-events.ts":   "export default (a: any) => a",
		"data/broken/spec.yml":   "a: [",
		"data/odd name/spec.yml": "events: {created: {implementationType: connector-event}}",
		"data/list/spec.yml":     "events: [created]",
		"data/file.yml":          "x: 1",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, list := spec.Load(dir)
	var keys []string
	for _, e := range c.Events {
		keys = append(keys, e.Key)
	}
	if got := strings.Join(keys, " "); list.HasErrors() || got != "made orders.created plain" {
		t.Fatalf("%s\n%s", got, list)
	}
	if len(list) != 1 || !strings.Contains(list[0].Message, `the event "orders.updated" is not served`) {
		t.Errorf("%v", list)
	}
	e := c.Event("orders.created")
	if e.Name != "Orders created" || e.GetEventConfig == nil || e.ExtractEvents == nil || e.ExtractEvents.File != "data/orders/events-created-connector-event-extract-events.ts" {
		t.Errorf("%+v", e)
	}
	if want := map[string]string{"none": "not-supported", "orders.updated": "connector-event", "odd name.created": "connector-event"}; !maps.Equal(c.Unserved, want) {
		t.Errorf("%v", c.Unserved)
	}
}
