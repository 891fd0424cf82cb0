package web

import (
	"strings"

	"github.com/dop251/goja"

	"switchhook/gateway/script/host/bridge"
	"switchhook/gateway/script/host/weburl"
)

// address is the state of a URL. params is made when a script asks for searchParams;
// stale says that it has changed since the query was written.
type address struct {
	url    *weburl.URL
	params *params
	object *goja.Object
	stale  bool
}

// current is the URL with all changes made through searchParams.
func (a *address) current(b *bridge.Bridge) *weburl.URL {
	if a.stale {
		a.url.SetQuery(a.params.format(b))
		a.stale = false
	}
	return a.url
}

// changed brings searchParams up to date after the query has changed.
func (a *address) changed(b *bridge.Bridge) {
	if a.params != nil {
		a.params.pairs = parseForm(b, a.url.Query())
	}
}

// maxURL bounds the URLs and parts of URLs that are parsed, in bytes.
const maxURL = 1 << 20

// urlText reads an argument that is a URL or a part of one.
func urlText(b *bridge.Bridge, v goja.Value) string {
	s := b.Scalar(v)
	b.Limit(len(s), maxURL, "bytes of a URL")
	return s
}

func parseForm(b *bridge.Bridge, s string) []weburl.Pair {
	b.Limit(strings.Count(s, "&")+1, bridge.MaxElements, "pairs")
	return weburl.ParseForm(s)
}

func part(get func(*weburl.URL) string, set func(*weburl.URL, string)) bridge.Accessor {
	a := bridge.Accessor{Get: func(b *bridge.Bridge, s any) goja.Value { return b.String(get(s.(*address).current(b))) }}
	if set != nil {
		a.Set = func(b *bridge.Bridge, s any, v goja.Value) {
			text := urlText(b, v)
			set(s.(*address).current(b), text)
		}
	}
	return a
}

var urlClass = &bridge.Class{Name: "URL", Length: 1}

func init() {
	urlClass.New = func(b *bridge.Bridge, call goja.ConstructorCall) any {
		if len(call.Arguments) == 0 {
			b.TypeError("ERR_MISSING_ARGS", "The \"url\" argument must be specified")
		}
		u, ok := parse(b, call.Argument(0), call.Argument(1))
		if !ok {
			e := b.NewError("TypeError", "ERR_INVALID_URL", "Invalid URL")
			_ = e.Set("input", b.Scalar(call.Argument(0)))
			if base := call.Argument(1); !goja.IsUndefined(base) {
				_ = e.Set("base", b.Scalar(base))
			}
			panic(e)
		}
		return &address{url: u}
	}
	urlClass.Accessors = map[string]bridge.Accessor{
		"href": {
			Get: func(b *bridge.Bridge, s any) goja.Value { return b.String(s.(*address).current(b).Href()) },
			Set: func(b *bridge.Bridge, s any, v goja.Value) {
				text := urlText(b, v)
				u, ok := weburl.Parse(text, nil)
				if !ok {
					e := b.NewError("TypeError", "ERR_INVALID_URL", "Invalid URL")
					_ = e.Set("input", text)
					panic(e)
				}
				a := s.(*address)
				a.url, a.stale = u, false
				a.changed(b)
			},
		},
		"origin":   part((*weburl.URL).Origin, nil),
		"protocol": part((*weburl.URL).Protocol, (*weburl.URL).SetProtocol),
		"username": part((*weburl.URL).Username, (*weburl.URL).SetUsername),
		"password": part((*weburl.URL).Password, (*weburl.URL).SetPassword),
		"host":     part((*weburl.URL).Host, (*weburl.URL).SetHost),
		"hostname": part((*weburl.URL).Hostname, (*weburl.URL).SetHostname),
		"port":     part((*weburl.URL).Port, (*weburl.URL).SetPort),
		"pathname": part((*weburl.URL).Pathname, (*weburl.URL).SetPathname),
		"hash":     part((*weburl.URL).Hash, (*weburl.URL).SetHash),
		"search": {
			Get: part((*weburl.URL).Search, nil).Get,
			Set: func(b *bridge.Bridge, s any, v goja.Value) {
				a := s.(*address)
				text := urlText(b, v)
				a.current(b).SetSearch(text)
				a.changed(b)
			},
		},
		"searchParams": {Get: func(b *bridge.Bridge, s any) goja.Value {
			a := s.(*address)
			if a.params == nil {
				a.params = &params{pairs: parseForm(b, a.url.Query()), owner: a}
				a.object = b.Wrap(paramsClass, a.params)
			}
			return a.object
		}},
	}
	href := bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
		return b.String(bridge.This[*address](b, call, "URL").current(b).Href())
	})
	urlClass.Methods = bridge.Members{"toString": href, "toJSON": href}
	urlClass.Static = bridge.Members{
		"canParse": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			missing(b, call, "url")
			_, ok := parse(b, call.Argument(0), call.Argument(1))
			return b.RT.ToValue(ok)
		}),
	}
}

