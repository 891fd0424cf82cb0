package script

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"

	"switchhook/spec/diagnostic"
)

// The bounds of what Build accepts.
const (
	maxFileSize   = 1 << 20
	maxBundleSize = 4 << 20
)

// The names under which the code of a bundle finds what it is called with. The
// code is the body of a function with these parameters.
const (
	bundleStrict = `(function(exports, require, module, $module, $host) { "use strict";`
	bundleSloppy = `(function(exports, require, module, $module, $host) {`
	bundleEnd    = `})`
)

// Build reads, bundles and checks the function that src names. It returns all
// findings at once; the program is nil when there is an error among them. It
// blocks for as long as reading and bundling takes (milliseconds), never
// on a file that is not a regular one.
func Build(src Source) (*Program, diagnostic.List) {
	files, err := openFolder(src.Root)
	if err != nil {
		return nil, diagnostic.List{{
			Code: "unreadable-folder", File: src.shown(src.place()), Message: "the connector's folder cannot be opened: " + plainError(err),
		}}
	}
	defer files.Close()

	b := bundler{src: &src, folder: files, given: map[string]string{}, loaded: map[string]api.OnLoadResult{}}
	var list diagnostic.List
	if src.Kind == Mapping {
		if list = b.compileMapping(); list.HasErrors() {
			return nil, list
		}
	}
	key := ""
	if src.Cache != nil {
		if key = b.cacheKey(); key != "" {
			if value, ok := src.Cache.Get(key); ok {
				var kept cached
				if gob.NewDecoder(bytes.NewReader(value)).Decode(&kept) == nil && kept.Program != nil {
					return kept.Program, kept.Diagnostics
				}
			}
		}
	}
	p, found := b.build()
	list.Add(found...)
	if p != nil && key != "" {
		var value bytes.Buffer
		if gob.NewEncoder(&value).Encode(cached{p, list}) == nil {
			src.Cache.Put(key, value.Bytes())
		}
	}
	return p, list
}

// cached is what a Cache keeps.
type cached struct {
	Program     *Program
	Diagnostics diagnostic.List // warnings
}

// exportNames are the names under which a module may export function, the
// default export aside; the first is the canonical one.
func exportNames(function string) []string {
	names := []string{function}
	if function == SelectorFunction {
		names = append(names, "getEventsSelector")
	}
	for _, n := range slices.Clone(names) {
		if k := kebab(n); k != n {
			names = append(names, k)
		}
	}
	return names
}

// kebab spells camelCase as kebab-case.
func kebab(name string) string {
	var b strings.Builder
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// build bundles twice: at first everything that the file exports, to find all that is
// wrong with it and what its exports are, then only the function.
func (b *bundler) build() (*Program, diagnostic.List) {
	entry := b.entry()
	whole := api.Build(b.options(api.FormatESModule, namespace+":"+entry))
	list := b.diagnose(whole.Errors, whole.Warnings)
	if list.HasErrors() {
		return nil, list
	}
	var meta struct {
		Inputs  map[string]struct{ Format string }
		Outputs map[string]struct{ Exports []string }
	}
	if err := json.Unmarshal([]byte(whole.Metafile), &meta); err != nil {
		list.Add(b.diagnostic(entry, "bundler", "the bundler's report cannot be read: "+err.Error()))
		return nil, list
	}
	module := meta.Inputs[namespace+":"+entry].Format == "esm"
	options := b.options(api.FormatCommonJS, namespace+":"+entry)
	options.Banner = map[string]string{"js": bundleSloppy}
	if module {
		exports := meta.Outputs["out.js"].Exports
		for _, name := range append([]string{"default"}, exportNames(b.src.Function)...) {
			if slices.Contains(exports, name) {
				b.wanted = append(b.wanted, name)
			}
		}
		if len(b.wanted) == 0 {
			list.Add(b.noFunction(exports))
			return nil, list
		}
		options.EntryPoints = []string{wrapper + ":" + entry}
		options.Banner = map[string]string{"js": bundleStrict}
	}
	options.Footer = map[string]string{"js": bundleEnd}
	single := api.Build(options)
	if len(single.Errors) > 0 {
		list.Add(b.diagnose(single.Errors, nil)...)
		return nil, list
	}
	var code, sourceMap []byte
	for _, f := range single.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			sourceMap = f.Contents
		} else {
			code = f.Contents
		}
	}
	if len(code) > maxBundleSize {
		list.Add(b.diagnostic(entry, "bundle-too-large", fmt.Sprintf("the function and what it imports are %d bytes of code, more than the %d allowed", len(code), maxBundleSize)))
		return nil, list
	}
	p := &Program{
		Connector: b.src.Connector, Name: entry, Function: b.src.Function, Code: code, SourceMap: sourceMap,
	}
	if b.src.Code != "" && b.mapping == nil {
		p.InlineFile, p.InlineColumn = b.src.File, max(0, b.src.Column-1)
		p.SourceMap = b.indentSource(sourceMap)
	}
	if b.mapping != nil {
		p.SourceMap = b.mappingSource(sourceMap)
	}
	p.ID = p.hash()
	list.Add(check(p, b.src, module)...)
	list.Sort()
	if list.HasErrors() {
		return nil, list
	}
	return p, list
}

