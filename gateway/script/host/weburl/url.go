// Package weburl parses and changes URLs as the WHATWG URL Standard
// (https://url.spec.whatwg.org) says and Node.js does, and reads and writes
// application/x-www-form-urlencoded. It is pure. Parsing takes time and memory
// proportional to the input.
//
// net/url follows RFC 3986 instead and answers differently for much of what
// occurs in practice.
package weburl

import (
	"strconv"
	"strings"
)

// URL is a parsed URL. Use its methods; the zero value is not a URL.
type URL struct {
	scheme             string
	username, password string
	// host is serialised; hasHost tells an empty host from none.
	host    string
	hasHost bool
	// port is -1 for none or the scheme's default.
	port int
	// opaque is the path of a URL such as mailto:, which has no segments.
	isOpaque bool
	opaque   string
	path     []string
	query    *string
	fragment *string
}

var specialPorts = map[string]int{"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "file": -1}

func isSpecial(scheme string) bool {
	_, ok := specialPorts[scheme]
	return ok
}

// Parse parses input, which must be valid UTF-8, against base when it is not nil. It
// reports false for what is not a URL.
func Parse(input string, base *URL) (*URL, bool) {
	input = strings.TrimFunc(input, func(r rune) bool { return r <= ' ' })
	input = dropTabs(input)
	u := &URL{port: -1}
	if scheme, rest, ok := cutScheme(input); ok {
		u.scheme = scheme
		switch {
		case scheme == "file":
			return u, u.parseFile(rest, base)
		case isSpecial(scheme):
			if base != nil && base.scheme == scheme && !strings.HasPrefix(rest, "//") {
				return u, u.parseRelative(rest, base)
			}
			return u, u.parseAuthority(strings.TrimLeft(rest, `/\`))
		case strings.HasPrefix(rest, "//"):
			return u, u.parseAuthority(rest[2:])
		case strings.HasPrefix(rest, "/"):
			return u, u.parsePath(rest[1:])
		}
		u.isOpaque = true
		end := strings.IndexAny(rest, "?#")
		if end < 0 {
			end = len(rest)
		}
		u.opaque = escape(rest[:end], setControl)
		u.parseTail(rest[end:])
		return u, true
	}
	if base == nil {
		return nil, false
	}
	if base.isOpaque {
		if !strings.HasPrefix(input, "#") {
			return nil, false
		}
		*u = *base
		u.parseFragment(input[1:])
		return u, true
	}
	if base.scheme == "file" {
		u.scheme = "file"
		return u, u.parseFile(input, base)
	}
	u.scheme = base.scheme
	return u, u.parseRelative(input, base)
}

func dropTabs(s string) string {
	if !strings.ContainsAny(s, "\t\n\r") {
		return s
	}
	return strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(s)
}

// cutScheme cuts "scheme:" off, lower-cased.
func cutScheme(s string) (scheme, rest string, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isAlpha(c):
		case i > 0 && (isDigit(c) || c == '+' || c == '-' || c == '.'):
		case i > 0 && c == ':':
			return strings.ToLower(s[:i]), s[i+1:], true
		default:
			return "", "", false
		}
	}
	return "", "", false
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (u *URL) special() bool { return isSpecial(u.scheme) }

// isSlash says whether c separates path segments.
func (u *URL) isSlash(c byte) bool { return c == '/' || c == '\\' && u.special() }

// takeFrom copies what a relative URL has from its base up to the path.
func (u *URL) takeFrom(base *URL) {
	u.username, u.password = base.username, base.password
	u.host, u.hasHost, u.port = base.host, base.hasHost, base.port
}

func (u *URL) parseRelative(rest string, base *URL) bool {
	if rest != "" && u.isSlash(rest[0]) {
		if len(rest) > 1 && u.isSlash(rest[1]) {
			rest = rest[2:]
			if u.special() {
				rest = strings.TrimLeft(rest, `/\`)
			}
			return u.parseAuthority(rest)
		}
		u.takeFrom(base)
		return u.parsePath(rest[1:])
	}
	u.takeFrom(base)
	u.path = append([]string(nil), base.path...)
	u.query = base.query
	if rest == "" {
		return true
	}
	if rest[0] == '?' || rest[0] == '#' {
		u.parseTail(rest)
		return true
	}
	u.query = nil
	u.shorten()
	return u.parsePath(rest)
}

// parseAuthority parses what follows the two slashes.
func (u *URL) parseAuthority(rest string) bool {
	end := 0
	for end < len(rest) && rest[end] != '?' && rest[end] != '#' && !u.isSlash(rest[end]) {
		end++
	}
	authority := rest[:end]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		username, password, _ := strings.Cut(authority[:at], ":")
		u.username, u.password = escape(username, setUserinfo), escape(password, setUserinfo)
		if authority = authority[at+1:]; authority == "" {
			return false
		}
	}
	host, port, hasPort := cutPort(authority)
	if host == "" && (hasPort || u.special()) {
		return false
	}
	var ok bool
	if u.host, ok = parseHost(host, u.special()); !ok {
		return false
	}
	u.hasHost = true
	if hasPort && !u.parsePort(port) {
		return false
	}
	return u.parsePathStart(rest[end:])
}

// cutPort cuts a host and a port at the first colon outside of brackets.
func cutPort(s string) (host, port string, ok bool) {
	inside := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '[':
			inside = true
		case ']':
			inside = false
		case ':':
			if !inside {
				return s[:i], s[i+1:], true
			}
		}
	}
	return s, "", false
}

// parsePort parses digits and nothing else.
func (u *URL) parsePort(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
		if n = n*10 + int(s[i]-'0'); n > 65535 {
			return false
		}
	}
	u.port = -1
	if def, ok := specialPorts[u.scheme]; s != "" && (!ok || def != n) {
		u.port = n
	}
	return true
}

func (u *URL) parsePathStart(rest string) bool {
	if u.special() {
		if rest != "" && u.isSlash(rest[0]) {
			rest = rest[1:]
		}
		return u.parsePath(rest)
	}
	if rest == "" || rest[0] == '?' || rest[0] == '#' {
		u.parseTail(rest)
		return true
	}
	return u.parsePath(strings.TrimPrefix(rest, "/"))
}

// parsePath parses segments, query and fragment; the slash in front of the first segment is gone.
func (u *URL) parsePath(rest string) bool {
	end := strings.IndexAny(rest, "?#")
	if end < 0 {
		end = len(rest)
	}
	u.parseSegments(rest[:end])
	u.parseTail(rest[end:])
	return true
}

func (u *URL) parseSegments(s string) {
	for {
		end := 0
		for end < len(s) && !u.isSlash(s[end]) {
			end++
		}
		last := end == len(s)
		segment := s[:end]
		switch {
		case isDoubleDot(segment):
			u.shorten()
			if last {
				u.path = append(u.path, "")
			}
		case isSingleDot(segment):
			if last {
				u.path = append(u.path, "")
			}
		default:
			segment = escape(segment, setPath)
			if u.scheme == "file" && len(u.path) == 0 && isDrive(segment) {
				segment = segment[:1] + ":"
			}
			u.path = append(u.path, segment)
		}
		if last {
			return
		}
		s = s[end+1:]
	}
}

// parseTail parses "?query#fragment".
func (u *URL) parseTail(rest string) {
	if rest == "" {
		return
	}
	if rest[0] == '?' {
		query, fragment, ok := strings.Cut(rest[1:], "#")
		u.parseQuery(query)
		if ok {
			u.parseFragment(fragment)
		}
		return
	}
	u.parseFragment(rest[1:])
}

func (u *URL) parseQuery(s string) {
	set := setQuery
	if u.special() {
		set = setSpecialQuery
	}
	s = escape(s, set)
	u.query = &s
}

func (u *URL) parseFragment(s string) {
	s = escape(s, setFragment)
	u.fragment = &s
}

func (u *URL) parseFile(rest string, base *URL) bool {
	u.hasHost = true
	if base != nil && base.scheme != "file" {
		base = nil
	}
	if rest != "" && u.isSlash(rest[0]) {
		if len(rest) > 1 && u.isSlash(rest[1]) {
			return u.parseFileHost(rest[2:])
		}
		if base != nil {
			u.host, u.hasHost = base.host, base.hasHost
			if !startsWithDrive(rest[1:]) && len(base.path) > 0 && isNormalDrive(base.path[0]) {
				u.path = append(u.path, base.path[0])
			}
		}
		return u.parsePath(rest[1:])
	}
	if base == nil {
		return u.parsePath(rest)
	}
	u.host, u.hasHost = base.host, base.hasHost
	u.path = append([]string(nil), base.path...)
	u.query = base.query
	if rest == "" {
		return true
	}
	if rest[0] == '?' || rest[0] == '#' {
		u.parseTail(rest)
		return true
	}
	u.query = nil
	if startsWithDrive(rest) {
		u.path = nil
	} else {
		u.shorten()
	}
	return u.parsePath(rest)
}

func (u *URL) parseFileHost(rest string) bool {
	end := strings.IndexAny(rest, `/\?#`)
	if end < 0 {
		end = len(rest)
	}
	if isDrive(rest[:end]) {
		return u.parsePath(rest)
	}
	if end > 0 {
		host, ok := parseHost(rest[:end], true)
		if !ok {
			return false
		}
		if host != "localhost" {
			u.host = host
		}
	}
	return u.parsePathStart(rest[end:])
}

// shorten removes the last segment, but no drive letter.
func (u *URL) shorten() {
	if u.scheme == "file" && len(u.path) == 1 && isNormalDrive(u.path[0]) {
		return
	}
	if len(u.path) > 0 {
		u.path = u.path[:len(u.path)-1]
	}
}

func isDrive(s string) bool {
	return len(s) == 2 && isAlpha(s[0]) && (s[1] == ':' || s[1] == '|')
}

func isNormalDrive(s string) bool { return isDrive(s) && s[1] == ':' }

func startsWithDrive(s string) bool {
	return len(s) >= 2 && isDrive(s[:2]) && (len(s) == 2 || strings.IndexByte(`/\?#`, s[2]) >= 0)
}

func isSingleDot(s string) bool {
	return s == "." || len(s) == 3 && strings.EqualFold(s, "%2e")
}

func isDoubleDot(s string) bool {
	switch len(s) {
	case 2:
		return s == ".."
	case 4:
		return strings.EqualFold(s, ".%2e") || strings.EqualFold(s, "%2e.")
	case 6:
		return strings.EqualFold(s, "%2e%2e")
	}
	return false
}

// Href is the whole URL.
func (u *URL) Href() string {
	var s strings.Builder
	s.WriteString(u.scheme)
	s.WriteByte(':')
	if u.hasHost {
		s.WriteString("//")
		if u.username != "" || u.password != "" {
			s.WriteString(u.username)
			if u.password != "" {
				s.WriteByte(':')
				s.WriteString(u.password)
			}
			s.WriteByte('@')
		}
		s.WriteString(u.Host())
	} else if !u.isOpaque && len(u.path) > 1 && u.path[0] == "" {
		s.WriteString("/.")
	}
	s.WriteString(u.Pathname())
	if u.query != nil {
		s.WriteByte('?')
		s.WriteString(*u.query)
	}
	if u.fragment != nil {
		s.WriteByte('#')
		s.WriteString(*u.fragment)
	}
	return s.String()
}

// Origin is "scheme://host", or "null" for schemes that have none.
func (u *URL) Origin() string {
	switch {
	case u.scheme == "blob" && u.isOpaque:
		if inner, ok := Parse(u.opaque, nil); ok && (inner.scheme == "http" || inner.scheme == "https") {
			return inner.Origin()
		}
	case u.scheme != "file" && u.special():
		return u.scheme + "://" + u.Host()
	}
	return "null"
}

// Protocol is the scheme with its colon.
func (u *URL) Protocol() string { return u.scheme + ":" }

// Username is percent-encoded.
func (u *URL) Username() string { return u.username }

// Password is percent-encoded.
func (u *URL) Password() string { return u.password }

// Host is the host with the port, where there is one that is not the scheme's.
func (u *URL) Host() string {
	if u.port < 0 {
		return u.host
	}
	return u.host + ":" + strconv.Itoa(u.port)
}

// Hostname is the host without the port.
func (u *URL) Hostname() string { return u.host }

// Port is empty for none and for the scheme's.
func (u *URL) Port() string {
	if u.port < 0 {
		return ""
	}
	return strconv.Itoa(u.port)
}

// Pathname is the path.
func (u *URL) Pathname() string {
	if u.isOpaque {
		return u.opaque
	}
	n := 0
	for _, p := range u.path {
		n += 1 + len(p)
	}
	var s strings.Builder
	s.Grow(n)
	for _, p := range u.path {
		s.WriteByte('/')
		s.WriteString(p)
	}
	return s.String()
}

// Search is the query with its question mark; empty for none and for an empty one.
func (u *URL) Search() string {
	if u.query == nil || *u.query == "" {
		return ""
	}
	return "?" + *u.query
}

// Query is the query without its question mark.
func (u *URL) Query() string {
	if u.query == nil {
		return ""
	}
	return *u.query
}

// Hash is the fragment with its number sign; empty for none and for an empty one.
func (u *URL) Hash() string {
	if u.fragment == nil || *u.fragment == "" {
		return ""
	}
	return "#" + *u.fragment
}
