package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Options change how Load works. The zero value is that of a plain start.
type Options struct {
	// Env looks up an environment variable; nil: os.LookupEnv.
	Env func(name string) (value string, ok bool)
	// Environ lists the environment as os.Environ does, to find SWITCHHOOK_
	// variables that are no setting; nil: os.Environ when Env is nil, else none.
	Environ []string
	// Set are settings from flags, each "server.listen=127.0.0.1:9090"; the
	// items of a list are separated by commas.
	Set []string
}

// Load reads and checks the file at path. A setting is taken from
// Options.Set, else from the environment (SWITCHHOOK_SERVER_LISTEN for
// server.listen), else from the file, else it has its default. ${VAR},
// ${VAR:-default} (also when VAR is empty) and ${file:path} in strings of the
// file are expanded; $${ is a literal ${. Relative paths are relative to the
// file, those from the environment and from flags to the working directory.
//
// The list has everything that is wrong, in order of place. When it has errors
// the configuration is nil. No finding shows a secret.
func Load(path string, opt Options) (*Config, diagnostic.List) {
	source, err := read(path)
	if err != nil {
		d := diagnostic.Diagnostic{Code: "unreadable", File: path, Message: "cannot read the configuration: " + reason(err).Error()}
		if errors.Is(err, fs.ErrNotExist) {
			d.Message, d.Hint = "there is no such file", "name the configuration with -c"
		}
		return nil, diagnostic.List{d}
	}
	return parse(path, source, opt)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, document.MaxSize+1))
}

func parse(path string, source []byte, opt Options) (*Config, diagnostic.List) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, diagnostic.List{{Code: "unreadable", File: path, Message: "cannot tell the file's folder: " + err.Error()}}
	}
	opt = opt.environment()
	l := &loader{settings: defaults(), opt: opt, dir: filepath.Dir(absolute), sources: map[string]*document.Node{}}
	l.expand = expander{dir: l.dir, env: opt.Env, used: map[string]bool{}}
	l.doc, l.list = document.ParseExpandable(path, source)
	if l.list.HasErrors() {
		return nil, l.list
	}
	hideSecrets(l.doc)
	l.list.Add(l.doc.Expand(l.expand.expand)...)
	unexpanded := l.list.HasErrors()
	if kind := l.doc.Root.Kind; kind != document.Map && kind != document.Null {
		l.list.Add(l.doc.Root.Errorf("wrong-type", "expected the keys of a configuration, got %s", kind))
		return nil, l.list
	}
	l.list.Add(l.doc.Root.Decode(&l.settings)...)
	l.override()
	c := &Config{Path: absolute, Dir: l.dir, Document: l.doc}
	c.Workspaces = l.workspaces(l.settings.Workspaces)
	l.check()
	if unexpanded {
		l.list = slices.DeleteFunc(l.list, l.followsFromExpansion)
	}
	for i, d := range l.list {
		if strings.HasPrefix(d.File, "flag ") || strings.HasPrefix(d.File, "environment variable ") {
			l.list[i].Line, l.list[i].Column, l.list[i].EndLine, l.list[i].EndColumn = 0, 0, 0, 0
			l.list[i].Snippet = diagnostic.Snippet{}
		}
	}
	l.list.Sort()
	if l.list.HasErrors() {
		return nil, l.list
	}
	c.Server, c.Admin, c.URLKey = l.Server, l.Admin, l.URLKey
	c.Scripts, c.Retention, c.Dedupe, c.Log = l.Scripts, l.Retention, l.Dedupe, l.Log
	c.Connectors, c.Data = l.absolute(l.Connectors), l.absolute(l.Data)
	return c, l.list
}

// followsFromExpansion reports whether a finding is at the place of a string
// that could not be expanded, and so only repeats that.
func (l *loader) followsFromExpansion(d diagnostic.Diagnostic) bool {
	return d.Code != "bad-expansion" && slices.ContainsFunc(l.list, func(other diagnostic.Diagnostic) bool {
		return other.Code == "bad-expansion" && other.File == d.File && other.Line == d.Line && other.Column == d.Column
	})
}

func (l *loader) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(l.dir, path)
}

// hideSecrets keeps what may be secret out of code frames: values of keys
// that are secret by their meaning, also when the key is misspelled, and URLs
// with a user or a query.
func hideSecrets(doc *document.Document) {
	var hidden []*document.Node
	var walk func(n *document.Node, within string)
	meaning := map[string]bool{} // whether a key is secret, since most keys occur often
	walk = func(n *document.Node, within string) {
		for _, item := range n.Items() {
			walk(item, within)
		}
		for _, e := range n.Entries() {
			secret, known := meaning[e.Key]
			if !known {
				secret = isSecretKey(e.Key)
				meaning[e.Key] = secret
			}
			isURL := e.Value.Kind == document.String && strings.Contains(e.Value.Value, "://") && strings.ContainsAny(e.Value.Value, "@?")
			switch {
			case secret && !(within == "subscriptions" && e.Key == "parameters") || isURL:
				hidden = append(hidden, e.Value)
			case within == "subscriptions" || e.Key == "subscriptions":
				walk(e.Value, "subscriptions")
			default:
				walk(e.Value, e.Key)
			}
		}
	}
	walk(doc.Root, "")
	doc.Hide(hidden...)
}

// secretKeys is sorted, since it is looked for as many names as there are subscriptions.
var secretKeys = []string{"headers", "parameters", "password", "secret", "secrets", "token", "urlKey"}

func isSecretKey(key string) bool {
	word := strings.ToLower(key)
	return diagnostic.Nearest(key, secretKeys) != "" ||
		strings.Contains(word, "token") || strings.Contains(word, "secret") || strings.Contains(word, "password") ||
		slices.Contains([]string{"headers", "parameters", "urlkey"}, word)
}

