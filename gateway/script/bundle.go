package script

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/dop251/goja/ast"
	"github.com/evanw/esbuild/pkg/api"

	"switchhook/gateway/script/mapping"
	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// The namespaces of esbuild in which the plugin answers. None is "file", so
// esbuild itself reads nothing.
const (
	namespace = "connector" // files of the connector
	wrapper   = "function"  // the module that picks the function out of an ES module
	hostSpace = "host"      // what the gateway provides, for import
	mapSpace  = "mapping"   // what compiled mappings import
)

// hostModules are the modules that the gateway provides.
var hostModules = map[string]string{
	"crypto": "crypto", "node:crypto": "crypto", "buffer": "buffer", "node:buffer": "buffer", "url": "url", "node:url": "url",
}

// absentModules are modules of Node.js that people reach for, and why there are none.
var absentModules = map[string]string{
	"fs": "handlers have no file system", "fs/promises": "handlers have no file system", "path": "handlers have no file system",
	"os": "handlers have no environment", "process": "handlers have no environment", "child_process": "handlers have no environment",
	"http": "handlers have no network", "https": "handlers have no network", "net": "handlers have no network", "tls": "handlers have no network",
	"dns": "handlers have no network", "axios": "handlers have no network", "node-fetch": "handlers have no network", "undici": "handlers have no network", "got": "handlers have no network",
	"timers": "handlers have no timers", "timers/promises": "handlers have no timers", "worker_threads": "handlers have no threads",
	"util": "the gateway provides crypto, buffer and url", "querystring": "use URLSearchParams", "stream": "the gateway provides crypto, buffer and url", "events": "the gateway provides crypto, buffer and url",
}

var (
	scriptEndings = []string{".ts", ".js", ".mts", ".mjs", ".cts", ".cjs", ".json"}
	loaders       = map[string]api.Loader{
		".js": api.LoaderJS, ".mjs": api.LoaderJS, ".cjs": api.LoaderJS,
		".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".json": api.LoaderJSON,
	}
)

// ownMessage marks esbuild messages that come from the plugin.
type ownMessage struct{ code, hint string }

// fail is a plugin's message.
func fail(code, hint, format string, args ...any) []api.Message {
	return []api.Message{{Text: fmt.Sprintf(format, args...), Detail: ownMessage{code, hint}}}
}

// folder reads the files of a connector, and nothing else.
type folder struct {
	root *os.Root // nil for a connector without a folder
	real string   // the folder's path without symbolic links
}

func openFolder(dir string) (*folder, error) {
	if dir == "" {
		return &folder{}, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		root.Close()
		return nil, err
	}
	return &folder{root: root, real: real}, nil
}

func (f *folder) Close() {
	if f.root != nil {
		f.root.Close()
	}
}

// is reports whether there is a file or link called name (slash-separated), other than a folder.
func (f *folder) is(name string) bool {
	if f.root == nil || name == "." || !filepath.IsLocal(filepath.FromSlash(name)) {
		return false
	}
	info, err := f.root.Lstat(filepath.FromSlash(name))
	if err != nil {
		return f.leaves(name)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err := f.root.Stat(filepath.FromSlash(name)); err == nil {
			return !target.IsDir()
		}
		return true // reading it will say what is wrong with it
	}
	return !info.IsDir()
}

// leaves reports whether name exists, but symbolic links lead it out of the folder.
func (f *folder) leaves(name string) bool {
	real, err := filepath.EvalSymlinks(filepath.Join(f.real, filepath.FromSlash(name)))
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(f.real, real)
	return err != nil || !filepath.IsLocal(rel)
}

