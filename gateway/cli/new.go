package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"switchhook/gateway/config"
	"switchhook/gateway/fixture"
	"switchhook/gateway/starter"
	"switchhook/spec"
	"switchhook/spec/diagnostic"
)

func (p *program) newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new",
		Short: "Start something new: a connector",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return usageError("say what is to be new, such as 'switchhook new connector acme'")
		},
	}
	c.AddCommand(p.newConnectorCommand())
	return c
}

func (p *program) newConnectorCommand() *cobra.Command {
	var folder string
	var yes bool
	var answers starter.Connector
	names, about := starter.Schemes()
	var schemes strings.Builder
	for _, name := range names {
		fmt.Fprintf(&schemes, "  %-18s %s\n", name, about[name])
	}
	c := &cobra.Command{
		Use:   "connector KEY",
		Short: "Write a new connector that passes check and test",
		Long: `New connector writes the folder KEY with a spec, a handler, fixtures that pass,
configuration.md, tsconfig.json, and types and JSON Schemas for editors (in ` + starter.EditorFolder + `; 'switchhook types'
writes them again after parametersSchema changed). On a terminal it asks for what no flag says.

How requests are verified (--verify):
` + schemes.String() + `
Every scheme has more settings, such as timestamps and other encodings: edit verify: in
global-webhooks/events/spec.yml.

Exit code 0: written, 2: it cannot be written, such as when the folder exists.`,
		Example: `  switchhook new connector acme
  switchhook new connector acme-shop --name "Acme Shop" --language ts --verify hmac-sha256 --header X-Acme-Signature
  switchhook new connector acme --dir ./my-connectors --yes`,
		Args: oneArg("the key of the connector, such as acme"),
		RunE: func(c *cobra.Command, args []string) error {
			answers.Key = args[0]
			if suggestion, ok := spec.CheckKey(answers.Key); !ok {
				hint := ""
				if suggestion != "" {
					hint = fmt.Sprintf(", such as %s", suggestion)
				}
				return usageError("%q cannot be a key: keys have only letters, digits, dots, dashes and underscores%s", answers.Key, hint)
			}
			if folder == "" {
				folder = p.connectorsFolder()
			}
			path := filepath.Join(folder, answers.Key)
			if _, err := os.Lstat(path); err == nil {
				return usageError("%s exists already", path)
			}
			if err := p.ask(c, &answers, yes); err != nil {
				return err
			}
			return p.newConnector(c.Context(), answers, path)
		},
	}
	f := c.Flags()
	f.StringVar(&folder, "dir", "", "the folder that the connector's folder is written into (default: connectors of the configuration, or ./connectors)")
	f.StringVar(&answers.Name, "name", "", "the name of the app, for people (default: made of KEY)")
	f.StringVar(&answers.Language, "language", "js", "js or ts")
	f.StringVar(&answers.Scheme, "verify", "hmac-sha256", "how requests are verified")
	f.StringVar(&answers.Header, "header", "", "the header with the signature or token (default: made of KEY)")
	f.BoolVarP(&yes, "yes", "y", false, "ask nothing, take the defaults")
	return c
}

// connectorsFolder is that of the configuration, where there is one.
func (p *program) connectorsFolder() string {
	if _, err := os.Stat(p.configPath); err == nil {
		if cfg, _ := config.Load(p.configPath, config.Options{Set: p.set}); cfg != nil {
			return displayPath(cfg.Connectors)
		}
	}
	return "connectors"
}

