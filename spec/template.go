package spec

import (
	"encoding/json"
	"errors"
)

// Template is the selector of an event, declared rather than computed: text in
// which ${parameters.NAME} stands for a parameter of the subscription, and
// ${parameters.NAME:-TEXT} for it or, where it is absent, TEXT.
type Template struct {
	source string
}

// String is the template as it was written.
func (t *Template) String() string { return t.source }

// Expand returns the selector for the parameters, a JSON object. Values are put in as they are,
// so that wildcards in parameters work as in selectors. It fails on a parameter that is absent and
// has no default, or is neither a string, a number nor a boolean.
func (t *Template) Expand(parameters json.RawMessage) (string, error) {
	return "", errors.New("spec: not there yet")
}
