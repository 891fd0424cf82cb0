package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Load reads one connector: a folder, or a single YAML file. The list says
// everything that is wrong with it at once; when it has errors the connector is not
// fit for use, but has what could be read. It is nil only when there is nothing at path.
//
// Load reads regular files only and never blocks on another kind.
func Load(path string) (*Connector, diagnostic.List) {
	shown := showPath(path)
	hopeless := func(code, message, hint string) (*Connector, diagnostic.List) {
		return nil, diagnostic.List{{Code: code, File: shown, Message: message, Hint: hint}}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return hopeless("not-found", "there is no such folder or file", nearestFile(path))
	case err != nil:
		return hopeless("unreadable", "it cannot be read: "+reason(err), "")
	}
	if base := filepath.Base(path); !info.IsDir() && slices.Contains(specNames, base) {
		path = filepath.Dir(path) // the spec of a folder stands for the folder
		shown = showPath(path)
		if info, err = os.Stat(path); err != nil {
			return hopeless("unreadable", "it cannot be read: "+reason(err), "")
		}
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return hopeless("unreadable", "it cannot be read: "+reason(err), "")
	}
	l := &loader{c: &Connector{Key: keyOf(path), Dir: info.IsDir(), Unserved: map[string]string{}}}
	if info.IsDir() {
		if shown == "." {
			shown = ""
		}
		l.c.Root, l.c.Shown = real, shown
		l.loadFolder()
	} else {
		l.c.File = real
		l.loadFile(path, shown, info)
	}
	l.list.Sort()
	return l.c, l.list
}