// ask asks on a terminal for what no flag says, and fills in the rest.
func (p *program) ask(c *cobra.Command, answers *starter.Connector, yes bool) error {
	in, _ := p.streams.In.(*os.File)
	asking := !yes && in != nil && isatty.IsTerminal(in.Fd())
	lines := bufio.NewReader(p.streams.In)
	question := func(flag, text string, answer *string, preset string, known []string) error {
		if *answer == "" {
			*answer = preset
		}
		for asking && !c.Flags().Changed(flag) {
			fmt.Fprintf(p.streams.Err, "%s [%s]: ", text, *answer)
			line, err := readLine(c.Context(), lines)
			var exit *exitError
			if errors.As(err, &exit) {
				return err
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("reading the answer: %w", err)
			}
			if errors.Is(err, io.EOF) && line == "" {
				fmt.Fprintln(p.streams.Err)
				return usageError("no answer; --yes takes the defaults")
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			if known == nil || slices.Contains(known, line) {
				*answer = line
				break
			}
			fmt.Fprintf(p.streams.Err, "  %q is none of %s\n", line, strings.Join(known, ", "))
		}
		if known != nil && !slices.Contains(known, *answer) {
			hint := "it is one of: " + strings.Join(known, ", ")
			if near := diagnostic.DidYouMean(*answer, known); near != "" {
				hint = near
			}
			return usageError("--%s %q is not known; %s", flag, *answer, hint)
		}
		return nil
	}
	schemes, _ := starter.Schemes()
	if err := question("name", "Name of the app", &answers.Name, starter.NameFor(answers.Key), nil); err != nil {
		return err
	}
	if strings.ContainsFunc(answers.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return usageError("--name: it is one line of text")
	}
	if err := question("language", "Language, js or ts", &answers.Language, "js", starter.Languages); err != nil {
		return err
	}
	if err := question("verify", "How requests are verified", &answers.Scheme, "hmac-sha256", schemes); err != nil {
		return err
	}
	if !starter.HasHeader(answers.Scheme) {
		if answers.Header != "" {
			return usageError("--header has no meaning with --verify %s", answers.Scheme)
		}
		return nil
	}
	if err := question("header", "The header with the signature or token", &answers.Header, starter.HeaderFor(answers.Key, answers.Scheme), nil); err != nil {
		return err
	}
	if !headerName.MatchString(answers.Header) {
		return usageError("--header: %q is not the name of a header", answers.Header)
	}
	return nil
}

// readLine reads a line, or gives up when ctx ends; then the program ends, and the reading with it.
func readLine(ctx context.Context, from *bufio.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := from.ReadString('\n')
		read <- answer{line, err}
	}()
	select {
	case a := <-read:
		return a.line, a.err
	case <-ctx.Done():
		return "", usageError("interrupted")
	}
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// newConnector writes the connector and tries it.
func (p *program) newConnector(ctx context.Context, answers starter.Connector, path string) error {
	if err := answers.Write(path); err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) {
			return usageError("%w", err)
		}
		return err
	}
	findings, err := p.check(ctx, path)
	if err != nil {
		return err
	}
	p.report(findings)
	t, err := p.newTesting(path, regexp.MustCompile(""), false)
	if err != nil {
		return err
	}
	defer t.close()
	suites, err := t.run(ctx)
	if err != nil {
		return err
	}
	n := fixture.Count(suites)
	if len(findings) > 0 || n.Failed+n.Broken > 0 {
		report := fixture.Text{W: p.streams.Err, Color: p.streams.ErrColor}
		report.Report(suites, 0)
		return fmt.Errorf("%s was written, and what was written has mistakes: please report this", path)
	}
	fmt.Fprintf(p.streams.Out, `%s is ready: check finds nothing, and %d fixtures pass.

Its handler makes events of requests:   %s
Requests, and what is expected of them: %s
To run them again after each save:      switchhook test %s --watch

To receive, add an integration of it to %s:

  workspaces:
    demo:
      integrations:
        %s: {connector: %s%s}
`, path, n.Passed, filepath.Join(path, "global-webhooks", "events", "handle."+answers.Language), filepath.Join(path, "fixtures", "events.yml"), path,
		p.configPath, strings.ToLower(strings.ReplaceAll(answers.Key, ".", "-")), answers.Key, exampleParameters(answers.Scheme))
	return nil
}

// exampleParameters show where secrets come from.
func exampleParameters(scheme string) string {
	switch scheme {
	case "none":
		return ""
	case "basic":
		return ", parameters: {username: ${USERNAME}, password: ${PASSWORD}}"
	case "ed25519", "ecdsa-p256", "rsa-sha256":
		return ", parameters: {publicKey: ${PUBLIC_KEY}}"
	}
	return ", parameters: {secret: ${SECRET}}"
}

func (p *program) typesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "types [PATH]",
		Short: "Write types and JSON Schemas for editors beside connectors and the configuration",
		Long: `Types writes the folder ` + starter.EditorFolder + ` into each connector: switchhook.d.ts, in which the parameters of
handlers are typed by the connector's own parametersSchema, and the JSON Schemas of its YAML files. Beside a configuration, and beside
connectors in one file, it writes those of these. The gateway never reads the folder. PATH is a connector, a folder of
connectors, or a configuration with all its connectors; without PATH it is the configuration.

An editor with the YAML language server reads the schemas when the first line of a file names them:

  # yaml-language-server: $schema=./` + starter.EditorFolder + `/config.schema.json

For the types a connector has a tsconfig.json, as 'switchhook new connector' writes it.

Exit code 0: written, 1: a connector has mistakes and was left out, 2: there is nothing there.`,
		Example: `  switchhook types
  switchhook types connectors/acme`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("types takes one path at most, got %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			path := p.configPath
			if len(args) > 0 {
				path = args[0]
			}
			return p.writeTypes(path)
		},
	}
}

func (p *program) writeTypes(path string) error {
	kind, err := kindOf(path)
	if err != nil {
		return err
	}
	var connectors []string
	var list diagnostic.List
	var written []string
	add := func(files []string, err error) error {
		written = append(written, files...)
		return err
	}
	switch kind {
	case configFile:
		cfg, findings := config.Load(path, config.Options{Set: p.set})
		p.report(findings)
		if cfg == nil {
			return &exitError{exitUsage, nil}
		}
		if err := add(starter.WriteSchemas(cfg.Dir)); err != nil {
			return err
		}
		connectors, list = spec.Find(cfg.Connectors)
	case connectorsFolder:
		connectors, list = spec.Find(path)
	case fixtureFile:
		return usageError("%s is a file of fixtures; name its connector", path)
	default:
		connectors = []string{path}
	}
	if len(connectors) == 0 && len(written) == 0 {
		p.report(list)
		return usageError("%s has no connectors in it", path)
	}
	for _, one := range connectors {
		c, findings := spec.Load(one)
		if findings.HasErrors() {
			list.Add(findings...)
			continue
		}
		if c.Dir {
			err = add(starter.WriteEditor(c))
		} else {
			err = add(starter.WriteSchemas(filepath.Dir(one)))
		}
		if err != nil {
			return err
		}
	}
	for _, file := range written {
		fmt.Fprintf(p.streams.Out, "wrote %s\n", displayPath(file))
	}
	if len(written) == 0 && !list.HasErrors() {
		fmt.Fprintln(p.streams.Out, "everything is as it should be")
	}
	p.report(list)
	if list.HasErrors() {
		return &exitError{exitFindings, nil}
	}
	return nil
}

// displayPath is a path relative to the working directory where it is below.
func displayPath(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}