// noFunction says that the file exports something else, or nothing.
func (b *bundler) noFunction(exports []string) diagnostic.Diagnostic {
	f := b.src.Function
	d := b.diagnostic(b.entry(), "no-function-exported", fmt.Sprintf("no function %q is exported", f))
	d.Hint = fmt.Sprintf("write export default function %s(...) { ... }", f)
	if len(exports) > 0 {
		d.Message += ", only " + strings.Join(exports, ", ")
		if near := diagnostic.Nearest(f, exports); near != "" {
			d.Hint = fmt.Sprintf("rename %s to %s", near, f)
		}
	}
	return d
}

func (b *bundler) options(format api.Format, entry string) api.BuildOptions {
	return api.BuildOptions{
		EntryPoints: []string{entry}, Bundle: true, Format: format, Platform: api.PlatformNeutral,
		Target: api.ES2017, Supported: gojaSupports, Charset: api.CharsetASCII, LegalComments: api.LegalCommentsNone,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentInclude, Metafile: true,
		// Nothing is read or written but through the plugin; these names only
		// have to be absolute.
		AbsWorkingDir: "/", Outfile: "/out.js", TsconfigRaw: "{}",
		LogLevel: api.LogLevelSilent, LogLimit: 0, LogOverride: map[string]api.LogLevel{"commonjs-variable-in-esm": api.LogLevelWarning},
		Plugins: []api.Plugin{{Name: "connector", Setup: b.setup}},
	}
}

// gojaSupports lists, with a few exceptions that are explained, what came into the language after ES2017 and goja has,
// so that it is not rewritten into something slower.
var gojaSupports = map[string]bool{
	"arbitrary-module-namespace-names": true, // goes away in bundling
	"bigint":                           true, "class-field": true, "class-private-accessor": true, "class-private-brand-check": true,
	"class-private-field": true, "class-private-method": true, "class-private-static-accessor": true,
	"class-private-static-field": true, "class-private-static-method": true, "class-static-blocks": true,
	"class-static-field": true, "logical-assignment": true, "nullish-coalescing": true, "object-rest-spread": true,
	"optional-catch-binding": true, "optional-chain": true, "regexp-dot-all-flag": true,
	"regexp-lookbehind-assertions": true, "regexp-named-capture-groups": true, "regexp-sticky-and-unicode-flags": true,
	// goja does not have these. They are left as they are for check to find,
	// which names the cause; esbuild would turn them into calls that fail later.
	"regexp-match-indices": true, "regexp-set-notation": true, "regexp-unicode-property-escapes": true,
	"dynamic-import": false,
}

