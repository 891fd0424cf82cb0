package weburl

import "strings"

// SetProtocol changes the scheme, where the standard allows it: a special scheme
// only to a special one.
func (u *URL) SetProtocol(v string) {
	scheme, _, ok := cutScheme(dropTabs(v) + ":")
	if !ok || isSpecial(scheme) != u.special() {
		return
	}
	if scheme == "file" && (u.username != "" || u.password != "" || u.port >= 0) {
		return
	}
	if u.scheme == "file" && u.host == "" {
		return
	}
	u.scheme = scheme
	if def, ok := specialPorts[scheme]; ok && def == u.port {
		u.port = -1
	}
}

// bare says whether the URL can have no user name, password or port.
func (u *URL) bare() bool { return u.host == "" || u.scheme == "file" }

// SetUsername changes the user name; v is not yet percent-encoded.
func (u *URL) SetUsername(v string) {
	if !u.bare() {
		u.username = escape(v, setUserinfo)
	}
}

// SetPassword changes the password; v is not yet percent-encoded.
func (u *URL) SetPassword(v string) {
	if !u.bare() {
		u.password = escape(v, setUserinfo)
	}
}

// SetHost changes the host, and the port when v has one.
func (u *URL) SetHost(v string) { u.setHost(v, true) }

// SetHostname changes the host; v may not have a port.
func (u *URL) SetHostname(v string) { u.setHost(v, false) }

func (u *URL) setHost(v string, withPort bool) {
	if u.isOpaque {
		return
	}
	v = dropTabs(v)
	end := 0
	for end < len(v) && v[end] != '?' && v[end] != '#' && !u.isSlash(v[end]) {
		end++
	}
	v = v[:end]
	if u.scheme == "file" {
		if v == "" {
			u.host, u.hasHost = "", true
			return
		}
		if host, ok := parseHost(v, true); ok {
			if host == "localhost" {
				host = ""
			}
			u.host, u.hasHost = host, true
		}
		return
	}
	host, port, hasPort := cutPort(v)
	if hasPort && (host == "" || !withPort) {
		return
	}
	if host == "" && (u.special() || u.username != "" || u.password != "" || u.port >= 0) {
		return
	}
	parsed, ok := parseHost(host, u.special())
	if !ok {
		return
	}
	u.host, u.hasHost = parsed, true
	if hasPort {
		u.setPortDigits(port)
	}
}

// SetPort changes the port to the digits at the start of v; the empty string removes it.
func (u *URL) SetPort(v string) {
	if u.bare() {
		return
	}
	if v == "" {
		u.port = -1
		return
	}
	u.setPortDigits(dropTabs(v))
}

func (u *URL) setPortDigits(v string) {
	end := 0
	for end < len(v) && isDigit(v[end]) {
		end++
	}
	if end > 0 {
		u.parsePort(v[:end])
	}
}

// SetPathname changes the path, unless it is opaque.
func (u *URL) SetPathname(v string) {
	if u.isOpaque {
		return
	}
	u.path = nil
	v = dropTabs(v)
	switch {
	case u.special():
		if v != "" && u.isSlash(v[0]) {
			v = v[1:]
		}
		u.parseSegments(v)
	case v != "":
		u.parseSegments(strings.TrimPrefix(v, "/"))
	case !u.hasHost:
		u.path = []string{""}
	}
}

// SetSearch changes the query; the question mark in front is optional.
func (u *URL) SetSearch(v string) {
	if v == "" {
		u.query = nil
		u.trimOpaque()
		return
	}
	u.parseQuery(dropTabs(strings.TrimPrefix(v, "?")))
}

// SetQuery puts a query that is percent-encoded already; empty for none.
func (u *URL) SetQuery(q string) {
	if q == "" {
		u.query = nil
		u.trimOpaque()
		return
	}
	u.query = &q
}

// SetHash changes the fragment; the number sign in front is optional.
func (u *URL) SetHash(v string) {
	if v == "" {
		u.fragment = nil
		u.trimOpaque()
		return
	}
	u.parseFragment(dropTabs(strings.TrimPrefix(v, "#")))
}

// trimOpaque removes spaces at the end of an opaque path once nothing follows
// it, for they would be lost when the URL is parsed again.
func (u *URL) trimOpaque() {
	if u.isOpaque && u.query == nil && u.fragment == nil {
		u.opaque = strings.TrimRight(u.opaque, " ")
	}
}
