package document

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

var lineInMessage = regexp.MustCompile(`^line (\d+): `)

// syntaxError says where and what a syntax error is. The library tells the line in the
// text of its error only, no column, and sometimes the line above; its
// decoder knows better, so it is asked.
func (d *Document) syntaxError(decoder *yaml.Decoder, err error) (at position, message, hint string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineInMessage.FindStringSubmatch(message); m != nil {
		line, _ := strconv.Atoi(m[1])
		at.line = min(line, bytes.Count(d.source, []byte{'\n'})+1)
		message = strings.TrimPrefix(message, m[0])
	}
	inside, ok := decoderState(decoder)
	if !ok {
		return at, "YAML syntax: " + message, ""
	}
	if strings.HasPrefix(message, "unknown anchor") {
		name := strings.TrimSuffix(strings.TrimPrefix(message, "unknown anchor '"), "' referenced")
		return inside.event, fmt.Sprintf("there is no anchor &%s before the alias *%s", name, name),
			"a value that begins with * needs quotes"
	}
	if inside.problem.line > 0 {
		at = inside.problem
	}
	character := ""
	if text := d.after(at); len(text) > 0 {
		character = string([]rune(string(text))[:1])
	}
	switch {
	case strings.Contains(message, "cannot start any token"), strings.Contains(message, "found a tab character"):
		if character == "\t" || strings.Contains(message, "tab character") {
			return at, "a tab cannot indent YAML", "indent with spaces"
		}
		return at, fmt.Sprintf("a value cannot begin with %s", character), "put it in quotes"
	case strings.Contains(message, "mapping values are not allowed"):
		return at, "a \": \" cannot stand here", "put a value that contains \": \" in quotes; a key is indented as its neighbours are"
	case strings.Contains(message, "unexpected end of stream") && strings.Contains(inside.context, "quoted scalar"):
		return inside.start, "the quote that opens here is never closed", ""
	case strings.Contains(message, "did not find expected ',' or"):
		opener := message[len(message)-2 : len(message)-1] // "]" or "}"
		opener = map[string]string{"]": "[", "}": "{"}[opener]
		if inside.start.line > 0 {
			if at.line > len(d.starts) || len(bytes.TrimSpace(d.after(at))) == 0 {
				return inside.start, fmt.Sprintf("the %s that opens here is never closed", opener), ""
			}
			return at, fmt.Sprintf("expected a comma, or the end of the %s of line %d", opener, inside.start.line), ""
		}
	case strings.Contains(message, "did not find expected key"):
		return at, fmt.Sprintf("expected a key of the map that begins on line %d", inside.start.line),
			"look for a line that is indented differently from its neighbours, or a quote that is missing"
	case strings.Contains(message, "did not find expected '-' indicator"):
		return at, fmt.Sprintf("expected \"- \", another item of the list that begins on line %d", inside.start.line),
			"look for a line that is indented differently from its neighbours"
	case strings.Contains(message, "did not find expected node content"):
		if len(bytes.TrimSpace(d.after(at))) == 0 {
			return at, "the file ends where a value is expected", "look for a bracket that is never closed"
		}
		return at, fmt.Sprintf("a value cannot begin with %s", character), "put it in quotes"
	case strings.Contains(message, "block sequence entries are not allowed"):
		return at, "a list cannot begin on the line of its key", "begin it on the next line"
	case strings.Contains(message, "could not find expected ':'"):
		if inside.start.line > 0 {
			at = inside.start
		}
		return at, "expected \": \" behind this key", "a key and its value stand on one line; text of several lines needs quotes or |"
	}
	if inside.context != "" {
		message = inside.context + ", " + message
	}
	return at, "YAML syntax: " + message, ""
}

// yamlState is what the library's decoder knows of its failure.
type yamlState struct {
	problem, start, event position // start is that of the context
	context               string
}

// decoderState reads the private state of a decoder. The library is archived, so it stays
// as it is; should it change after all, ok is false.
func decoderState(decoder *yaml.Decoder) (s yamlState, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	parser := reflect.ValueOf(decoder).Elem().FieldByName("parser").Elem()
	inner := parser.FieldByName("parser")
	place := func(mark reflect.Value) position {
		line, column := int(mark.FieldByName("line").Int()), int(mark.FieldByName("column").Int())
		if line == 0 && column == 0 && mark.FieldByName("index").Int() == 0 {
			return position{1, 1}
		}
		return position{line + 1, column + 1}
	}
	s.context = inner.FieldByName("context").String()
	s.start = place(inner.FieldByName("context_mark"))
	s.event = place(parser.FieldByName("event").FieldByName("start_mark"))
	if inner.FieldByName("problem").String() != "" {
		s.problem = place(inner.FieldByName("problem_mark"))
	}
	return s, true
}
