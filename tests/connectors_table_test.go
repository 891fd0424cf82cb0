package tests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"switchhook/gateway/fixture"
	"switchhook/gateway/live"
	"switchhook/spec"
	"switchhook/spec/document"
)

var update = flag.Bool("update", false, "rewrite docs/connectors.md and testdata/*.golden")

// compareGolden compares what was made with a file, or with -update writes it.
func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		have, should := strings.Split(string(want), "\n"), strings.Split(got, "\n")
		for i := range max(len(have), len(should)) {
			if i >= len(have) || i >= len(should) || have[i] != should[i] {
				t.Fatalf("%s is stale from line %d on; go test ./tests -run '%s' -update writes it anew\n%s", file, i+1, t.Name(), got)
			}
		}
	}
}

// TestConnectorsTable fails when docs/connectors.md is not what the connectors say.
func TestConnectorsTable(t *testing.T) {
	bench := newBench(t)
	var rows []string
	fixtures, events := 0, 0
	for _, path := range bench.paths(t, filepath.Join(repository(t), "connectors")) {
		c := bench.builder.LoadConnector(path, nil)
		if c.State != live.Up {
			t.Fatal(c.Problems)
		}
		cases, list := fixture.Of(c)
		if len(list) > 0 {
			t.Fatal(list)
		}
		n := len(cases)
		fixtures, events = fixtures+n, events+len(c.Spec.Events)
		rows = append(rows, row(c.Spec, n))
	}
	const text = `# Connectors in the box

Made by ` + "`go test ./tests -run TestConnectorsTable -update`" + ` from [connectors/](../connectors/), and checked by ` + "`go test ./...`" + `.

Every connector verifies what its provider signs, answers its provider's handshakes, makes an event of each item of a
batch, and passes payloads on as they came. Its ` + "`configuration.md`" + ` says where the URL goes, which events to tick, where the
secret is and how to send a test. Its fixtures have a case for each declared event and each handshake, a tampered, an old and an unsigned request, an empty body and
a wrong content type, and reach every line of its handlers. ` + "`TestConnectors`" + ` demands that of each folder here.

## Adding another

The forty-sixth takes YAML and JavaScript, and no Go. Copy the folder of a connector whose provider signs in the same
way to ` + "`connectors/<key>/`" + `, change it, and run

` + "```sh" + `
switchhook check connectors/<key>     # what is wrong, with its place and how to mend it
switchhook test connectors/<key> --coverage
go test ./tests -run TestConnectors   # what a connector in the box must have besides
go test ./tests -run TestConnectorsTable -update
` + "```" + `

What a provider does not do is read from the connector itself: without a timestamp no case has to be old, without a
handshake none is asked for.

## All of them

`
	var b strings.Builder
	b.WriteString(text)
	fmt.Fprintf(&b, "%d connectors, %d events, %d fixtures.\n\n", len(rows), events, fixtures)
	b.WriteString("| provider | verification | handshake | events | fixtures |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		b.WriteString(r)
	}
	compareGolden(t, filepath.Join(repository(t), "docs", "connectors.md"), b.String())
}

func row(c *spec.Connector, fixtures int) string {
	var verification, handshakes, events []string
	for _, w := range c.Webhooks {
		for _, way := range ways(w.Verify) {
			if !slices.Contains(verification, way) {
				verification = append(verification, way)
			}
		}
		for _, way := range shakes(w.Handshake) {
			if !slices.Contains(handshakes, way) {
				handshakes = append(handshakes, way)
			}
		}
	}
	for _, e := range c.Events {
		events = append(events, "`"+e.Key+"`")
	}
	name := fmt.Sprintf("[%s](../connectors/%s/configuration.md)", c.Name, c.Key)
	return fmt.Sprintf("| %s ([docs](%s)) | %s | %s | %s | %d |\n", name, c.APIDocsURI,
		strings.Join(verification, "; "), strings.Join(handshakes, "; "), strings.Join(events, ", "), fixtures)
}

// ways describes each scheme of a `verify:` block.
func ways(n *document.Node) []string {
	if n == nil || n.Value == "none" {
		return []string{"none"}
	}
	var list []string
	for _, block := range schemes(n) {
		text := schemeOf(block)
		text += whatSigned(block)
		switch {
		case block.Get("field") != nil && block.Get("each") != nil:
			text += ", in " + code(block.Get("each").Value+"."+block.Get("field").Value)
		case block.Get("field") != nil:
			text += ", in the body's " + code(block.Get("field").Value)
		case block.Get("query") != nil:
			text += ", in the query's " + code(block.Get("query").Value)
		default:
			if headers := headersOf(block); len(headers) > 0 {
				text += ", in " + code(strings.Join(headers, " or "))
			}
		}
		if at := block.Get("timestamp"); timed(block) && at != nil {
			tolerance := "5m"
			if n := at.Get("tolerance"); n != nil {
				tolerance = n.Value
			}
			text += ", at most " + tolerance + " old"
		}
		list = append(list, text)
	}
	return list
}

func whatSigned(block *document.Node) string {
	n := block.Get("signed")
	switch {
	case n == nil:
		return ""
	case n.Kind == document.List:
		var fields []string
		for _, item := range n.Items() {
			fields = append(fields, strings.TrimSuffix(item.Value, "?"))
		}
		return " of " + code(strings.Join(fields, ", "))
	}
	return " of " + code(n.Value)
}

// shakes describes when each handshake of a `handshake:` block applies.
func shakes(n *document.Node) []string {
	if n == nil {
		return nil
	}
	rules := n.Items()
	if n.Kind == document.Map {
		rules = []*document.Node{n}
	}
	var list []string
	for _, rule := range rules {
		when := rule.Get("when")
		var parts []string
		if m := when.Get("method"); m != nil {
			for _, item := range append(m.Items(), m) {
				if item.Value != "" {
					parts = append(parts, item.Value)
				}
			}
		}
		for _, key := range []string{"headers", "query", "body"} {
			at := when.Get(key)
			if at == nil {
				continue
			}
			for _, e := range at.Entries() {
				if e.Value.Kind == document.String || e.Value.Kind == document.Int {
					parts = append(parts, code(e.Key+": "+e.Value.Value))
				} else if absent := e.Value.Get("$exist"); absent == nil || absent.Value != "false" {
					parts = append(parts, code(e.Key))
				}
			}
		}
		text := strings.Join(parts, " ")
		if remember := rule.Get("remember"); remember != nil {
			text += ", remembered"
		}
		list = append(list, text)
	}
	return list
}

// code is text in a table's cell, in the type of code.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }
