package body

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The limits of forms, of query strings too. What exceeds one is not parsed at all:
// half a form would be worse than none.
const (
	// MaxFormKeys is how many name=value pairs (parts, in a multipart body: see MaxParts) a form may have.
	MaxFormKeys = 10_000
	// MaxFormDepth is how many brackets a key may have.
	MaxFormDepth = 20
	// maxSparseIndex is the highest index that makes a list with gaps: above it, numbers
	// in brackets are taken for names, as ids are.
	maxSparseIndex = 20
)

// parseForm parses an application/x-www-form-urlencoded body
// (https://url.spec.whatwg.org/#urlencoded-parsing, with brackets).
func parseForm(raw []byte, charsetName string) *Parsed {
	d, note := charset(charsetName)
	f := form{}
	if why := f.urlencoded(string(raw), d); why != "" {
		return &Parsed{Note: "the form was not parsed: " + why, OverLimit: true}
	}
	if p := sniff(raw); p != nil {
		note = join(note, "the body looks like JSON, but its Content-Type says that it is a form")
	}
	return &Parsed{Kind: JSON, JSON: f.json(), Note: note}
}

// Query turns a raw query string (without the question mark) into a JSON object:
//
//   - a=1&b=2 is {"a":"1","b":"2"}; values are strings, + is a space, a name without = has the value "".
//   - a=1&a=2 is {"a":["1","2"]}.
//   - a[b]=1 is {"a":{"b":"1"}}, a[]=1 is {"a":["1"]}, a[0][x]=1 is {"a":[{"x":"1"}]}; every [] begins
//     a new item. Numbers in brackets make a list when they leave no gaps or
//     none is above 20; gaps are closed. Otherwise they are names.
//   - a=1&a[b]=2 is {"a":["1",{"b":"2"}]}: nothing is lost.
//   - Brackets that are not closed, or not at the end, are part of the name.
//   - Names come in the order in which they first appeared. What is not UTF-8 becomes U+FFFD.
//
// The result is always a valid JSON object; "{}" for a query that is empty or
// beyond the limits of forms. Bodies follow the same rules.
func Query(raw string) []byte {
	f := form{}
	if raw == "" || f.urlencoded(raw, decoder{}) != "" {
		return []byte("{}")
	}
	return f.json()
}

// form collects the fields of a form.
type form struct {
	root formNode
	keys int
}

// formNode is what stands under a name: values, and names in brackets.
type formNode struct {
	// values are JSON texts.
	values []string
	// names is in order of appearance; children has its nodes.
	names    []string
	children []*formNode
	// places finds a name once there are more than a few.
	places map[string]int
	// next is the index that [] stands for.
	next int
}

// urlencoded adds the pairs of a text; why is "" unless a limit is exceeded.
func (f *form) urlencoded(text string, d decoder) (why string) {
	for text != "" {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if why = f.add(d.string(unescape(name)), quote(d.string(unescape(value)))); why != "" {
			return why
		}
	}
	return ""
}

// unescape decodes + and %XX; a % without two digits stands for itself.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b = append(b, ' ')
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func quote(s string) string { return string(appendString(make([]byte, 0, len(s)+2), s)) }

// add adds a value, JSON, under a key with brackets.
func (f *form) add(key, value string) (why string) {
	if f.keys++; f.keys > MaxFormKeys {
		return fmt.Sprintf("it has more than %d fields", MaxFormKeys)
	}
	name, brackets := key, ""
	if i := strings.IndexByte(key, '['); i > 0 && strings.HasSuffix(key, "]") {
		name, brackets = key[:i], key[i:]
	}
	// Only brackets that follow one another to the end are structure.
	var path []string
	for rest := brackets; rest != ""; {
		end := strings.IndexByte(rest, ']')
		if rest[0] != '[' || end < 0 || strings.IndexByte(rest[1:end], '[') >= 0 {
			name, path = key, nil
			break
		}
		path, rest = append(path, rest[1:end]), rest[end+1:]
		if len(path) > MaxFormDepth {
			return fmt.Sprintf("a key has more than %d brackets", MaxFormDepth)
		}
	}
	n := f.root.child(name)
	for _, step := range path {
		if step == "" {
			step = strconv.Itoa(n.next)
		}
		n = n.child(step)
	}
	n.values = append(n.values, value)
	return ""
}

func (n *formNode) child(name string) *formNode {
	i := -1
	if n.places != nil {
		if at, ok := n.places[name]; ok {
			i = at
		}
	} else {
		i = slices.Index(n.names, name)
	}
	if i >= 0 {
		return n.children[i]
	}
	if at, ok := listIndex(name); ok && at >= n.next {
		n.next = at + 1
	}
	c := new(formNode)
	n.names, n.children = append(n.names, name), append(n.children, c)
	switch {
	case n.places != nil:
		n.places[name] = len(n.names) - 1
	case len(n.names) > 8:
		n.places = make(map[string]int, 2*len(n.names))
		for i, name := range n.names {
			n.places[name] = i
		}
	}
	return c
}

// listIndex reports whether a name is an index as a list may have it.
func listIndex(name string) (int, bool) {
	if name == "" || len(name) > 6 || len(name) > 1 && name[0] == '0' {
		return 0, false
	}
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(name)
	return n, err == nil
}

func (f *form) json() []byte { return f.root.appendObject(nil) }

func (n *formNode) appendJSON(dst []byte) []byte {
	list := n.list()
	switch {
	case len(n.names) == 0 && len(n.values) == 1:
		return append(dst, n.values[0]...)
	case len(n.values) == 0 && list == nil:
		return n.appendObject(dst)
	}
	dst = append(dst, '[')
	for _, v := range n.values {
		dst = append(append(dst, v...), ',')
	}
	if list == nil && len(n.names) > 0 {
		dst = append(n.appendObject(dst), ',')
	}
	for _, i := range list {
		dst = append(n.children[i].appendJSON(dst), ',')
	}
	dst[len(dst)-1] = ']' // there was at least one item
	return dst
}

func (n *formNode) appendObject(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range n.names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, name), ':')
		dst = n.children[i].appendJSON(dst)
	}
	return append(dst, '}')
}

// list returns the children in order of their indexes when the names make a list, else nil.
func (n *formNode) list() []int {
	if len(n.names) == 0 {
		return nil
	}
	indexes := make([]int, len(n.names))
	highest := 0
	for i, name := range n.names {
		index, ok := listIndex(name)
		if !ok {
			return nil
		}
		indexes[i] = index
		highest = max(highest, index)
	}
	if highest > maxSparseIndex && highest >= len(n.names) {
		return nil
	}
	order := make([]int, len(n.names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return indexes[a] - indexes[b] })
	return order
}
