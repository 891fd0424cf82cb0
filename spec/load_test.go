package spec_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGood loads every connector under testdata/good and compares what came out.
func TestGood(t *testing.T) {
	paths, list := spec.Find("testdata/good")
	if len(list) > 0 || len(paths) == 0 {
		t.Fatal(paths, list)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, list := spec.Load(path)
			var b bytes.Buffer
			describe(&b, c)
			if err := diagnostic.WriteText(&b, list, false); err != nil {
				t.Fatal(err)
			}
			if list.HasErrors() {
				t.Errorf("it has errors")
			}
			file := filepath.Join("testdata/good", filepath.Base(path)+".golden")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("(-want +got); run with -update if that is right:\n%s", diff)
			}
			checkPlaces(t, c)
		})
	}
}

func describe(b *bytes.Buffer, c *spec.Connector) {
	wd, _ := os.Getwd()
	local := func(path string) string { return strings.TrimPrefix(path, wd+"/") }
	fmt.Fprintf(b, "key %s\nname %s\ndescription %s\nlogo %s\ndocs %s\n", c.Key, c.Name, c.Description, c.LogoURI, c.APIDocsURI)
	fmt.Fprintf(b, "dir %v\nroot %s\nfile %s\nshown %s\n", c.Dir, local(c.Root), local(c.File), c.Shown)
	fmt.Fprintf(b, "configuration %q\n", c.Configuration)
	if c.ParametersSchema != nil {
		fmt.Fprintf(b, "parameters %s\n", c.ParametersSchema.Raw())
	}
	function := func(f *spec.Function) {
		if f == nil {
			return
		}
		fmt.Fprintf(b, "  %s: %s", f.Name, f.Kind)
		if f.File != "" {
			fmt.Fprintf(b, " in %s\n", f.File)
			return
		}
		fmt.Fprintf(b, " at %s:%d:%d, indent %d\n", f.CodeFile, f.Line, f.Column, f.Indent)
		for line := range strings.Lines(f.Code) {
			fmt.Fprintf(b, "    %s\n", strings.TrimRight(line, "\n"))
		}
	}
	for _, w := range c.Webhooks {
		fmt.Fprintf(b, "webhook %s: %s\n", w.Key, w.Name)
		if w.Verify != nil {
			fmt.Fprintf(b, "  verify %s\n", w.Verify.JSON())
		}
		if w.Handshake != nil {
			fmt.Fprintf(b, "  handshake %s\n", w.Handshake.JSON())
		}
		function(w.Handle)
		function(w.HandshakeFunction)
	}
	for _, e := range c.Events {
		fmt.Fprintf(b, "event %s: %s\n", e.Key, e.Name)
		if e.Selector != nil {
			fmt.Fprintf(b, "  selector %s of %s\n", e.Selector, e.Webhook)
		}
		function(e.GetEventSelector)
		if e.ParametersSchema != nil {
			fmt.Fprintf(b, "  parameters %s\n", e.ParametersSchema.Raw())
		}
		if e.Schema != nil {
			fmt.Fprintf(b, "  schema %s\n", e.Schema.Raw())
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Unserved)) {
		fmt.Fprintf(b, "unserved %s (%s)\n", key, c.Unserved[key])
	}
	for _, f := range c.Fixtures {
		fmt.Fprintf(b, "fixtures %s\n", local(f))
	}
	if c.InlineFixtures != nil {
		fmt.Fprintf(b, "inline fixtures %s\n", c.InlineFixtures.JSON())
	}
}

// checkPlaces reads the code of inline functions from where they say it stands.
func checkPlaces(t *testing.T, c *spec.Connector) {
	t.Helper()
	var functions []*spec.Function
	for _, w := range c.Webhooks {
		functions = append(functions, w.Handle, w.HandshakeFunction)
	}
	for _, e := range c.Events {
		functions = append(functions, e.GetEventSelector)
	}
	for _, f := range functions {
		if f == nil {
			continue
		}
		if f.File != "" {
			if info, err := os.Stat(filepath.Join(c.Root, f.File)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: %v", f.File, err)
			}
			continue
		}
		dir := c.Root
		if !c.Dir {
			dir = filepath.Dir(c.File)
		}
		source, err := os.ReadFile(filepath.Join(dir, f.CodeFile))
		if err != nil {
			t.Fatal(err)
		}
		line := []rune(strings.Split(string(source), "\n")[f.Line-1])
		first, _, _ := strings.Cut(f.Code, "\n")
		if got := string(line[f.Column-1:]); !strings.HasPrefix(got, first) {
			t.Errorf("%s:%d:%d has %q, not %q", f.CodeFile, f.Line, f.Column, got, first)
		}
	}
}

// TestBroken loads the connectors in testdata/broken/*.txtar, each of which
// also has what is to be said about it. What is loaded is c, c.yml or c.yaml.
func TestBroken(t *testing.T) {
	archives, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(archives, err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := loadArchive(t, archive)
			last := len(archive.Files) - 1
			if archive.Files[last].Name != "want" {
				archive.Files = append(archive.Files, txtar.File{Name: "want"})
				last++
			}
			if string(archive.Files[last].Data) == got {
				return
			}
			if !*update {
				t.Errorf("(-want +got); run with -update if that is right:\n%s", cmp.Diff(string(archive.Files[last].Data), got))
				return
			}
			archive.Files[last].Data = []byte(got)
			absolute := filepath.Join(repository, file)
			if err := os.WriteFile(absolute, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

var repository, _ = os.Getwd()

// loadArchive loads the connector in an archive and returns what is said about it.
func loadArchive(t *testing.T, archive *txtar.Archive) (string, *spec.Connector) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := "c"
	for _, name := range []string{"c.yml", "c.yaml"} {
		if _, err := os.Stat(name); err == nil {
			path = name
		}
	}
	c, list := spec.Load(path)
	var b bytes.Buffer
	if err := diagnostic.WriteText(&b, list, false); err != nil {
		t.Fatal(err)
	}
	return b.String(), c
}