// read returns the text of a file, or messages that say why it cannot.
func (f *folder) read(name string) (string, []api.Message) {
	local := filepath.FromSlash(name)
	if f.root == nil || !filepath.IsLocal(local) {
		return "", fail("outside-folder", "", "%s is outside of the connector's folder", name)
	}
	if f.leaves(name) {
		return "", fail("outside-folder", "copy what it needs into the folder", "%s is a symbolic link that leads out of the connector's folder", name)
	}
	info, err := f.root.Stat(local)
	if err != nil {
		return "", fail("unreadable-file", "", "%s cannot be read: %s", name, plainError(err))
	}
	if !info.Mode().IsRegular() {
		return "", fail("not-a-file", "", "%s is not a regular file but a %s", name, fileKind(info.Mode()))
	}
	// Were it replaced by a FIFO just now, opening it would still not block.
	file, err := f.root.OpenFile(local, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fail("unreadable-file", "", "%s cannot be read: %s", name, plainError(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fail("not-a-file", "", "%s is not a regular file", name)
	}
	b, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return "", fail("unreadable-file", "", "%s cannot be read: %s", name, plainError(err))
	}
	if len(b) > maxFileSize {
		return "", fail("file-too-large", "", "%s is larger than the %d bytes allowed", name, maxFileSize)
	}
	return string(b), nil
}

// plainError is an error of the os package without the path, which is said otherwise.
func plainError(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func fileKind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// names lists the scripts of a folder, for suggestions.
func (f *folder) names(dir string) []string {
	if f.root == nil {
		return nil
	}
	entries, err := fs.ReadDir(f.root.FS(), path.Clean(dir))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if slices.Contains(scriptEndings, path.Ext(e.Name())) && len(names) < 100 {
			names = append(names, e.Name())
		}
	}
	return names
}

// bundler is one Build.
type bundler struct {
	src    *Source
	folder *folder
	wanted []string // the exports that the wrapper takes
	// mapping is the function where it is a mapping, and compiled its code.
	mapping  *document.Document
	compiled string

	// esbuild calls the plugin from several goroutines.
	mu     sync.Mutex
	given  map[string]string // the texts of the files
	size   int               // of the texts together
	loaded map[string]api.OnLoadResult
}

// entry is the file of the function.
func (b *bundler) entry() string { return b.src.place() }

func (b *bundler) setup(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: ".*"}, b.resolve)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: namespace}, b.load)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: wrapper}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text := b.wrap(a.Path)
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: mapSpace}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text, _ := mapping.Module(a.Path)
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: hostSpace}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		text := hostModule(a.Path)
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	build.OnLoad(api.OnLoadOptions{Filter: ".*"}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		return api.OnLoadResult{Errors: fail("outside-folder", "", "%s is not a file of the connector", a.Path)}, nil
	})
}

// wrap is the module that takes the function out of the file's exports: the only one that
// may be it, or an object of those among which is to be chosen when it runs.
func (b *bundler) wrap(file string) string {
	if len(b.wanted) == 1 {
		return fmt.Sprintf("import {%q as f} from %q; $module.exports = f", b.wanted[0], namespace+":"+file)
	}
	var imports, properties []string
	for i, name := range b.wanted {
		imports = append(imports, fmt.Sprintf("%q as f%d", name, i))
		properties = append(properties, fmt.Sprintf("%q: f%d", name, i))
	}
	return fmt.Sprintf("import {%s} from %q; $module.exports = {%s}", strings.Join(imports, ", "), namespace+":"+file, strings.Join(properties, ", "))
}

// resolve finds what an import means. It never leaves an import to esbuild.
func (b *bundler) resolve(a api.OnResolveArgs) (api.OnResolveResult, error) {
	if a.Kind == api.ResolveEntryPoint || a.Namespace == wrapper {
		space, file, _ := strings.Cut(a.Path, ":")
		return api.OnResolveResult{Path: file, Namespace: space}, nil
	}
	if host, ok := hostModules[a.Path]; ok {
		if a.Kind == api.ResolveJSRequireCall {
			return api.OnResolveResult{Path: host, External: true}, nil
		}
		return api.OnResolveResult{Path: host, Namespace: hostSpace, SideEffects: api.SideEffectsFalse}, nil
	}
	if _, ok := mapping.Module(a.Path); ok && b.mapping != nil {
		return api.OnResolveResult{Path: a.Path, Namespace: mapSpace, SideEffects: api.SideEffectsFalse}, nil
	}
	file, messages := b.find(a.Path, path.Dir(a.Importer))
	if messages != nil {
		return api.OnResolveResult{Errors: messages}, nil
	}
	return api.OnResolveResult{Path: file, Namespace: namespace}, nil
}