// hash is a hash of what a program is.
func (p *Program) hash() string {
	h := sha256.New()
	for _, part := range [][]byte{
		[]byte(p.Connector), []byte(p.Name), []byte(p.Function), p.Code, p.SourceMap, []byte(p.InlineFile), fmt.Append(nil, p.InlineColumn),
	} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// targetWords are what esbuild says about settings that people here do not make.
var targetWords = regexp.MustCompile(` in the configured target environment \([^)]*\)`)

// diagnose turns esbuild's messages into diagnostics.
func (b *bundler) diagnose(errors, warnings []api.Message) diagnostic.List {
	var list diagnostic.List
	add := func(severity diagnostic.Severity, m api.Message) {
		if severity == diagnostic.Warning && m.Location == nil {
			return // about the bundler's own settings
		}
		d := diagnostic.Diagnostic{Severity: severity, Code: m.ID, File: b.src.shown(b.entry()), Message: strings.TrimSuffix(targetWords.ReplaceAllString(m.Text, " in handlers"), ".")}
		if d.Code == "" {
			d.Code = "syntax-error"
		}
		if own, ok := m.Detail.(ownMessage); ok {
			d.Code, d.Hint = own.code, own.hint
		}
		if l := m.Location; l != nil {
			file := sourceName(l.File)
			d.File = b.src.shown(file)
			d.Line, d.Column = l.Line, characters(l.LineText, l.Column)+1
			d.EndLine, d.EndColumn = l.Line, characters(l.LineText, l.Column+l.Length)+1
			b.place(&d, file)
			if l.Suggestion != "" && d.Hint == "" {
				d.Hint = fmt.Sprintf("write %q here", l.Suggestion)
			}
		}
		var notes []string
		for _, n := range m.Notes {
			if strings.HasPrefix(n.Text, "The plugin ") {
				continue
			}
			text := strings.TrimSuffix(n.Text, ":")
			if n.Location != nil {
				line, column := n.Location.Line, characters(n.Location.LineText, n.Location.Column)+1
				text += fmt.Sprintf(" (%s:%d:%d)", b.src.shown(sourceName(n.Location.File)), line, column+b.shift(sourceName(n.Location.File)))
			}
			notes = append(notes, text)
		}
		if len(notes) > 0 && d.Hint == "" {
			d.Hint = strings.Join(notes, "; ")
		}
		list.Add(d)
	}
	for _, m := range errors {
		add(diagnostic.Error, m)
	}
	for _, m := range warnings {
		add(diagnostic.Warning, m)
	}
	list.Sort()
	return list
}

// place completes a diagnostic about a file that was given to esbuild: it moves it to
// where inline code stands in its YAML file, and cuts the lines around it.
func (b *bundler) place(d *diagnostic.Diagnostic, file string) {
	shift := b.shift(file)
	d.Column += shift
	if d.EndColumn > 0 {
		d.EndColumn += shift
	}
	b.mu.Lock()
	text := b.given[file]
	b.mu.Unlock()
	d.Snippet = indented(diagnostic.SnippetAt([]byte(text), d.Line), shift)
	if b.src.Code != "" && file == b.src.File {
		for i := range d.Snippet.Lines {
			if above, ok := b.above(d.Snippet.First + i); ok {
				d.Snippet.Lines[i] = above
			}
		}
	}
}

// above is the line of that number, where it is one of those above inline code.
func (b *bundler) above(line int) (string, bool) {
	i := len(b.src.Above) - (b.src.Line - line)
	if i < 0 || i >= len(b.src.Above) {
		return "", false
	}
	return b.src.Above[i], true
}

// shift is by how many columns the lines of a file are indented where people see it.
func (b *bundler) shift(file string) int {
	if b.src.Code != "" && file == b.src.File {
		return max(0, b.src.Column-1)
	}
	return 0
}

// indented moves a snippet to the right.
func indented(s diagnostic.Snippet, columns int) diagnostic.Snippet {
	if columns > 0 {
		for i, line := range s.Lines {
			if line != "" {
				s.Lines[i] = strings.Repeat(" ", columns) + line
			}
		}
	}
	return s
}

// diagnostic is a finding about a whole file.
func (b *bundler) diagnostic(file, code, message string) diagnostic.Diagnostic {
	d := diagnostic.Diagnostic{Code: code, File: b.src.shown(file), Message: message}
	if b.src.Code != "" && file == b.src.File {
		d.Line, d.Column = b.src.Line, b.src.Column
		b.place(&d, file)
		d.Column = b.src.Column
	}
	return d
}

// indentSource makes the text of inline code in a source map look as it does
// in its YAML file, for code frames.
func (b *bundler) indentSource(sourceMap []byte) []byte {
	indent := strings.Repeat(" ", max(0, b.src.Column-1))
	return changeSources(sourceMap, func(name, content string) string {
		if name != namespace+":"+b.src.File {
			return content
		}
		var text strings.Builder
		number := 0
		for line := range strings.Lines(content) {
			number++
			if above, ok := b.above(number); ok {
				text.WriteString(above + "\n")
				continue
			}
			if strings.TrimRight(line, "\r\n") != "" {
				text.WriteString(indent)
			}
			text.WriteString(line)
		}
		return text.String()
	})
}

// changeSources replaces the texts of files in a source map.
func changeSources(sourceMap []byte, change func(name, content string) string) []byte {
	var m struct {
		Version        int      `json:"version"`
		Sources        []string `json:"sources"`
		SourcesContent []string `json:"sourcesContent"`
		Mappings       string   `json:"mappings"`
		Names          []string `json:"names"`
	}
	if json.Unmarshal(sourceMap, &m) != nil {
		return sourceMap
	}
	for i, name := range m.Sources {
		if i < len(m.SourcesContent) {
			m.SourcesContent[i] = change(name, m.SourcesContent[i])
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		return sourceMap
	}
	return out
}

// sourceName is the file of the connector that esbuild means.
func sourceName(name string) string {
	return strings.TrimPrefix(name, namespace+":")
}

// characters counts the characters in the first n bytes of line.
func characters(line string, n int) int {
	return len([]rune(line[:min(n, len(line))]))
}