func parse(b *bridge.Bridge, input, base goja.Value) (*weburl.URL, bool) {
	text := urlText(b, input)
	var against *weburl.URL
	if !goja.IsUndefined(base) {
		var ok bool
		if against, ok = weburl.Parse(urlText(b, base), nil); !ok {
			return nil, false
		}
	}
	return weburl.Parse(text, against)
}

// URL is the class URL in a runtime.
func URL(b *bridge.Bridge) *goja.Object { return b.Constructor(urlClass) }

// URLSearchParams is the class URLSearchParams in a runtime.
func URLSearchParams(b *bridge.Bridge) *goja.Object { return b.Constructor(paramsClass) }

// Members are what require('url') gives.
func Members() bridge.Members {
	return bridge.Members{
		"URL":             bridge.Lazy(func(b *bridge.Bridge) goja.Value { return URL(b) }),
		"URLSearchParams": bridge.Lazy(func(b *bridge.Bridge) goja.Value { return URLSearchParams(b) }),
		"domainToASCII": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			missing(b, call, "domain")
			return b.String(weburl.DomainToASCII(b.Scalar(call.Argument(0))))
		}),
		"domainToUnicode": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			missing(b, call, "domain")
			return b.String(weburl.DomainToUnicode(b.Scalar(call.Argument(0))))
		}),
	}
}

// params is the state of a URLSearchParams. owner is the URL whose query it is, if any.
type params struct {
	pairs []weburl.Pair
	owner *address
}

// changed tells the URL that its query is to be written anew.
func (p *params) changed() {
	if p.owner != nil {
		p.owner.stale = true
	}
}

// format writes the pairs. The longest that text can become is three bytes for one.
func (p *params) format(b *bridge.Bridge) string {
	n := 0
	for i := range p.pairs {
		n += len(p.pairs[i].Name) + len(p.pairs[i].Value) + 2
	}
	b.Limit(n, bridge.MaxText/2, "bytes of a query")
	return weburl.FormatForm(p.pairs)
}

func (p *params) add(b *bridge.Bridge, name, value string) {
	b.Limit(len(p.pairs)+1, bridge.MaxElements, "pairs")
	p.pairs = append(p.pairs, weburl.Pair{Name: name, Value: value})
}

var paramsClass = &bridge.Class{Name: "URLSearchParams", Iterator: "entries"}

// cursor is the state of an iterator over pairs; it sees changes made meanwhile.
type cursor struct {
	params *params
	next   int
	kind   byte // 'k' keys, 'v' values, 'e' entries
}

var cursorClass = &bridge.Class{
	Name: "URLSearchParams Iterator",
	Methods: bridge.Members{
		"next": bridge.Method(0, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			c := bridge.This[*cursor](b, call, "URLSearchParamsIterator")
			if c.next >= len(c.params.pairs) {
				return b.Object("value", goja.Undefined(), "done", true)
			}
			pair := c.params.pairs[c.next]
			c.next++
			var v any
			switch c.kind {
			case 'k':
				v = pair.Name
			case 'v':
				v = pair.Value
			default:
				v = b.Strings([]string{pair.Name, pair.Value})
			}
			return b.Object("value", v, "done", false)
		}),
		"self": bridge.Method(0, func(_ *bridge.Bridge, call goja.FunctionCall) goja.Value { return call.This }),
	},
	Iterator: "self",
}