// check finds values that are of the right type, but out of range or at odds
// with one another.
func (l *loader) check() {
	s := &l.Server
	// What was wrong has its default for now, so comparisons would mislead.
	wrong := l.list.HasErrors()
	host := l.listen("server.listen", s.Listen)
	adminHost := l.listen("admin.listen", l.Admin.Listen)
	if host, port, err := net.SplitHostPort(s.Listen); err == nil && s.Listen == l.Admin.Listen && port != "0" {
		l.complain("admin.listen", "address-taken", fmt.Sprintf("the server listens on %s already", net.JoinHostPort(host, port)), "choose another port")
	}
	if !l.Admin.Token.IsSet() && adminHost != "" && !isLoopback(adminHost) {
		l.complain("admin.listen", "admin-open",
			"the admin API would be open to everybody who can reach this address",
			"set admin.token, or listen on 127.0.0.1")
	}
	if token := l.Admin.Token.Reveal(); adminHost != "" && !isLoopback(adminHost) && token != "" && len(token) < 16 {
		l.complain("admin.token", "weak-secret", "the token guards an address that others can reach, and is shorter than 16 bytes",
			"make one with: openssl rand -hex 32")
	}
	if s.PublicURL.URL == nil {
		s.PublicURL.URL = publicURLOf(s.Listen)
		if n := l.node("server.listen"); n != nil && host != "" && !isLoopback(host) {
			d := n.Warnf("no-public-url", "webhook URLs will begin with %s, which providers cannot call", s.PublicURL)
			d.Hint = "set server.publicUrl to what they can call"
			l.list.Add(d)
		}
	}

	between := func(path string, size, low, high Size) {
		if size < low || size > high {
			l.complain(path, "out-of-range", fmt.Sprintf("%s is not between %s and %s", size, low, high), "")
		}
	}
	between("server.maxBody", s.MaxBody, 1, 1<<30)
	between("server.maxHeader", s.MaxHeader, 4<<10, 1<<20)
	between("scripts.memory", l.Scripts.Memory, 64<<20, 64<<30)
	if !wrong && s.InFlightBytes < s.MaxBody+s.MaxHeader {
		l.complain(l.given("server.inFlightBytes", "server.maxBody", "server.maxHeader"), "out-of-range",
			fmt.Sprintf("inFlightBytes (%s) is less than one request may have: maxBody (%s) and maxHeader (%s)", s.InFlightBytes, s.MaxBody, s.MaxHeader), "")
	}
	if s.MaxConnections < 1 {
		l.complain("server.maxConnections", "out-of-range", "at least 1 connection is needed", "")
	}
	positive := func(path string, d time.Duration) {
		if d <= 0 {
			l.complain(path, "out-of-range", "the time must be longer than 0", "")
		}
	}
	positive("server.readTimeout", s.ReadTimeout)
	positive("server.writeTimeout", s.WriteTimeout)
	positive("server.idleTimeout", s.IdleTimeout)
	positive("scripts.timeout", l.Scripts.Timeout)
	rate := func(path string, r float64) {
		if r < 0 || r > 1e6 {
			l.complain(path, "out-of-range", "a rate is 0 (no limit) to 1000000 requests in a second", "")
		}
	}
	rate("server.rateLimit.perWebhook", s.RateLimit.PerWebhook)
	rate("server.rateLimit.perAddress", s.RateLimit.PerAddress)
	if !wrong && l.Scripts.KillAfter <= l.Scripts.Timeout {
		l.complain(l.given("scripts.killAfter", "scripts.timeout"), "out-of-range", fmt.Sprintf("killAfter (%s) must be longer than timeout (%s), or no handler is ever interrupted in time",
			l.Scripts.KillAfter, l.Scripts.Timeout), "")
	}
	if key := l.URLKey.Reveal(); key != "" && len(key) < 16 {
		l.complain("urlKey", "weak-secret", "the key is shorter than 16 bytes", "make one with: openssl rand -hex 32")
	}
	l.oneOf("scripts.isolation", string(l.Scripts.Isolation), string(Process), string(InProcess))
	l.oneOf("log.level", l.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", l.Log.Format, "auto", "text", "json")
	for _, folder := range [][2]string{{"connectors", l.Connectors}, {"data", l.Data}} {
		if folder[1] == "" || strings.ContainsRune(folder[1], 0) {
			l.complain(folder[0], "bad-path", "expected the path of a folder", "")
		}
	}
}

// listen checks an address to listen on and returns its host, "" for none or all.
func (l *loader) listen(path, address string) (host string) {
	host, port, err := net.SplitHostPort(address)
	number, portErr := strconv.Atoi(port)
	switch {
	case err != nil:
		l.complain(path, "bad-address", "expected host:port", "such as 127.0.0.1:8080, or :8080 for all addresses of the machine")
		return ""
	case portErr != nil || number < 0 || number > 65535:
		l.complain(path, "bad-address", "the port is not a number from 0 to 65535", "")
		return ""
	case host == "":
		return "0.0.0.0"
	}
	return host
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// publicURLOf is what a person on the same machine calls.
func publicURLOf(listen string) *url.URL {
	host, port, _ := net.SplitHostPort(listen)
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "localhost"
	}
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
}

// oneOf checks that a setting is one of some words.
func (l *loader) oneOf(path, value string, known ...string) {
	if slices.Contains(known, value) {
		return
	}
	hint := diagnostic.DidYouMean(value, known)
	if hint == "" {
		hint = "there are: " + strings.Join(known, ", ")
	}
	l.complain(path, "unknown-value", "this value is not known", hint)
}