// find returns the file that an import in a file of the folder dir means.
func (b *bundler) find(spec, dir string) (string, []api.Message) {
	relative := spec == "." || spec == ".." || strings.HasPrefix(spec, "./") || strings.HasPrefix(spec, "../")
	switch {
	case strings.HasPrefix(spec, "/"):
		return "", fail("outside-folder", "import it by a path that begins with ./", "absolute paths cannot be imported")
	case strings.ContainsAny(spec, "\\\x00?#"):
		return "", fail("import-not-found", "", "%q is not the path of a file", spec)
	case strings.Contains(spec, "://") || strings.HasPrefix(spec, "data:"):
		return "", fail("import-unsupported", "copy the code into the connector's folder", "%s cannot be imported: handlers have no network", spec)
	}
	if b.folder.root == nil {
		if why, ok := absentModules[strings.TrimPrefix(spec, "node:")]; ok {
			return "", fail("import-unsupported", "", "there is no module %q: %s", spec, why)
		}
		return "", fail("import-not-found", "put the connector into a folder of its own to have several files", "a connector that is one YAML file cannot import %q", spec)
	}
	if !relative { // a bare name is a file at the top of the connector
		if file := b.candidate(path.Clean(spec)); file != "" {
			return file, nil
		}
		name := strings.TrimPrefix(spec, "node:")
		if why, ok := absentModules[name]; ok {
			return "", fail("import-unsupported", "", "there is no module %q: %s", spec, why)
		}
		hint := diagnostic.DidYouMean(spec, append(b.bareNames(), "crypto", "buffer", "url"))
		if hint == "" {
			hint = "packages of npm are not available; copy the file into the connector's folder and import it by ./"
		}
		return "", fail("import-not-found", hint, "there is no %q in the connector's folder", spec)
	}
	target := path.Join(dir, spec)
	if target == ".." || strings.HasPrefix(target, "../") {
		return "", fail("outside-folder", "copy the file into the folder", "%q leads out of the connector's folder", spec)
	}
	if file := b.candidate(target); file != "" {
		return file, nil
	}
	// Published connectors import ./common.js from below, though it is at the top.
	if rest, ok := strings.CutPrefix(spec, "./"); ok && dir != "." {
		if file := b.candidate(path.Clean(rest)); file != "" {
			return file, nil
		}
	}
	hint := ""
	stems := map[string]string{}
	for _, name := range b.folder.names(path.Dir(target)) {
		stems[strings.TrimSuffix(name, path.Ext(name))] = name
	}
	wanted := path.Base(target)
	if slices.Contains(scriptEndings, path.Ext(wanted)) {
		wanted = strings.TrimSuffix(wanted, path.Ext(wanted))
	}
	if near := diagnostic.Nearest(wanted, slices.Collect(maps.Keys(stems))); near != "" {
		near = stems[near]
		if parent := path.Dir(spec); parent != "." {
			near = parent + "/" + near
		} else {
			near = "./" + near
		}
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return "", fail("import-not-found", hint, "there is no file %q", target)
}

// bareNames are the names by which files at the top can be imported.
func (b *bundler) bareNames() []string {
	var names []string
	for _, n := range b.folder.names(".") {
		names = append(names, strings.TrimSuffix(n, path.Ext(n)))
	}
	return names
}

// candidate returns the file meant by a path without, or with the wrong, ending; "" for none.
func (b *bundler) candidate(target string) string {
	if b.folder.is(target) {
		return target
	}
	for _, ending := range scriptEndings {
		if b.folder.is(target + ending) {
			return target + ending
		}
	}
	// TypeScript names imports by the file they become.
	for from, to := range map[string]string{".js": ".ts", ".mjs": ".mts", ".cjs": ".cts"} {
		if stem, ok := strings.CutSuffix(target, from); ok && b.folder.is(stem+to) {
			return stem + to
		}
	}
	for _, ending := range scriptEndings {
		if file := path.Join(target, "index"+ending); b.folder.is(file) {
			return file
		}
	}
	return ""
}

// load gives esbuild the text of a file of the connector.
func (b *bundler) load(a api.OnLoadArgs) (api.OnLoadResult, error) {
	b.mu.Lock()
	result, ok := b.loaded[a.Path]
	b.mu.Unlock()
	if ok {
		return result, nil
	}
	text, loader, messages := b.text(a.Path)
	if messages == nil {
		messages = b.accept(a.Path, text)
	}
	if messages == nil && loader != api.LoaderJSON {
		// esbuild would follow the comment to any file of the machine.
		text = sourceMapComment.ReplaceAllString(text, "${1} sourceMappingURL:")
		messages = checkRequires(a.Path, text, loader)
	}
	if messages != nil {
		result = api.OnLoadResult{Errors: messages}
	} else {
		result = api.OnLoadResult{Contents: &text, Loader: loader}
	}
	b.mu.Lock()
	b.loaded[a.Path] = result
	b.mu.Unlock()
	return result, nil
}

var sourceMapComment = regexp.MustCompile(`([#@]) sourceMappingURL=`)

// text reads a file, or takes the inline code.
func (b *bundler) text(file string) (string, api.Loader, []api.Message) {
	if b.mapping != nil {
		return b.compiled, api.LoaderJS, nil
	}
	if b.src.Code != "" && file == b.src.File {
		// Empty lines in front give every line the number it has in the YAML file.
		return strings.Repeat("\n", max(0, b.src.Line-1)) + b.src.Code, api.LoaderTS, nil
	}
	loader, ok := loaders[path.Ext(file)]
	if !ok || strings.HasSuffix(file, ".d.ts") {
		return "", 0, fail("import-unsupported", "", "%s is neither JavaScript nor TypeScript nor JSON", file)
	}
	text, messages := b.folder.read(file)
	return text, loader, messages
}

// checkRequires finds require(...) and import(...) of a computed name. For those that
// begin with ./ esbuild would search the folders of the machine, past the plugin, for all
// that the name could become; others would fail when they run.
func checkRequires(file, text string, loader api.Loader) []api.Message {
	result := api.Transform(text, api.TransformOptions{
		Loader: loader, Format: api.FormatCommonJS, Target: api.ES2017, Supported: gojaSupports, TreeShaking: api.TreeShakingFalse,
		Charset: api.CharsetASCII, TsconfigRaw: "{}", LogLevel: api.LogLevelSilent,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentInclude, Sourcefile: namespace + ":" + file,
	})
	if len(result.Errors) > 0 {
		return result.Errors
	}
	tree, err := parseBundle(result.Code)
	if err != nil {
		// The whole bundle is checked later, and then with the place; only
		// what nobody could look into is refused here.
		return fail("unsupported-syntax", "", "%s: the engine cannot run this: %s", file, err)
	}
	positions, lines := newPositions(&Program{SourceMap: result.Map}), newLines(result.Code)
	var messages []api.Message
	walk(tree, func(n any) bool {
		call, ok := n.(*ast.CallExpression)
		if !ok {
			return true
		}
		callee := call.Callee
		if o, ok := callee.(*ast.Optional); ok {
			callee = o.Expression
		}
		if id, ok := callee.(*ast.Identifier); !ok || id.Name != "require" || len(call.ArgumentList) == 0 || isFixed(call.ArgumentList[0]) {
			return true
		}
		m := fail("import-computed", "name every file in an import of its own", "only what is imported under a fixed name can be bundled")
		if f, ok := positions.original(lines.at(offset(call.Callee.Idx0()))); ok {
			line := lineOf(text, f.Line)
			m[0].Location = &api.Location{
				File: namespace + ":" + file, Line: f.Line, Column: len(string([]rune(line)[:min(f.Column-1, len([]rune(line)))])), Length: 1, LineText: line,
			}
		}
		messages = append(messages, m...)
		return true
	})
	return messages
}

// isFixed reports whether an expression is a string that is known.
func isFixed(e ast.Expression) bool {
	switch e := e.(type) {
	case *ast.StringLiteral:
		return true
	case *ast.TemplateLiteral:
		return e.Tag == nil && len(e.Expressions) == 0
	}
	return false
}

// accept remembers the text of a file, or says why it cannot be taken.
func (b *bundler) accept(file, text string) []api.Message {
	if len(text) > maxFileSize {
		return fail("file-too-large", "", "%s is larger than the %d bytes allowed", file, maxFileSize)
	}
	if !utf8.ValidString(text) {
		at := 0
		for at < len(text) {
			r, size := utf8.DecodeRuneInString(text[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		line := strings.Count(text[:at], "\n") + 1
		start := strings.LastIndexByte(text[:at], '\n') + 1
		m := fail("invalid-utf8", "save the file as UTF-8", "%s is not UTF-8: byte 0x%02x", file, text[at])
		m[0].Location = &api.Location{
			File: namespace + ":" + file, Line: line, Column: at - start, Length: 1, LineText: strings.ToValidUTF8(text[start:at], "\uFFFD"),
		}
		b.remember(file, text)
		return m
	}
	if m := tooNested(file, text); m != nil {
		b.remember(file, text)
		return m
	}
	if b.remember(file, text) > maxBundleSize {
		return fail("bundle-too-large", "", "the function and what it imports are larger than the %d bytes allowed", maxBundleSize)
	}
	return nil
}

// remember keeps the text of a file and returns the size of all.
func (b *bundler) remember(file, text string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.given[file]; !ok {
		b.given[file] = text
		b.size += len(text)
	}
	return b.size
}

// cacheKey is a hash of all that may become part of the program, or "" when that cannot be said
// simply: when there are links, special files, or very many files.
func (b *bundler) cacheKey() string {
	src, f := b.src, b.folder
	const maxFiles, maxBytes = 1_000, 16 << 20
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q %q %d %q %q %q %d %d %q %q\n", buildVersion(), src.Connector, src.Function, src.Kind, src.Entry, src.Code, src.File, src.Line, src.Column, src.Above, src.Shown)
	if b.mapping != nil {
		fmt.Fprintf(h, "%q %q %q\n", b.mapping.Source(), b.compiled, mapping.Version())
	}
	if f.root == nil {
		return hex.EncodeToString(h.Sum(nil))
	}
	files, size := 0, 0
	err := fs.WalkDir(f.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return fs.ErrInvalid
		}
		if !slices.Contains(scriptEndings, path.Ext(name)) {
			return nil
		}
		text, messages := f.read(name)
		files, size = files+1, size+len(text)
		if messages != nil || files > maxFiles || size > maxBytes {
			return fs.ErrInvalid
		}
		fmt.Fprintf(h, "%q %d\n", name, len(text))
		io.WriteString(h, text)
		return nil
	})
	if err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// buildVersion changes when Build would make something else of the same source.
var buildVersion = sync.OnceValue(func() string {
	version := "2"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/evanw/esbuild" || m.Path == "github.com/dop251/goja" {
				version += " " + m.Path + "@" + m.Version
			}
		}
	}
	return version
})
