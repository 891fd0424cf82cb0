package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	formulas "switchhook/gateway/script/mapping"
	"switchhook/gateway/verify"
	"switchhook/spec"
)

// block is a fenced block of a page.
type block struct {
	line int
	// kind is the language, and words are what follows it.
	kind  string
	words []string
	text  string
}

// blocks are the fenced blocks of a page, in order.
func blocks(page string) []block {
	var list []block
	var open *block
	number := 0
	for line := range strings.Lines(page) {
		number++
		fence, ok := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case ok && open == nil:
			open = &block{line: number}
			if words := strings.Fields(fence); len(words) > 0 {
				open.kind, open.words = words[0], words[1:]
			}
		case ok:
			list, open = append(list, *open), nil
		case open != nil:
			open.text += line
		}
	}
	return list
}

func (b *block) word(name string) (string, bool) {
	for _, w := range b.words {
		if key, value, _ := strings.Cut(w, "="); key == name {
			return value, true
		}
	}
	return "", false
}

func readPage(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository(t), "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestPagesRun does what the pages say, in an empty folder for each page, with the real program. A block with "file=NAME" is
// written to that file, "sh" is run, "sh background" goes on until the page ends, and a "text"
// block behind one is what it prints, line by line, where ... stands for anything; lines that are not shown may be between.
func TestPagesRun(t *testing.T) {
	for _, name := range []string{"tutorial.md", "fixtures.md", "handle.md", "migration-from-membrane.md", "destinations.md", "operations.md"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runPage(t, name)
		})
	}
}

func runPage(t *testing.T, name string) {
	dir := t.TempDir()
	ports := map[string]string{}
	for _, port := range []string{"8080", "8081"} {
		free, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[port] = free
	}
	// The page's ports may be taken here.
	here := func(text string) string {
		return regexp.MustCompile(`\b808[01]\b`).ReplaceAllStringFunc(text, func(p string) string { return ports[p] })
	}
	environment := append(os.Environ(), "NO_COLOR=1")
	var output *bytes.Buffer
	var background *syncBuffer
	ran := 0
	for _, b := range blocks(readPage(t, name)) {
		file, isFile := b.word("file")
		_, inBackground := b.word("background")
		_, fails := b.word("fails")
		text := here(b.text)
		switch {
		case isFile:
			write(t, filepath.Join(dir, file), text)
		case b.kind == "sh" && inBackground:
			cmd := exec.Command("sh", "-c", "exec "+strings.TrimSpace(text))
			background = &syncBuffer{}
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment, background, background
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
				_ = cmd.Wait()
			})
			output = nil
		case b.kind == "sh":
			if _, ok := b.word("unchecked"); ok {
				continue
			}
			ran++
			cmd := exec.Command("sh", "-e", "-c", text)
			output = new(bytes.Buffer)
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, environment, output, output
			if err := cmd.Run(); (err != nil) != fails {
				t.Fatalf("docs/%s:%d: %v\n%s", name, b.line, err, output)
			}
		case b.kind == "text" && output == nil && background != nil:
			deadline := time.Now().Add(patience)
			for missing := shows(background.String(), text); missing != ""; missing = shows(background.String(), text) {
				if time.Now().After(deadline) {
					t.Fatalf("docs/%s:%d: never printed: %s\nin\n%s", name, b.line, missing, background.String())
				}
				time.Sleep(10 * time.Millisecond)
			}
		case b.kind == "text" && output != nil:
			if missing := shows(output.String(), text); missing != "" {
				t.Fatalf("docs/%s:%d: not printed: %s\nin\n%s", name, b.line, missing, output)
			}
			if background != nil {
				output = nil // what follows is what the gateway prints
			}
		}
	}
	if ran == 0 {
		t.Errorf("docs/%s has no commands", name)
	}
}

// shows returns the first line that output does not show in its place; "" for none.
func shows(output, want string) string {
	lines := strings.Split(output, "\n")
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		if line == "" || line == "..." {
			continue
		}
		parts := strings.Split(line, "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern := regexp.MustCompile(strings.Join(parts, ".*"))
		i := slices.IndexFunc(lines, pattern.MatchString)
		if i < 0 {
			return line
		}
		lines = lines[i+1:]
	}
	return ""
}

