package match

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// reference is the parsed path of a $ref, from the payload's root.
type reference struct {
	text  string
	steps []step
}

type step struct {
	kind  stepKind
	name  string
	index int
}

type stepKind uint8

const (
	stepName    stepKind = iota // .name, ['name']; on an array .0 and .length
	stepIndex                   // [0]
	stepAny                     // [*], .*
	stepCurrent                 // [$index]: the index-th [$index] of the path
)

// parseReference parses a path; mistake is "" when it is one.
func parseReference(text string) (r *reference, mistake, hint string) {
	fail := func(rest, why, hint string) (*reference, string, string) {
		return nil, fmt.Sprintf("path %s: %s at character %d", show(text), why, 1+utf8.RuneCountInString(text)-utf8.RuneCountInString(rest)), hint
	}
	const example = `a path is like order.total or items[$index].price`
	r = &reference{text: text}
	rest := text
	current := 0
	dotted := rest != "" && rest[0] != '[' // a name may follow without a dot
	if strings.HasPrefix(rest, "$") && !strings.HasPrefix(rest, "$index") {
		rest, dotted = rest[1:], false
	}
	if rest == "" && text == "" {
		return fail(rest, "it is empty", example)
	}
	for first := true; rest != "" || first && dotted; first = false {
		if strings.HasPrefix(rest, "..") {
			return fail(rest, "recursive descent (..) is not supported", example)
		}
		if dotted && first || strings.HasPrefix(rest, ".") {
			if !(dotted && first) {
				rest = rest[1:]
			}
			if strings.HasPrefix(rest, "*") {
				r.steps = append(r.steps, step{kind: stepAny})
				rest = rest[1:]
				continue
			}
			end := strings.IndexFunc(rest, func(c rune) bool {
				return c != '_' && c != '$' && c != '-' && !unicode.IsLetter(c) && !unicode.IsDigit(c)
			})
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return fail(rest, "a name is missing", example)
			}
			r.steps = append(r.steps, step{kind: stepName, name: rest[:end]})
			rest = rest[end:]
			continue
		}
		if rest[0] != '[' {
			return fail(rest, fmt.Sprintf("unexpected %s", quoted(firstRune(rest))), `a name with other characters is written ['like this']`)
		}
		if len(rest) > 1 && (rest[1] == '\'' || rest[1] == '"') {
			name, after, ok := quotedName(rest[1:])
			if !ok || !strings.HasPrefix(after, "]") {
				return fail(rest, "the name in brackets does not end", `it ends with `+rest[1:2]+`]`)
			}
			r.steps = append(r.steps, step{kind: stepName, name: name})
			rest = after[1:]
			continue
		}
		inside, after, ok := strings.Cut(rest[1:], "]")
		if !ok {
			return fail(rest, "a ] is missing", "")
		}
		switch {
		case inside == "*":
			r.steps = append(r.steps, step{kind: stepAny})
		case inside == "$index":
			r.steps = append(r.steps, step{kind: stepCurrent, index: current})
			current++
		default:
			n, err := strconv.ParseUint(inside, 10, 31)
			if err != nil || strconv.FormatUint(n, 10) != inside {
				return fail(rest[1:], fmt.Sprintf("[%s] is not supported", shorten(inside, 30)), `in brackets stands a number, 'a name', * or $index`)
			}
			r.steps = append(r.steps, step{kind: stepIndex, index: int(n)})
		}
		rest = after
	}
	return r, "", ""
}

func firstRune(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return s[:size]
}

// quotedName reads a name in quotes, in which a backslash makes the next character stand for itself.
func quotedName(s string) (name, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// resolve returns the first value that the path names. It reports false where
// there is no item for a [$index]; a value that is not there does not Exist.
func (e *evaluation) resolve(r *reference) (gjson.Result, bool) {
	for _, s := range r.steps {
		if s.kind == stepCurrent && s.index >= len(e.indexes) {
			return gjson.Result{}, false
		}
	}
	return e.follow(e.root, r.steps), true
}

func (e *evaluation) follow(v gjson.Result, steps []step) gjson.Result {
	for i, s := range steps {
		switch {
		case s.kind == stepAny:
			var found gjson.Result
			if v.Type == gjson.JSON && e.spend(len(v.Raw)) {
				v.ForEach(func(_, child gjson.Result) bool {
					found = e.follow(child, steps[i+1:])
					return !found.Exists()
				})
			}
			return found
		case s.kind == stepName && isObject(v):
			v = e.member(v, s.name)
		case s.kind == stepName && isArray(v):
			if s.name == "length" {
				n := 0
				if e.spend(len(v.Raw)) {
					v.ForEach(func(_, _ gjson.Result) bool { n++; return true })
				}
				v = gjson.Result{Type: gjson.Number, Raw: strconv.Itoa(n), Num: float64(n)}
				continue
			}
			index, ok := arrayIndex(s.name)
			if !ok {
				return gjson.Result{}
			}
			v = e.item(v, int(index))
		case s.kind == stepIndex && isArray(v):
			v = e.item(v, s.index)
		case s.kind == stepCurrent && isArray(v):
			v = e.item(v, e.indexes[s.index])
		default:
			return gjson.Result{}
		}
	}
	return v
}
