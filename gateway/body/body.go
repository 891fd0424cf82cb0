// Package body turns the bytes of a request body into the value that handlers
// see as `data` and that declared handshakes and verification read fields of.
// Every kind of body becomes JSON or text, so that nothing behind this package
// knows about Content-Types. It is pure; verify, script and ingest use it.
package body

// MaxDepth is how many levels of arrays and objects a JSON body may have. An
// empty array has one level.
const MaxDepth = 100

// MaxContainers is how many objects and arrays a JSON body may have, and MaxValues
// how many items and members in all. Each costs a handler that looks at it some hundred bytes, whatever it cost to send.
const (
	MaxContainers = 200_000
	MaxValues     = 1_000_000
)

// Kind says what a body became.
type Kind uint8

const (
	// None: the body is empty or does not parse; `data` is undefined.
	None Kind = iota
	// JSON: Parsed.JSON is the value.
	JSON
	// Text: Parsed.Text is the value, a string.
	Text
)

// Parsed is a body parsed by its Content-Type.
type Parsed struct {
	Kind Kind
	// JSON is one valid JSON value without surrounding space. For a JSON body it is a sub-slice of
	// the raw body, beginning at Offset; for a form an object made from it.
	JSON []byte
	// Raw reports that JSON is a sub-slice of the raw body.
	Raw    bool
	Offset int
	// Index are the objects and arrays of JSON as Index finds them, where that is known already and they are not
	// too many; else nil.
	Index []Container
	Text  string
	// Note says why a body with content has Kind None, or what was repaired; "" otherwise.
	Note string
	// OverLimit reports that the body was not parsed because it exceeds a limit of
	// this package, such as MaxDepth; Kind is then None and Note says which. Such a
	// request is to be answered with 400.
	OverLimit bool
}
