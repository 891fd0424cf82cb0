package tests

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport lists, for every package of the project, which others it may
// import. Imports run downwards; an arrow that runs back or past this list is
// a change of architecture, to be argued in ARCHITECTURE.md first. A name with
// "/..." stands for a package and all below it.
var mayImport = map[string][]string{
	"spec/diagnostic": {},
	"spec/document":   {"spec/diagnostic"},
	"spec":            {"spec/diagnostic", "spec/document"},

	"gateway/hook":      {},
	"gateway/body":      {"gateway/hook"},
	"gateway/packed":    {},
	"gateway/match":     {"gateway/hook", "gateway/body", "gateway/packed", "spec/diagnostic", "spec/document"},
	"gateway/verify":    {"gateway/hook", "gateway/body", "gateway/verify/template", "spec/diagnostic", "spec/document"},
	"gateway/handshake": {"gateway/hook", "gateway/body", "gateway/match", "gateway/verify", "gateway/verify/template", "spec/diagnostic", "spec/document"},

	"gateway/verify/template": {"gateway/hook", "gateway/body", "spec/diagnostic", "spec/document"},

	"gateway/script":  {"gateway/hook", "gateway/body", "gateway/script/...", "spec/diagnostic", "spec/document"},
	"gateway/config":  {"gateway/hook", "spec/diagnostic", "spec/document"},
	"gateway/store":   {"gateway/hook"},
	"gateway/deliver": {"gateway/hook"},

	"gateway/deliver/destination": {"gateway/hook", "gateway/deliver"},
	"gateway/store/sqlite":        {"gateway/hook", "gateway/store"},
	"gateway/store/memory":        {"gateway/hook", "gateway/store"},
	"gateway/store/storetest":     {"gateway/hook", "gateway/store"},

	"gateway/live": {"gateway/hook", "gateway/script", "gateway/match", "gateway/packed", "gateway/verify", "gateway/handshake", "gateway/config",
		"spec", "spec/diagnostic", "spec/document"},
	"gateway/ingest": {"gateway/hook", "gateway/body", "gateway/live", "gateway/match", "gateway/script", "gateway/verify", "gateway/handshake", "gateway/store"},

	"gateway/quarantine": {"gateway/hook", "gateway/ingest", "gateway/live", "gateway/script", "gateway/store"},

	"gateway/server": {"gateway/hook"},
	"gateway/fixture": {"gateway/hook", "gateway/body", "gateway/ingest", "gateway/live", "gateway/script", "gateway/verify", "gateway/match",
		"gateway/config", "gateway/store", "gateway/store/memory", "spec", "spec/diagnostic", "spec/document"},
	"gateway/metrics":       {"gateway/hook", "gateway/ingest", "gateway/deliver", "gateway/live", "gateway/server", "gateway/store", "spec/diagnostic"},
	"gateway/activity":      {"gateway/hook", "gateway/ingest", "gateway/deliver", "gateway/store", "spec/diagnostic"},
	"gateway/console/pages": {},
	"gateway/console": {"gateway/console/pages", "gateway/hook", "gateway/activity", "gateway/body", "gateway/ingest", "gateway/live", "gateway/match", "gateway/quarantine", "gateway/store", "gateway/deliver", "gateway/config",
		"gateway/script", "gateway/fixture", "spec", "spec/diagnostic", "spec/document"},

	"gateway/starter": {"spec"},

	"gateway/app": {"gateway/...", "spec/..."},
	"gateway/cli": {"gateway/...", "spec/..."},
	"gateway":     {"gateway/cli", "gateway/script/worker"},
}

// only says which packages a library is for, where it is not for all.
var only = map[string][]string{
	"github.com/dop251/goja":       {"gateway/script/..."},
	"github.com/evanw/esbuild":     {"gateway/script/..."},
	"gopkg.in/yaml.v3":             {"spec/document"},
	"github.com/valyala/fasthttp":  {"gateway/server"},
	"modernc.org/sqlite":           {"gateway/store/sqlite"},
	"github.com/spf13/cobra":       {"gateway/cli"},
	"github.com/twmb/franz-go":     {"gateway/deliver/destination"},
	"github.com/nats-io/nats.go":   {"gateway/deliver/destination"},
	"github.com/golang-jwt/jwt/v5": {"gateway/verify"},
	"github.com/yuin/goldmark":     {"gateway/console"},

	"github.com/prometheus/client_golang": {"gateway/metrics"},
	"github.com/elastic/go-seccomp-bpf":   {"gateway/script/worker"},
}

// TestImportsRunDownwards reads the imports of every file that is not a test.
func TestImportsRunDownwards(t *testing.T) {
	seen := map[string]bool{}
	walkPackages(t, func(pkg, file string, imports []string) {
		seen[pkg] = true
		allowed, known := allowedFor(pkg)
		if !known {
			t.Errorf("%s: package %s has no place in the architecture; add it to mayImport", file, pkg)
			return
		}
		for _, path := range imports {
			own, inside := strings.CutPrefix(path, "switchhook/")
			if inside && own != pkg && !matches(own, allowed) {
				t.Errorf("%s: %s may not import %s", file, pkg, own)
			}
			if pkg == "gateway/hook" && strings.Contains(path, ".") {
				t.Errorf("%s: hook imports the standard library only, not %s", file, path)
			}
			for library, users := range only {
				if (path == library || strings.HasPrefix(path, library+"/")) && !matches(pkg, users) {
					t.Errorf("%s: %s is not for %s", file, library, pkg)
				}
			}
		}
	})
	for pkg := range mayImport {
		if !seen[pkg] {
			t.Errorf("mayImport names the package %s, which does not exist", pkg)
		}
	}
}

func allowedFor(pkg string) ([]string, bool) {
	for at := pkg; at != "."; at = filepath.Dir(at) {
		if allowed, ok := mayImport[at]; ok && (at == pkg || at == "gateway/script") {
			return allowed, true
		}
	}
	return nil, false
}

func matches(pkg string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		base, below := strings.CutSuffix(p, "/...")
		return pkg == base || below && strings.HasPrefix(pkg, base+"/")
	})
}

// walkPackages calls visit for every Go file of spec/ and gateway/ that is not a test.
func walkPackages(t *testing.T, visit func(pkg, file string, imports []string)) {
	t.Helper()
	root := os.DirFS("..")
	for _, top := range []string{"spec", "gateway"} {
		err := fs.WalkDir(root, top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			source, err := fs.ReadFile(root, path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ImportsOnly)
			if err != nil {
				return err
			}
			var imports []string
			for _, i := range file.Imports {
				name, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					return err
				}
				imports = append(imports, name)
			}
			visit(filepath.ToSlash(filepath.Dir(path)), path, imports)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
