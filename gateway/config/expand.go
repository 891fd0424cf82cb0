package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxIncluded bounds a file named by ${file:...}, in bytes.
const maxIncluded = 1 << 20

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expander resolves ${...} in strings. Results are not expanded again.
type expander struct {
	dir string // ${file:...} is relative to it
	env func(string) (string, bool)
	// used are the variables that were asked for.
	used map[string]bool
}

// expand replaces the references in s. Its errors never show what a reference
// stands for.
func (e *expander) expand(s string) (string, error) {
	if !strings.Contains(s, "${") {
		return s, nil
	}
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		if !found {
			out.WriteString(s)
			return out.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(escaped + "${")
			s = after
			continue
		}
		out.WriteString(before)
		reference, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", errors.New("the ${ is never closed by a }; a ${ that is meant as text is written $${")
		}
		value, err := e.resolve(reference)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		s = rest
	}
}

// resolve returns what is between ${ and } stands for.
func (e *expander) resolve(reference string) (string, error) {
	if path, ok := strings.CutPrefix(reference, "file:"); ok {
		return e.file(path)
	}
	name, fallback, hasFallback := strings.Cut(reference, ":-")
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("${%s} is no reference; there are ${VAR}, ${VAR:-default} and ${file:path}, and a ${ that is meant as text is written $${", shortened(reference))
	}
	e.used[name] = true
	value, ok := e.env(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", fmt.Errorf("the environment variable %s is not set; set it, or give a default as in ${%s:-default}", name, name)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("the environment variable %s is not UTF-8 text", name)
	}
	return value, nil
}

// file returns the content of a file, without the line break at its end.
func (e *expander) file(path string) (string, error) {
	if path == "" {
		return "", errors.New("${file:} names no file")
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(e.dir, full)
	}
	info, err := os.Stat(full)
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, reason(err))
	}
	if !info.Mode().IsRegular() { // a pipe would block
		return "", fmt.Errorf("cannot read %s: it is not a regular file", path)
	}
	f, err := os.Open(full)
	if err != nil {
		return "", fmt.Errorf("cannot read the file %s: %w", path, reason(err))
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxIncluded+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the file %s: %w", path, reason(err))
	case len(content) > maxIncluded:
		return "", fmt.Errorf("the file %s is larger than %s", path, Size(maxIncluded))
	case !utf8.Valid(content):
		return "", fmt.Errorf("the file %s is not UTF-8 text", path)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

// reason is err without the operation and path that the message already has.
func reason(err error) error {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err
	}
	return err
}

func shortened(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