// TestVerifyPage runs the example of each scheme: a connector in one file with fixtures. Every scheme
// that the code knows has one.
func TestVerifyPage(t *testing.T) {
	page := readPage(t, "verify.md")
	dir := t.TempDir()
	names, _ := verify.Schemes()
	number := 0
	var missing []string
	for _, scheme := range names {
		if !regexp.MustCompile(`(?m)^\s*(verify: |- |.*)\{?scheme: `+regexp.QuoteMeta(scheme)+`\b`).MatchString(page) && !(scheme == "none" && strings.Contains(page, "verify: none")) {
			missing = append(missing, scheme)
		}
	}
	if len(missing) > 0 {
		t.Errorf("docs/verify.md has no example of %s", strings.Join(missing, ", "))
	}
	for _, b := range blocks(page) {
		if !strings.HasPrefix(b.text, "key: ") {
			continue
		}
		number++
		write(t, filepath.Join(dir, fmt.Sprintf("docs-verify-md-line-%d.yml", b.line)), b.text)
	}
	for _, command := range []string{"check", "test"} {
		out, err := exec.Command("switchhook", command, dir).CombinedOutput()
		if err != nil || strings.Contains(string(out), "warning") || command == "test" && !regexp.MustCompile(`(?m)^[1-9]\d* passed, 0 failed`).Match(out) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if number < 12 {
		t.Errorf("only %d examples ran", number)
	}
}

// TestPagesMade fails when a part of a page that is made from the code is not what the code says. Such
// a part stands between <!-- made: NAME --> and <!-- end -->. With -update it is written anew.
func TestPagesMade(t *testing.T) {
	made := map[string]func(*testing.T) string{
		"request":  func(t *testing.T) string { return membersTable(t, "Request<P") },
		"events":   func(t *testing.T) string { return membersTable(t, "Event") },
		"response": func(t *testing.T) string { return membersTable(t, "Response") },
		"schemes":  func(*testing.T) string { return schemesTable() },
		"settings": func(t *testing.T) string { return schemaTable(t, "connector-file", "verifyScheme") },
		"cases":    func(t *testing.T) string { return schemaTable(t, "fixtures", "case") },
		"requests": func(t *testing.T) string { return schemaTable(t, "fixtures", "request") },
		"expect":   func(t *testing.T) string { return schemaTable(t, "fixtures", "expect") },
		"formulas": func(*testing.T) string {
			text := "| formula | its value |\n|---|---|\n"
			for _, f := range formulas.Formulas() {
				text += fmt.Sprintf("| `%s` | %s |\n", f.Key, f.Does)
			}
			return text
		},
		"operators": func(*testing.T) string { return "`" + strings.Join(formulas.Operators(), "`, `") + "`\n" },
	}
	used := map[string]bool{}
	part := regexp.MustCompile(`(?s)(<!-- made: (\w+) -->\n).*?(<!-- end -->)`)
	pages, err := filepath.Glob(filepath.Join(repository(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got := part.ReplaceAllStringFunc(string(content), func(text string) string {
			m := part.FindStringSubmatch(text)
			used[m[2]] = true
			if made[m[2]] == nil {
				t.Errorf("%s: nothing makes %q", path, m[2])
				return text
			}
			return m[1] + made[m[2]](t) + m[3]
		})
		compareGolden(t, path, got)
	}
	for name := range made {
		if !used[name] {
			t.Errorf("no page has the part %q", name)
		}
	}
}

// TestPagesLink finds links between pages that lead nowhere.
func TestPagesLink(t *testing.T) {
	pages, _ := filepath.Glob(filepath.Join(repository(t), "docs", "*.md"))
	index := readPage(t, "README.md")
	for _, path := range pages {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(content), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: the link %s leads nowhere", path, m[1])
			}
		}
		if base := filepath.Base(path); base != "README.md" && !strings.Contains(index, "("+base+")") {
			t.Errorf("docs/README.md does not name %s", base)
		}
	}
}

func schemesTable() string {
	text := "| scheme | settings |\n|---|---|\n"
	names, settings := verify.Schemes()
	for _, name := range names {
		list := "none"
		if len(settings[name]) > 0 {
			list = "`" + strings.Join(settings[name], "`, `") + "`"
		}
		text += fmt.Sprintf("| `%s` | %s |\n", name, list)
	}
	return text
}

// schemaTable lists the properties of a definition of a JSON Schema, in its order.
func schemaTable(t *testing.T, schema, definition string) string {
	t.Helper()
	var root struct {
		Defs map[string]struct{ Properties json.RawMessage } `json:"$defs"`
	}
	if err := json.Unmarshal(spec.JSONSchema(schema), &root); err != nil {
		t.Fatal(err)
	}
	type property struct {
		Description string
		Default     any
		Examples    []any
		Enum        []any
	}
	var properties map[string]property
	raw := root.Defs[definition].Properties
	if err := json.Unmarshal(raw, &properties); err != nil {
		t.Fatal(err)
	}
	text := "| key | |\n|---|---|\n"
	for _, name := range keysInOrder(t, raw) {
		p := properties[name]
		line := p.Description
		if line == "" && root.Defs[name].Properties != nil {
			line = "See below."
		}
		var values []string
		for _, e := range p.Enum {
			if v := fmt.Sprintf("`%v`", e); e != nil && !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			line += " One of: " + strings.Join(values, ", ") + "."
		}
		if p.Default != nil {
			line += fmt.Sprintf(" Default: `%v`.", p.Default)
		}
		for i, e := range p.Examples {
			if s, ok := e.(string); ok {
				line += map[bool]string{true: " Such as", false: ","}[i == 0] + " `" + s + "`"
			}
		}
		text += fmt.Sprintf("| `%s` | %s |\n", name, strings.ReplaceAll(line, "|", "\\|"))
	}
	return text
}

// keysInOrder are the keys of a JSON object in the order of the text.
func keysInOrder(t *testing.T, object json.RawMessage) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
	}
	return keys
}

// membersTable lists the members of an interface of switchhook.d.ts with their comments.
func membersTable(t *testing.T, name string) string {
	t.Helper()
	text := string(spec.Types)
	_, text, ok := strings.Cut(text, "\n  interface "+name)
	if !ok {
		t.Fatalf("switchhook.d.ts has no interface %s", name)
	}
	text, _, _ = strings.Cut(text, "\n  }\n")
	table := "| name | type | |\n|---|---|---|\n"
	var comment []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "/*"), strings.HasPrefix(line, "*"):
			if line = strings.TrimSpace(strings.TrimSuffix(strings.TrimLeft(line, "/* "), "*/")); line != "" {
				comment = append(comment, line)
			}
		default:
			if m := regexp.MustCompile(`^(\w+)(\??): (.+)$`).FindStringSubmatch(line); m != nil {
				optional := map[string]string{"?": ", optional"}[m[2]]
				table += fmt.Sprintf("| `%s` | `%s`%s | %s |\n", m[1], strings.ReplaceAll(m[3], "|", "\\|"), optional, strings.Join(comment, " "))
			}
			comment = nil
		}
	}
	return table
}