func init() {
	method := func(names []string, f func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value) bridge.Member {
		return bridge.Method(len(names), func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			p := bridge.This[*params](b, call, "URLSearchParams")
			missing(b, call, names...)
			return f(b, p, call.Arguments)
		})
	}
	name, both := []string{"name"}, []string{"name", "value"}
	iterator := func(kind byte) bridge.Member {
		return method(nil, func(b *bridge.Bridge, p *params, _ []goja.Value) goja.Value {
			return b.Wrap(cursorClass, &cursor{params: p, kind: kind})
		})
	}
	// second is an optional second argument, which narrows what delete and has look for.
	second := func(b *bridge.Bridge, args []goja.Value) (string, bool) {
		if len(args) < 2 || goja.IsUndefined(args[1]) {
			return "", false
		}
		return b.Scalar(args[1]), true
	}
	paramsClass.New = newParams
	paramsClass.Accessors = map[string]bridge.Accessor{
		"size": {Get: func(b *bridge.Bridge, s any) goja.Value { return b.RT.ToValue(len(s.(*params).pairs)) }},
	}
	paramsClass.Methods = bridge.Members{
		"append": method(both, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			p.add(b, b.Scalar(args[0]), b.Scalar(args[1]))
			p.changed()
			return nil
		}),
		"delete": method(name, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			n := b.Scalar(args[0])
			value, narrow := second(b, args)
			kept := make([]weburl.Pair, 0, len(p.pairs))
			for _, pair := range p.pairs {
				if pair.Name != n || narrow && pair.Value != value {
					kept = append(kept, pair)
				}
			}
			p.pairs = kept
			p.changed()
			return nil
		}),
		"get": method(name, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			n := b.Scalar(args[0])
			for _, pair := range p.pairs {
				if pair.Name == n {
					return b.String(pair.Value)
				}
			}
			return goja.Null()
		}),
		"getAll": method(name, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			n := b.Scalar(args[0])
			var values []string
			for _, pair := range p.pairs {
				if pair.Name == n {
					values = append(values, pair.Value)
				}
			}
			return b.Strings(values)
		}),
		"has": method(name, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			n := b.Scalar(args[0])
			value, narrow := second(b, args)
			for _, pair := range p.pairs {
				if pair.Name == n && (!narrow || pair.Value == value) {
					return b.RT.ToValue(true)
				}
			}
			return b.RT.ToValue(false)
		}),
		"set": method(both, func(b *bridge.Bridge, p *params, args []goja.Value) goja.Value {
			n, value := b.Scalar(args[0]), b.Scalar(args[1])
			kept, found := make([]weburl.Pair, 0, len(p.pairs)+1), false
			for _, pair := range p.pairs {
				if pair.Name == n {
					if found {
						continue
					}
					found = true
					pair.Value = value
				}
				kept = append(kept, pair)
			}
			p.pairs = kept
			if !found {
				p.add(b, n, value)
			}
			p.changed()
			return nil
		}),
		"sort": method(nil, func(b *bridge.Bridge, p *params, _ []goja.Value) goja.Value {
			weburl.SortPairs(p.pairs)
			p.changed()
			return nil
		}),
		"toString": method(nil, func(b *bridge.Bridge, p *params, _ []goja.Value) goja.Value {
			return b.String(p.format(b))
		}),
		"forEach": bridge.Method(1, func(b *bridge.Bridge, call goja.FunctionCall) goja.Value {
			p := bridge.This[*params](b, call, "URLSearchParams")
			f, ok := goja.AssertFunction(call.Argument(0))
			if !ok {
				b.BadType("callback", "of type function", call.Argument(0))
			}
			for i := 0; i < len(p.pairs); i++ {
				pair := p.pairs[i]
				b.Call(f, call.Argument(1), b.String(pair.Value), b.String(pair.Name), call.This)
			}
			return nil
		}),
		"entries": iterator('e'),
		"keys":    iterator('k'),
		"values":  iterator('v'),
	}
}

func newParams(b *bridge.Bridge, call goja.ConstructorCall) any {
	p := &params{}
	init := call.Argument(0)
	if bridge.IsNullish(init) {
		return p
	}
	o, ok := init.(*goja.Object)
	if !ok {
		p.pairs = parseForm(b, strings.TrimPrefix(b.Scalar(init), "?"))
		return p
	}
	if from, ok := bridge.State[*params](b, o); ok {
		p.pairs = append([]weburl.Pair(nil), from.pairs...)
		return p
	}
	if iterate := o.GetSymbol(goja.SymIterator); !bridge.IsNullish(iterate) {
		if _, ok := goja.AssertFunction(iterate); !ok {
			b.TypeError("ERR_ARG_NOT_ITERABLE", "Query pairs must be iterable")
		}
		b.RT.ForOf(o, func(item goja.Value) bool {
			pair := tuple(b, item)
			p.add(b, pair.Name, pair.Value)
			return true
		})
		return p
	}
	seen := make(map[string]int)
	for _, key := range o.Keys() {
		name := strings.ToValidUTF8(key, "\ufffd")
		value := b.Scalar(o.Get(key))
		// Two names that differ only in lone surrogates become one.
		if i, ok := seen[name]; ok {
			p.pairs[i].Value = value
			continue
		}
		seen[name] = len(p.pairs)
		p.add(b, name, value)
	}
	return p
}

// tuple reads one [name, value] of an iterable.
func tuple(b *bridge.Bridge, item goja.Value) weburl.Pair {
	bad := func() {
		b.TypeError("ERR_INVALID_TUPLE", "Each query pair must be an iterable [name, value] tuple")
	}
	o, ok := item.(*goja.Object)
	if !ok {
		bad()
	}
	if f, ok := goja.AssertFunction(o.GetSymbol(goja.SymIterator)); !ok || f == nil {
		bad()
	}
	var parts []string
	b.RT.ForOf(o, func(v goja.Value) bool {
		if len(parts) == 2 {
			parts = append(parts, "")
			return false
		}
		parts = append(parts, b.Scalar(v))
		return true
	})
	if len(parts) != 2 {
		bad()
	}
	return weburl.Pair{Name: parts[0], Value: parts[1]}
}
