package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// method is a function that a spec can have.
type method struct {
	name      string   // canonical
	spellings []string // in camelCase; kebab-case is understood of each
	files     []string // the names of files, where they are not the spellings
}

func (m method) is(key string) bool {
	return slices.ContainsFunc(m.spellings, func(s string) bool { return key == s || key == kebab(s) })
}

// kebab turns camelCase into kebab-case.
func kebab(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// The endings of files by kind of function, in the order in which they are looked for.
var (
	scriptEndings  = []string{".js", ".ts", ".mjs", ".mts", ".cjs", ".cts"}
	mappingEndings = []string{".map.yml", ".yml", ".map.yaml", ".yaml"}
)

// place is where a webhook or event is: its name, and its folder, or "" when it stands inline.
type place struct {
	name, path string
}

// subfolders lists the folders in dir, each of which is what.
func (l *loader) subfolders(dir, what string) []place {
	names, err := l.folder.names(dir)
	if err != nil {
		l.add(l.folder.diagnose(dir, err))
		return nil
	}
	var places []place
	for _, name := range names {
		sub := place{name, dir + "/" + name}
		info, err := l.folder.stat(sub.path)
		switch {
		case err != nil:
			l.add(l.folder.diagnose(sub.path, err))
		case info.IsDir():
			places = append(places, sub)
		case isYAML(name):
			l.add(diagnostic.Diagnostic{Severity: diagnostic.Warning, Code: "unknown-file", File: l.folder.show(sub.path),
				Message: "a file here is ignored; the place of " + what + " is a folder", Hint: "move it to " + dir + "/" + strings.TrimSuffix(name, path.Ext(name)) + "/spec.yml"})
		}
	}
	return places
}

// unknownMethods reports entries of methods that are none of known, where they look like slips.
func (l *loader) unknownMethods(methods *document.Node, known ...method) {
	if present(methods) == nil {
		return
	}
	if methods.Kind != document.Map {
		l.add(methods.Errorf("wrong-type", "expected a map of functions by name, got %s", methods.Kind))
		return
	}
	var names []string
	for _, m := range known {
		names = append(names, m.spellings...)
	}
	for _, e := range methods.Entries() {
		switch {
		case slices.ContainsFunc(known, func(m method) bool { return m.is(e.Key) }):
		case !l.c.Dir:
			l.add(document.UnknownKey(e, names...))
		case diagnostic.Nearest(e.Key, names) != "":
			d := e.KeyNode.Warnf("unknown-key", "the function %q is ignored", e.Key)
			d.Hint = diagnostic.DidYouMean(e.Key, names)
			l.add(d)
		}
	}
}

// declares reports whether a spec mentions the method, be it as a mistake.
func (l *loader) declares(m method, methods, shorthand *document.Node) bool {
	return shorthand != nil || len(declarations(m, methods)) > 0
}

// notSupported reports whether a method is declared as one that the connector does not have.
func notSupported(m method, methods *document.Node) bool {
	return slices.ContainsFunc(declarations(m, methods), func(e document.Entry) bool {
		kind := e.Value.Get("implementationType")
		return kind != nil && kind.Value == "not-supported"
	})
}

func declarations(m method, methods *document.Node) []document.Entry {
	var found []document.Entry
	if methods != nil {
		for _, e := range methods.Entries() {
			if m.is(e.Key) {
				found = append(found, e)
			}
		}
	}
	return found
}

// function finds the code of a method: declared under methods, or in the shorthand (a key of the spec itself with
// the code or the declaration), or by a file that is just there. It is nil when there is none, or when what there
// is cannot be used, which then is reported.
func (l *loader) function(m method, where place, methods, shorthand *document.Node) *Function {
	found := declarations(m, methods)
	if shorthand != nil {
		found = append(found, document.Entry{Key: m.name, KeyNode: shorthand, Value: shorthand})
	}
	if len(found) > 1 {
		slices.SortFunc(found, func(a, b document.Entry) int { return cmp.Compare(a.KeyNode.Line, b.KeyNode.Line) })
		l.add(found[1].KeyNode.Errorf("duplicate-key", "the function %q is declared twice; first on line %d", m.name, found[0].KeyNode.Line))
		return nil
	}
	if len(found) == 0 {
		if where.path == "" {
			return nil
		}
		return l.defaultFile(m, where, "", nil)
	}
	n := found[0].Value
	switch n.Kind {
	case document.String:
		return l.inlineCode(m, n, JavaScript)
	case document.Map:
		return l.declared(m, where, n)
	case document.Null:
		if where.path != "" {
			return l.defaultFile(m, where, "", found[0].KeyNode)
		}
		l.add(found[0].KeyNode.Errorf("missing-value", "the function %q needs code", m.name))
	default:
		l.add(n.Errorf("wrong-type", "expected the code of the function %q, got %s", m.name, n.Kind))
	}
	return nil
}

var functionKeys = []string{"implementationType", "type", "filePath", "code", "mapping"}

type functionSpec struct {
	Type     *document.Node `yaml:"implementationType|type"`
	FilePath *document.Node `yaml:"filePath"`
	Code     *document.Node `yaml:"code"`
	Mapping  *document.Node `yaml:"mapping"`
}

// declared reads {implementationType: javascript, filePath: ..., code: ...}.
func (l *loader) declared(m method, where place, n *document.Node) *Function {
	var s functionSpec
	l.add(n.Decode(&s, document.AllowUnknown())...)
	l.unknownKeys(n, functionKeys, nil)
	kind := ""
	if s.Type != nil {
		switch s.Type.Value {
		case JavaScript, Mapping:
			kind = s.Type.Value
		case "typescript":
			kind = JavaScript
		default:
			d := s.Type.Errorf("unknown-name", "functions of the kind %q cannot be run", s.Type.Value)
			if d.Hint = diagnostic.DidYouMean(s.Type.Value, []string{JavaScript, Mapping}); d.Hint == "" {
				d.Hint = "there are: " + JavaScript + ", " + Mapping
			}
			l.add(d)
			return nil
		}
	}
	var sources []*document.Node
	for _, source := range []*document.Node{s.FilePath, s.Code, s.Mapping} {
		if present(source) != nil {
			sources = append(sources, source)
		}
	}
	if len(sources) > 1 {
		l.add(sources[1].Errorf("two-sources", "the function %q has its code in two places; keep one of filePath, code and mapping", m.name))
		return nil
	}
	switch {
	case present(s.Code) != nil && s.Code.Kind == document.String:
		if kind == "" {
			kind = JavaScript
		}
		return l.inlineCode(m, s.Code, kind)
	case present(s.Code) != nil && kind == Mapping, present(s.Mapping) != nil && kind != JavaScript:
		return l.inlineMapping(m, sources[0])
	case present(s.Code) != nil:
		l.add(s.Code.Errorf("wrong-type", "expected the code of the function %q, got %s", m.name, s.Code.Kind))
	case present(s.Mapping) != nil:
		l.add(s.Mapping.Errorf("wrong-type", "a function of the kind %s has code:, not mapping:", JavaScript))
	case present(s.FilePath) != nil:
		return l.namedFile(m, where, s.FilePath, kind)
	case where.path == "":
		l.add(withHint(n.Errorf("missing-key", "the function %q has no code", m.name), "write it under code: |"))
	default:
		return l.defaultFile(m, where, kind, n)
	}
	return nil
}

// inlineCode takes code that stands in a spec.
func (l *loader) inlineCode(m method, n *document.Node, kind string) *Function {
	f := &Function{Name: m.name, Kind: kind, CodeFile: l.relative(n.Document().File), Node: n}
	f.Code, f.Line, f.Column, f.Indent = n.Code()
	if strings.TrimSpace(f.Code) == "" {
		l.add(n.Errorf("empty-code", "the function %q has no code", m.name))
		return nil
	}
	if n.Folded {
		d := n.Errorf("folded-code", "the lines of the code are joined by >, which breaks it")
		d.Hint = "write | instead of >"
		l.add(d)
	}
	return f
}

// inlineMapping takes a mapping that stands in a spec as YAML.
func (l *loader) inlineMapping(m method, n *document.Node) *Function {
	return &Function{Name: m.name, Kind: Mapping, CodeFile: l.relative(n.Document().File), Node: n,
		Mapping: n, Code: string(n.JSON()), Line: n.Line, Column: n.Column}
}

// relative is a file of the connector relative to its root; the base name in the single-file form.
func (l *loader) relative(shown string) string {
	if l.folder == nil {
		return path.Base(shown)
	}
	return strings.TrimPrefix(shown, l.folder.shown+"/")
}

// namedFile takes the file that filePath names, relative to the connector's folder.
func (l *loader) namedFile(m method, where place, n *document.Node, kind string) *Function {
	if n.Kind != document.String || n.Value == "" {
		l.add(n.Errorf("wrong-type", "expected the path of a file, got %s", n.Kind))
		return nil
	}
	if l.folder == nil {
		l.add(withHint(n.Errorf("no-files", "a connector that is one file has no other files"), "write the function under code: |, or make the connector a folder"))
		return nil
	}
	name := path.Clean(strings.ReplaceAll(n.Value, `\`, "/"))
	if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		l.add(n.Errorf("outside-folder", "the file is not in the connector's folder"))
		return nil
	}
	if kind == "" {
		kind = kindOf(name)
	}
	info, err := l.folder.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		d := n.Errorf("not-found", "the connector has no file %q", name)
		if _, err := l.folder.stat(where.path + "/" + name); where.path != "" && err == nil {
			d.Hint = "paths begin at the connector's folder: " + where.path + "/" + name
		} else {
			names, _ := l.folder.names(path.Dir(name))
			d.Hint = diagnostic.DidYouMean(path.Base(name), names)
		}
		l.add(d)
		return nil
	}
	return l.file(m, name, kind, info, err, n)
}

func kindOf(name string) string {
	if isYAML(name) {
		return Mapping
	}
	return JavaScript
}

// hasFile reports whether a file for the method is there.
func (l *loader) hasFile(m method, where place) bool {
	return where.path != "" && len(l.candidates(m, where, "")) > 0
}

// candidates lists the files in the spec's own folder that are called like the method.
func (l *loader) candidates(m method, where place, kind string) []string {
	names, _ := l.folder.names(where.path)
	var found []string
	for _, endings := range [][]string{scriptEndings, mappingEndings} {
		if kind == JavaScript && &endings[0] != &scriptEndings[0] || kind == Mapping && &endings[0] == &scriptEndings[0] {
			continue
		}
		for _, ending := range endings {
			for _, name := range names {
				if base, ok := strings.CutSuffix(name, ending); ok && m.isFile(base) {
					found = append(found, where.path+"/"+name)
				}
			}
		}
	}
	return found
}

// rename suggests that one of the files that are there is the one expected.
func rename(expected string, there []string) string {
	if near := diagnostic.Nearest(expected, there); near != "" {
		return fmt.Sprintf("if %s is meant to be it, rename it", near)
	}
	return ""
}

// defaultFile takes the file that is called like the method. At is where the method is declared, nil when it is not.
func (l *loader) defaultFile(m method, where place, kind string, at *document.Node) *Function {
	found := l.candidates(m, where, kind)
	if len(found) == 0 {
		if at == nil {
			return nil
		}
		expected := m.file() + scriptEndings[0]
		if kind == Mapping {
			expected = m.file() + mappingEndings[0]
		}
		d := at.Errorf("not-found", "there is no file %s for the function %q", l.folder.show(where.path+"/"+expected), m.name)
		names, _ := l.folder.names(where.path)
		d.Hint = rename(expected, slices.DeleteFunc(names, func(s string) bool { return slices.Contains(specNames, s) }))
		l.add(d)
		return nil
	}
	if len(found) > 1 {
		d := diagnostic.Diagnostic{Code: "two-sources", File: l.folder.show(found[1]),
			Message: fmt.Sprintf("there are two files for the function %q: %s and %s", m.name, path.Base(found[0]), path.Base(found[1])),
			Hint:    "delete one, or name the right one with filePath"}
		l.add(d)
		return nil
	}
	if kind == "" {
		kind = kindOf(found[0])
	}
	info, err := l.folder.stat(found[0])
	return l.file(m, found[0], kind, info, err, at)
}

// file makes a Function of a file, of which info and err say what is known.
func (l *loader) file(m method, name, kind string, info fs.FileInfo, err error, at *document.Node) *Function {
	if err == nil {
		err = checkRegular(info, maxCodeSize)
	}
	if err == nil {
		err = l.folder.readable(name)
	}
	if err != nil {
		l.add(l.folder.diagnose(name, err))
		return nil
	}
	return &Function{Name: m.name, Kind: kind, File: name, Node: at}
}
