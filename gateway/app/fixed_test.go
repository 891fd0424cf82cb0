package app

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"switchhook/gateway/config"
)

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, list := config.Load(path, config.Options{Env: func(string) (string, bool) { return "", false }})
	if list.HasErrors() {
		t.Fatal(list)
	}
	return cfg
}

// Every setting either is in force after a reload, or is named as one that takes a restart.
func TestFixedSettings(t *testing.T) {
	const folders = "connectors: /tmp\ndata: /tmp\n"
	started := load(t, folders)
	read := load(t, `
server: {listen: "127.0.0.1:1", publicUrl: "https://x.example", maxBody: 1MiB, maxHeader: 1MiB, inFlightBytes: 4MiB, maxConnections: 1, readTimeout: 1s,
  writeTimeout: 1s, idleTimeout: 1s, drainTimeout: 1s, trustedProxies: [10.0.0.0/8], rateLimit: {perWebhook: 1}}
admin: {listen: "127.0.0.1:2", token: a-token-that-is-long}
connectors: /
data: /var
urlKey: 0123456789abcdef0123456789abcdef
scripts: {isolation: in-process, timeout: 9s, killAfter: 10s, memory: 1GiB}
retention: {age: 1h, size: 1GiB}
dedupe: {window: 1h}
log: {level: debug, format: json}
workspaces: {w: {}}
`)
	names := fixedSettings(started, read)
	for _, section := range []string{"server", "admin", "scripts", "dedupe", "log"} {
		var s any
		switch section {
		case "server":
			s = config.Server{}
		case "admin":
			s = config.Admin{}
		case "scripts":
			s = config.Scripts{}
		case "dedupe":
			s = config.Dedupe{}
		case "log":
			s = config.Log{}
		}
		for i := range reflect.TypeOf(s).NumField() {
			if name := section + "." + reflect.TypeOf(s).Field(i).Tag.Get("yaml"); !slices.Contains(names, name) {
				t.Errorf("%s is not named; is it in the test's configuration?", name)
			}
		}
	}
	for _, name := range []string{"connectors", "data", "urlKey"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not named", name)
		}
	}
	if got := fixedSettings(started, load(t, folders+"retention: {age: 1h}\nworkspaces: {w: {}}")); len(got) > 0 {
		t.Errorf("what changes at once is named: %v", got)
	}
	now := inForce(started, read)
	if got := fixedSettings(started, now); len(got) > 0 {
		t.Errorf("in force, though they take a restart: %v", got)
	}
	if now.Retention != read.Retention || len(now.Workspaces) != 1 {
		t.Error("what can change is not in force")
	}
	// A setting that is new must be given a place here.
	if n := reflect.TypeOf(config.Config{}).NumField(); n != 13 {
		t.Errorf("config.Config has %d fields: see that inForce and fixedSettings know them", n)
	}
}
