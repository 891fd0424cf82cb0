// Package template names places of a request, and fills text with what stands
// there. It is how a `verify:` block says what is signed ("{timestamp}.{body}")
// and a `handshake:` block what is answered ("{query.challenge}").
//
// A reference is one of
//
//	header.NAME        a header field; the name in any case
//	query.NAME         a query parameter, percent-decoded; NAME may contain dots
//	body.PATH          a field of the body, parsed by its Content-Type (JSON sent as text counts as JSON)
//	item.PATH, item    a field of the part of the body being looked at, or the part itself
//	parameters.PATH    a parameter of the integration
//	state.NAME         a value that the integration remembers
//	body, url, ...     the words that Words lists
//
// A PATH is keys with dots between them, list positions and quoted keys in
// brackets: data.items[0]["odd.key"]. A question mark at the end of a reference
// makes it optional: what is absent is then empty.
//
// In a template a reference stands in braces; {{ and }} stand for braces.
//
// What a reference reads is one value or an error. A header, query parameter or
// key that stands there twice is an error, because whoever reads the request
// next may take the other one. The package is pure; only verify and handshake use it.
package template

import (
	"io"
	"strings"
	"unicode/utf8"

	"switchhook/spec/diagnostic"
	"switchhook/spec/document"
)

// Template is text with references. It is immutable.
type Template struct {
	text   string
	pieces []piece
}

// piece is literal text, or a reference.
type piece struct {
	literal   string
	reference *Reference
}

// Parse reads the template in n, a string. The references may be of the
// allowed kinds only. The template is nil when the list has errors.
func Parse(n *document.Node, allowed Kind) (*Template, diagnostic.List) {
	var text string
	if list := n.Decode(&text); list.HasErrors() {
		return nil, list
	}
	t, mistakes := parse(text, allowed)
	if len(mistakes) > 0 {
		return nil, diagnose(n, mistakes)
	}
	return t, nil
}

// mistake is what is wrong with a part of a string.
type mistake struct {
	// offset and length are in bytes.
	offset, length int
	message, hint  string
}

// diagnose points at the parts of n. Where the text in the file is not the
// text of the string (it is folded, or has escapes) it points at the whole.
func diagnose(n *document.Node, mistakes []mistake) diagnostic.List {
	var list diagnostic.List
	for _, m := range mistakes {
		d := n.Errorf("bad-reference", "%s", m.message)
		d.Hint = m.hint
		text, line, column, indent := n.Code()
		before := text[:m.offset]
		if n.Block {
			lines := strings.Count(before, "\n")
			d.Line, d.Column = line+lines, indent+1+utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
			if at := n.Document(); at != nil {
				d.Snippet = diagnostic.SnippetAt(at.Source(), d.Line)
			}
			d.EndLine, d.EndColumn = d.Line, d.Column+utf8.RuneCountInString(text[m.offset:m.offset+m.length])
		} else if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\\' || r == '"' || r == '\'' }) {
			d.Line, d.Column = line, column+utf8.RuneCountInString(before)
			d.EndLine, d.EndColumn = d.Line, d.Column+utf8.RuneCountInString(text[m.offset:m.offset+m.length])
		}
		list.Add(d)
	}
	return list
}

func parse(text string, allowed Kind) (*Template, []mistake) {
	t := &Template{text: text}
	var mistakes []mistake
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.pieces = append(t.pieces, piece{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); {
		brace := strings.IndexAny(text[i:], "{}")
		if brace < 0 {
			literal.WriteString(text[i:])
			break
		}
		literal.WriteString(text[i : i+brace])
		i += brace
		if i+1 < len(text) && text[i+1] == text[i] {
			literal.WriteByte(text[i])
			i += 2
			continue
		}
		if text[i] == '}' {
			mistakes = append(mistakes, mistake{i, 1, "a closing brace without an opening one", "write }} for a brace that is meant as one"})
			i++
			continue
		}
		end := closingBrace(text[i:])
		if end < 0 {
			mistakes = append(mistakes, mistake{i, len(text) - i, "the brace is not closed", "write {{ for a brace that is meant as one"})
			break
		}
		flush()
		r, bad := parseReference(text[i+1:i+end], allowed)
		for _, m := range bad {
			m.offset += i + 1
			mistakes = append(mistakes, m)
		}
		t.pieces = append(t.pieces, piece{reference: r})
		i += end + 1
	}
	flush()
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return t, nil
}

// closingBrace is the offset of the brace that closes the one text begins
// with, passing over quoted keys; -1 when there is none.
func closingBrace(text string) int {
	quoted := false
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			return -1
		case c == '}':
			return i
		}
	}
	return -1
}

// String is the template as it was written.
func (t *Template) String() string { return t.text }

// References are the references of the template in the order of the text.
func (t *Template) References() []*Reference {
	var list []*Reference
	for _, p := range t.pieces {
		if p.reference != nil {
			list = append(list, p.reference)
		}
	}
	return list
}

// Kinds has the bits of all kinds of references in the template.
func (t *Template) Kinds() Kind {
	var k Kind
	for _, p := range t.pieces {
		if p.reference != nil {
			k |= p.reference.Kind
		}
	}
	return k
}

// Only returns the reference that the template consists of, or nil.
func (t *Template) Only() *Reference {
	if len(t.pieces) == 1 {
		return t.pieces[0].reference
	}
	return nil
}

// Write writes the text to w, the body without copying it. The error is a
// *Unreadable, or what w returned.
func (t *Template) Write(w io.Writer, s *Source) error {
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.reference == nil {
			s.scratch = append(s.scratch[:0], p.literal...)
		} else if p.reference.Kind == Body {
			if _, err := w.Write(s.Request.Body); err != nil {
				return err
			}
			continue
		} else {
			text, err := p.reference.Read(s)
			if err != nil {
				return err
			}
			s.scratch = append(s.scratch[:0], text...)
		}
		if _, err := w.Write(s.scratch); err != nil {
			return err
		}
	}
	return nil
}

// Text is the text. The error is a *Unreadable.
func (t *Template) Text(s *Source) (string, error) {
	var b strings.Builder
	if err := t.Write(&b, s); err != nil {
		return "", err
	}
	return b.String(), nil
}

// Must is Parse for a template that is known to be right; it panics otherwise.
func Must(text string, allowed Kind) *Template {
	t, mistakes := parse(text, allowed)
	if len(mistakes) > 0 {
		panic("template: " + mistakes[0].message + " in " + text)
	}
	return t
}