// Hash is the Hash of the connector that Load would return, and costs a fraction of loading it. It
// is "" where Load could not read anything.
func Hash(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if !info.IsDir() && !slices.Contains(specNames, filepath.Base(path)) {
		content, err := readSingle(path, info)
		if err != nil {
			return ""
		}
		return hashOf(content)
	}
	if !info.IsDir() {
		path = filepath.Dir(path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	f, err := openFolder(real, "")
	if err != nil {
		return ""
	}
	defer f.close()
	hash, err := f.hash()
	if err != nil {
		return ""
	}
	return hash
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func readSingle(path string, info fs.FileInfo) ([]byte, error) {
	return readRegular(info, maxSpecSize, func() (*os.File, error) {
		return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	})
}

// keyOf is the key of a connector whose spec has none: the name of the folder
// or of the file without its ending.
func keyOf(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	base := filepath.Base(absolute)
	if isYAML(base) {
		base = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return base
}

// showPath is a path as diagnostics show it: relative to the working
// directory when below it, else absolute.
func showPath(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return filepath.ToSlash(path)
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, absolute); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(absolute)
}

func nearestFile(path string) string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return diagnostic.DidYouMean(filepath.Base(path), names)
}

// Find lists the connectors in a folder, sorted by name: its sub-folders with a spec.yml or spec.yaml (or
// global-webhooks, so that a missing spec is noticed), and its *.yml and *.yaml files. Names that begin
// with a dot or an underscore and node_modules are passed over. The paths begin with folder as it was given.
func Find(folder string) ([]string, diagnostic.List) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		d := diagnostic.Diagnostic{Code: "unreadable", File: showPath(folder), Message: "the folder cannot be read: " + reason(err)}
		if errors.Is(err, fs.ErrNotExist) {
			d.Code, d.Message, d.Hint = "not-found", "there is no such folder", nearestFile(folder)
		}
		return nil, diagnostic.List{d}
	}
	var paths []string
	for _, e := range entries {
		if passedOver(e.Name()) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		info, err := os.Stat(path) // follows links
		switch {
		case err == nil && info.IsDir():
			if slices.ContainsFunc(append([]string{webhooksFolder}, specNames...), func(name string) bool {
				_, err := os.Lstat(filepath.Join(path, name))
				return err == nil
			}) {
				paths = append(paths, path)
			}
		case isYAML(e.Name()):
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// The files and folders of a connector that mean something.
const (
	webhooksFolder = "global-webhooks"
	eventsFolder   = "events"
	fixturesFolder = "fixtures"
	configuration  = "configuration.md"
)

var specNames = []string{"spec.yml", "spec.yaml"}

// knownFolders are those of the published format that are of no concern here, so that none is taken for a slip.
var knownFolders = []string{"actions", "api", "auth", "data", "docs", "flows", "lib", "operations", "proxy", "public", "src", "test", "tests", "udm", "ui"}

// keyPattern is what keys look like: they stand in URLs.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// loader fills one Connector.
type loader struct {
	c      *Connector
	folder *folder // nil for the single-file form
	list   diagnostic.List
}

func (l *loader) add(d ...diagnostic.Diagnostic) { l.list.Add(d...) }

// lenient turns errors into warnings: what is not ours to judge in the published format.
func lenient(list diagnostic.List) diagnostic.List {
	for i := range list {
		list[i].Severity = diagnostic.Warning
	}
	return list
}

func (l *loader) loadFolder() {
	f, err := openFolder(l.c.Root, l.c.Shown)
	if err != nil {
		l.add(diagnostic.Diagnostic{Code: "unreadable", File: l.c.Shown, Message: "the folder cannot be read: " + reason(err)})
		return
	}
	defer f.close()
	l.folder = f
	// The hash comes first: should a file change meanwhile, the next look finds another hash.
	if l.c.Hash, err = f.hash(); err != nil {
		l.c.Hash = ""
		l.add(f.diagnose(".", err))
	}
	names, err := f.names(".")
	if err != nil {
		l.add(f.diagnose(".", err))
		return
	}
	l.misspeltFolders(names)
	doc := l.readSpec(".")
	if doc != nil {
		l.c.File = filepath.Join(l.c.Root, filepath.Base(doc.File))
		l.connector(doc)
	}
	if content, err := f.read(configuration, maxTextSize); err == nil {
		l.c.Configuration = l.text(configuration, content)
	} else if !errors.Is(err, fs.ErrNotExist) {
		l.add(f.diagnose(configuration, err))
	}
	l.webhookFolders()
	l.eventFolders()
	l.findFixtures()
	l.finish()
}

// text is Markdown for people; what is wrong with it is no reason not to serve.
func (l *loader) text(name string, content []byte) string {
	if !utf8.Valid(content) {
		l.add(diagnostic.Diagnostic{Severity: diagnostic.Warning, Code: "invalid-utf8", File: l.folder.show(name),
			Message: "the file is not UTF-8 text", Hint: "save it as UTF-8"})
	}
	return strings.ToValidUTF8(string(content), "\uFFFD")
}

// misspeltFolders warns of folders that are named almost as one that counts.
func (l *loader) misspeltFolders(names []string) {
	known := []string{webhooksFolder, eventsFolder, fixturesFolder}
	for _, name := range names {
		if slices.Contains(known, name) || slices.Contains(knownFolders, name) {
			continue
		}
		hint := diagnostic.DidYouMean(name, known)
		if hint == "" {
			continue
		}
		if info, err := l.folder.stat(name); err == nil && info.IsDir() {
			l.add(diagnostic.Diagnostic{Severity: diagnostic.Warning, Code: "unknown-folder", File: l.folder.show(name),
				Message: "a folder of this name is ignored", Hint: hint})
		}
	}
}

// readSpec parses the spec.yml (or .yaml) in dir; nil when there is none
// that can be used, which it then has reported.
func (l *loader) readSpec(dir string) *document.Document {
	var found []string
	for _, name := range specNames {
		name = join(dir, name)
		if _, err := l.folder.root.Lstat(name); err == nil {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		names, _ := l.folder.names(dir)
		l.add(diagnostic.Diagnostic{Code: "no-spec", File: l.folder.show(dir), Message: "there is no spec.yml in this folder",
			Hint: rename("spec.yml", names)})
		return nil
	}
	if len(found) > 1 {
		l.add(diagnostic.Diagnostic{Code: "two-specs", File: l.folder.show(found[1]),
			Message: "there are a spec.yml and a spec.yaml in this folder", Hint: "keep one of them"})
	}
	content, err := l.folder.read(found[0], maxSpecSize)
	if err != nil {
		l.add(l.folder.diagnose(found[0], err))
		return nil
	}
	return l.parse(l.folder.show(found[0]), content)
}

// parse returns nil, and has reported why, when the file is no use.
func (l *loader) parse(shown string, content []byte) *document.Document {
	doc, list := document.Parse(shown, content)
	l.add(list...)
	if list.HasErrors() {
		return nil
	}
	if doc.Root.Kind != document.Map {
		message := "expected a map of keys such as key: and name:, got " + doc.Root.Kind.String()
		if doc.Root.Kind == document.Null {
			message = "the file is empty"
		}
		l.add(doc.Root.Errorf("wrong-type", "%s", message))
		return nil
	}
	return doc
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

func (l *loader) loadFile(path, shown string, info fs.FileInfo) {
	if l.c.Shown = showPath(filepath.Dir(path)); l.c.Shown == "." {
		l.c.Shown = ""
	}
	content, err := readSingle(path, info)
	if err != nil {
		l.add((&folder{shown: shown}).diagnose("", err))
		return
	}
	l.c.Hash = hashOf(content)
	if !isYAML(path) {
		l.add(diagnostic.Diagnostic{Code: "not-a-connector", File: shown, Message: "a connector is a folder, or a file that ends in .yml or .yaml"})
		return
	}
	if doc := l.parse(shown, content); doc != nil {
		l.connector(doc)
	}
	l.finish()
}

// The keys of a connector's spec.
var (
	connectorKeys = []string{"key", "name", "description", "logoUri", "apiDocsUri", "parametersSchema", "globalWebhooks", "events"}
	fileKeys      = []string{"configuration", "fixtures"}
	// Keys that the published format has and we do not need.
	foreignConnectorKeys = []string{"id", "uuid", "appUuid", "appUri", "baseUri", "auth", "api", "ui", "udm", "udms", "categories", "status", "version",
		"revision", "options", "proxy", "tags", "state", "isReadOnly", "isPublic", "hasReadme", "popularity", "eventsCount"}
)

type connectorSpec struct {
	Key              string         `yaml:"key"`
	Name             string         `yaml:"name"`
	Description      string         `yaml:"description"`
	LogoURI          string         `yaml:"logoUri"`
	APIDocsURI       string         `yaml:"apiDocsUri"`
	ParametersSchema *document.Node `yaml:"parametersSchema"`
	Webhooks         *document.Node `yaml:"globalWebhooks"`
	Events           *document.Node `yaml:"events"`
	Configuration    string         `yaml:"configuration"`
	Fixtures         *document.Node `yaml:"fixtures"`
}

// connector takes over what spec.yml or the single file says.
func (l *loader) connector(doc *document.Document) {
	l.c.Document = doc
	var s connectorSpec
	l.add(doc.Root.Decode(&s, document.AllowUnknown())...)
	known := connectorKeys
	if !l.c.Dir {
		known = append(fileKeys, known...)
		l.c.Configuration = s.Configuration
		l.c.InlineFixtures = present(s.Fixtures)
	}
	l.unknownKeys(doc.Root, known, foreignConnectorKeys)
	if s.Key != "" {
		l.c.Key = s.Key
	}
	at := doc.Root
	if k := at.Get("key"); k != nil {
		at = k
	}
	l.checkKey(doc.Root, at, l.c.Key, "a connector")
	l.c.Name, l.c.Description, l.c.LogoURI, l.c.APIDocsURI = s.Name, s.Description, s.LogoURI, s.APIDocsURI
	if l.c.Name == "" {
		l.c.Name = l.c.Key
	}
	l.c.ParametersSchema = l.schema(s.ParametersSchema, false)
	for _, e := range l.inline(s.Webhooks, "a global webhook") {
		l.inlineWebhook(e)
	}
	for _, e := range l.inline(s.Events, "an event") {
		l.inlineEvent(e)
	}
}

// present is nil for a key without a value.
func present(n *document.Node) *document.Node {
	if n == nil || n.Kind == document.Null {
		return nil
	}
	return n
}

// unknownKeys reports keys of n that are not known: all of them in the
// single-file form, which is ours; near misses only in the published format, which
// has more keys than we know.
func (l *loader) unknownKeys(n *document.Node, known, foreign []string) {
	for _, e := range n.Entries() {
		if slices.Contains(known, e.Key) || strings.HasPrefix(e.Key, "x-") {
			continue
		}
		if !l.c.Dir {
			l.add(document.UnknownKey(e, known...))
			continue
		}
		if near := diagnostic.Nearest(e.Key, known); near != "" && n.Get(near) == nil && !slices.Contains(foreign, e.Key) {
			d := e.KeyNode.Warnf("unknown-key", "the key %q is ignored", e.Key)
			d.Hint = diagnostic.DidYouMean(e.Key, known)
			l.add(d)
		}
	}
}

// misspelt reports whether n has a key that looks like a slip of key. In the single-file form that
// is an error already, so that nothing need be said about key being missing.
func misspelt(n *document.Node, key string, known []string) bool {
	return slices.ContainsFunc(n.Keys(), func(k string) bool {
		return !slices.Contains(known, k) && diagnostic.Nearest(k, known) == key
	})
}

// checkKey reports a key that cannot stand in a URL. At is where it stands; where the spec n gives
// none it is the name of the file or folder.
func (l *loader) checkKey(n, at *document.Node, key, what string) {
	switch {
	case keyPattern.MatchString(key):
	case at.Value == key:
		l.add(withHint(at.Errorf("bad-key", "the key of %s has only letters, digits, dots, dashes and underscores, at most 100", what),
			prefixed("such as ", suggestKey(key))))
	default:
		l.add(withHint(n.Errorf("bad-key", "the name %q cannot be the key of %s", key, what), prefixed("give it a key: ", suggestKey(key))))
	}
}

// prefixed is text with prefix in front, or "" when there is no text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// CheckKey reports a key that cannot be that of a connector, a webhook or an event, with one that
// resembles it ("" for none); ok when it can.
func CheckKey(key string) (suggestion string, ok bool) {
	return suggestKey(key), keyPattern.MatchString(key)
}

// suggestKey is a valid key that resembles key; "" for none.
func suggestKey(key string) string {
	s := strings.Trim(regexp.MustCompile(`[^A-Za-z0-9._]+`).ReplaceAllString(strings.ToLower(key), "-"), "-._")
	if !keyPattern.MatchString(s) {
		return ""
	}
	return s
}

func withHint(d diagnostic.Diagnostic, hint string) diagnostic.Diagnostic {
	d.Hint = hint
	return d
}

// schema compiles a schema of the spec; nil when it is absent or broken.
// In the published format, which has words of its own in schemas, what cannot be
// understood is left out with a warning.
func (l *loader) schema(n *document.Node, payload bool) *Schema {
	if present(n) == nil {
		return nil
	}
	if n.Kind != document.Map {
		l.add(n.Errorf(codeType, "expected a JSON Schema, which is a map, got %s", n.Kind))
		return nil
	}
	s, list := (&schemaCompiler{tolerant: l.c.Dir, payload: payload}).compile(n)
	l.add(list...)
	return s
}

// entry is a webhook or an event that stands in the connector's own file.
type entry struct {
	key  string
	at   *document.Node // where the key stands
	node *document.Node
}

// inline lists what globalWebhooks: or events: holds: a map by key, or a list of things with a key.
func (l *loader) inline(n *document.Node, what string) []entry {
	if present(n) == nil {
		return nil
	}
	var entries []entry
	switch n.Kind {
	case document.Map:
		for _, e := range n.Entries() {
			if e.Value.Kind != document.Map {
				l.add(e.Value.Errorf("wrong-type", "expected a map that describes %s, got %s", what, e.Value.Kind))
				continue
			}
			if k := e.Value.Get("key"); k != nil && k.Value != e.Key {
				l.add(withHint(k.Errorf("wrong-key", "this is the key of %s that stands under %q", what, e.Key), "leave key: out"))
			}
			entries = append(entries, entry{e.Key, e.KeyNode, e.Value})
		}
	case document.List:
		for _, item := range n.Items() {
			if item.Kind != document.Map {
				l.add(item.Errorf("wrong-type", "expected a map that describes %s, got %s", what, item.Kind))
				continue
			}
			k := item.Get("key")
			if k == nil || k.Value == "" {
				l.add(item.Errorf("missing-key", "the key %q is missing", "key"))
				continue
			}
			entries = append(entries, entry{k.Value, k, item})
		}
	default:
		l.add(n.Errorf("wrong-type", "expected a map by key, each entry of which describes %s, got %s", what, n.Kind))
	}
	return entries
}

// findFixtures lists fixtures/*.yml and *.yaml.
func (l *loader) findFixtures() {
	names, err := l.folder.names(fixturesFolder)
	if err != nil {
		l.add(l.folder.diagnose(fixturesFolder, err))
		return
	}
	for _, name := range names {
		if !isYAML(name) {
			continue
		}
		name = fixturesFolder + "/" + name
		info, err := l.folder.stat(name)
		if err == nil {
			err = checkRegular(info, document.MaxSize)
		}
		if err != nil {
			l.add(l.folder.diagnose(name, err))
			continue
		}
		l.c.Fixtures = append(l.c.Fixtures, filepath.Join(l.c.Root, filepath.FromSlash(name)))
	}
}

// finish checks what only the whole connector shows, and sorts.
func (l *loader) finish() {
	if l.c.Name == "" {
		l.c.Name = l.c.Key
	}
	slices.SortStableFunc(l.c.Webhooks, func(a, b *GlobalWebhook) int { return strings.Compare(a.Key, b.Key) })
	slices.SortStableFunc(l.c.Events, func(a, b *Event) int { return strings.Compare(a.Key, b.Key) })
	if l.c.Document != nil && len(l.c.Webhooks) == 0 && !l.list.HasErrors() {
		d := l.c.Document.Root.Warnf("no-webhooks", "the connector has no global webhooks, so it can receive nothing")
		d.Hint = "add one under globalWebhooks:"
		if l.c.Dir {
			d.Hint = fmt.Sprintf("add one as %s/KEY/spec.yml", webhooksFolder)
		}
		l.add(d)
	}
	l.linkEvents()
}
