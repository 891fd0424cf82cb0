package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

const envPrefix = "SWITCHHOOK_"

// settings are all keys of the file. What is not a map of names can also be
// set from the environment and from flags.
type settings struct {
	Server     Server         `yaml:"server"`
	Admin      Admin          `yaml:"admin"`
	Connectors string         `yaml:"connectors"`
	Data       string         `yaml:"data"`
	URLKey     Secret         `yaml:"urlKey"`
	Scripts    Scripts        `yaml:"scripts"`
	Retention  Retention      `yaml:"retention"`
	Dedupe     Dedupe         `yaml:"dedupe"`
	Log        Log            `yaml:"log"`
	Workspaces *document.Node `yaml:"workspaces"`
}

func defaults() settings {
	return settings{
		Server: Server{
			Listen: "127.0.0.1:8080", MaxBody: 10 << 20, MaxHeader: 64 << 10, InFlightBytes: 112 << 20, MaxConnections: 16384,
			ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second, DrainTimeout: 25 * time.Second,
		},
		Admin:      Admin{Listen: "127.0.0.1:8081"},
		Connectors: "connectors",
		Data:       "data",
		Scripts:    Scripts{Isolation: Process, Timeout: time.Second, KillAfter: 2 * time.Second, Memory: 256 << 20},
		Retention:  Retention{Age: 30 * 24 * time.Hour, Size: 10 << 30},
		Dedupe:     Dedupe{Window: 24 * time.Hour},
		Log:        Log{Level: "info", Format: "auto"},
	}
}

// setting is one key that holds a value, not further keys.
type setting struct {
	path  string // "server.publicUrl"
	value reflect.Value
}

// env is the environment variable of the setting: SWITCHHOOK_SERVER_PUBLIC_URL.
func (s setting) env() string {
	var b strings.Builder
	b.WriteString(envPrefix)
	for _, r := range s.path {
		switch {
		case r == '.':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

var decoderType = reflect.TypeFor[document.Decoder]()

// list returns the settings of a struct of keys, in the order of the struct.
func list(prefix string, v reflect.Value) []setting {
	var all []setting
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		field := v.Field(i)
		switch {
		case name == "" || field.Type() == reflect.TypeFor[*document.Node]():
		case field.Kind() == reflect.Struct && !reflect.PointerTo(field.Type()).Implements(decoderType):
			all = append(all, list(prefix+name+".", field)...)
		default:
			all = append(all, setting{prefix + name, field})
		}
	}
	return all
}

// loader gathers what Load finds.
type loader struct {
	settings
	opt     Options
	dir     string
	doc     *document.Document
	list    diagnostic.List
	expand  expander
	sources map[string]*document.Node // of settings from environment and flags
}

// override applies the environment and then the flags to the settings.
func (l *loader) override() {
	all := list("", reflect.ValueOf(&l.settings).Elem())
	paths, variables := make([]string, len(all)), []string{envPrefix + "CONFIG"}
	for i, s := range all {
		paths[i] = s.path
		variables = append(variables, s.env())
		// An empty variable is one that somebody meant to unset.
		if value, ok := l.opt.Env(s.env()); ok && value != "" {
			l.set(s, "environment variable "+s.env(), value)
		}
	}
	for _, entry := range l.opt.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(variables, name) && !l.expand.used[name] {
			l.list.Add(diagnostic.Diagnostic{Severity: diagnostic.Warning, Code: "unknown-variable", File: "environment variable " + name,
				Message: "there is no such setting, and the file does not use the variable", Hint: nearVariable(name, variables)})
		}
	}
	for _, flag := range l.opt.Set {
		path, value, ok := strings.Cut(flag, "=")
		i := slices.Index(paths, path)
		switch {
		case !ok:
			l.list.Add(diagnostic.Diagnostic{Code: "bad-flag", File: "flag " + path,
				Message: "expected a setting and a value, such as server.listen=127.0.0.1:9090"})
		case i < 0:
			l.list.Add(diagnostic.Diagnostic{Code: "unknown-key", File: "flag " + path,
				Message: "there is no such setting", Hint: diagnostic.DidYouMean(path, paths)})
		default:
			l.set(all[i], "flag "+path, value)
		}
	}
}

// nearVariable is diagnostic.DidYouMean for what follows the prefix that all have.
func nearVariable(name string, variables []string) string {
	rest := make([]string, len(variables))
	for i, v := range variables {
		rest[i] = strings.TrimPrefix(v, envPrefix)
	}
	if near := diagnostic.Nearest(strings.TrimPrefix(name, envPrefix), rest); near != "" {
		return fmt.Sprintf("did you mean %q?", envPrefix+near)
	}
	return ""
}

// set gives a setting the value that source (an environment variable, a flag) has for it.
func (l *loader) set(s setting, source, value string) {
	if !utf8.ValidString(value) {
		l.list.Add(diagnostic.Diagnostic{Code: "invalid-utf8", File: source, Message: "the value is not UTF-8 text"})
		return
	}
	if s.path == "connectors" || s.path == "data" {
		// What does not stand in the file is relative to where the program runs.
		if absolute, err := filepath.Abs(value); err == nil {
			value = absolute
		}
	}
	// The value goes in by an expansion: it is text whatever it looks like, may
	// be read as a number, and is not shown.
	values, text := []string{value}, `""`
	if s.value.Kind() == reflect.Slice {
		values = strings.Split(value, ",")
		text = "[" + strings.Repeat(`"", `, len(values)) + "]"
	}
	doc, _ := document.Parse(source, []byte(text))
	_ = doc.Expand(func(string) (string, error) {
		v := strings.TrimSpace(values[0])
		values = values[1:]
		return v, nil
	})
	l.sources[s.path] = doc.Root
	l.list.Add(doc.Root.Decode(s.value.Addr().Interface())...)
}

// node is where a setting's value stands, or nil when it is the default.
func (l *loader) node(path string) *document.Node {
	if n := l.sources[path]; n != nil {
		return n
	}
	n := l.doc.Root
	for key := range strings.SplitSeq(path, ".") {
		n = n.Get(key)
	}
	if n == nil || n.Kind == document.Null {
		return nil
	}
	return n
}

// given is the first of some settings that is not left at its default.
func (l *loader) given(paths ...string) string {
	for _, path := range paths {
		if l.node(path) != nil {
			return path
		}
	}
	return paths[0]
}

// complain adds an error about a setting, at the place where it has its value.
func (l *loader) complain(path, code, message, hint string) {
	d := diagnostic.Diagnostic{Code: code, File: l.doc.File, Message: path + ": " + message, Hint: hint}
	if n := l.node(path); n != nil {
		d = n.Errorf(code, "%s", message)
		d.Hint = hint
	}
	l.list.Add(d)
}

// environment is what Options leave out: that of the process.
func (o Options) environment() Options {
	if o.Env == nil {
		o.Env = os.LookupEnv
		if o.Environ == nil {
			o.Environ = os.Environ()
		}
	}
	return o
}
