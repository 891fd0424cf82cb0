// Package cli is the command line of switchhook. Each command is a file; what
// they do is done by app and the packages below it. Only main calls Main.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"switchhook/gateway/app"
	"switchhook/gateway/config"
	"switchhook/gateway/script"
	"switchhook/spec/diagnostic"
)

// Exit codes.
const (
	exitOK       = 0
	exitFindings = 1 // findings of check, failed tests, or a failure while running
	exitUsage    = 2 // wrong usage, or a configuration that cannot be used
)

// Streams are the standard streams and the environment of the program.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// OutColor and ErrColor say whether Out and Err may be coloured.
	OutColor, ErrColor bool
	// ErrTerminal says whether Err is a terminal that lines can be drawn on anew.
	ErrTerminal bool
}

// System returns the streams of this process. Colours are used on terminals,
// unless NO_COLOR is set (https://no-color.org).
func System() Streams {
	color := func(f *os.File) bool {
		return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
	}
	return Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, OutColor: color(os.Stdout), ErrColor: color(os.Stderr),
		ErrTerminal: os.Getenv("TERM") != "dumb" && isatty.IsTerminal(os.Stderr.Fd())}
}

// exitError ends the program with a code. A nil err means that everything
// was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is an error of the person at the keyboard.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// Main runs the program and returns its exit code.
func Main(args []string, streams Streams) int {
	// The first signal drains, the second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRoot(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{exitFindings, err}
		var unusable *app.ConfigError
		if errors.As(err, &unusable) {
			exit = &exitError{exitUsage, err}
		}
	}
	if exit.err != nil {
		fmt.Fprintf(streams.Err, "switchhook: %v\n", exit.err)
	}
	return exit.code
}

// program is what all commands share.
type program struct {
	streams    Streams
	configPath string
	set        []string
}

func newRoot(streams Streams) *cobra.Command {
	p := &program{streams: streams}
	serve := p.serveCommand()
	root := &cobra.Command{
		Use:   "switchhook",
		Short: "A self-hosted, programmable webhook gateway",
		Long: `Switchhook receives webhooks, verifies them, turns them into events with small
JavaScript handlers, stores them durably, and delivers them with retries.

Without a command it serves, with the config.yaml of the current directory.`,
		Args:          serve.Args,
		RunE:          serve.RunE,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetIn(streams.In)
	root.SetVersionTemplate("switchhook {{.Version}}\n")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError("%w\nRun '%s --help' for how it is used.", err, c.CommandPath())
	})
	configPath := "config.yaml"
	if path := os.Getenv("SWITCHHOOK_CONFIG"); path != "" {
		configPath = path
	}
	root.PersistentFlags().StringVarP(&p.configPath, "config", "c", configPath, "the configuration file")
	root.PersistentFlags().StringArrayVar(&p.set, "set", nil, "override a setting of the configuration, such as server.listen=127.0.0.1:9090 (repeatable)")
	root.AddCommand(serve, p.checkCommand(), p.testCommand(), p.newCommand(), p.typesCommand(), p.recordCommand(), p.sendCommand(), p.urlsCommand(), p.inspectCommand(), p.explainCommand(), p.tailCommand(), p.statusCommand(), p.replayCommand(), p.pairCommand(), p.backupCommand(), p.versionCommand())
	root.SetHelpCommand(helpCommand(root))
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" { // without this it takes any word, and prints its help with exit code 0
			c.Args, c.RunE = cobra.ArbitraryArgs, func(*cobra.Command, []string) error {
				return usageError("say for which shell: bash, zsh, fish or powershell")
			}
		}
	}
	return root
}

// helpCommand is cobra's, but that a command that is not there is an error.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [command]", Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return noArgs(root, args)
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// engine runs the functions of connectors for commands that do not serve. What it would log is
// in what the commands say.
func (p *program) engine(s config.Scripts) (script.Engine, error) {
	return app.Engine(s, slog.New(slog.DiscardHandler), nil)
}

// noArgs is cobra.NoArgs with an exit code and a hint.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasParent() || c.Name() == "serve" {
		var names []string
		for _, sub := range c.Root().Commands() {
			names = append(names, sub.Name())
		}
		if hint := diagnostic.DidYouMean(args[0], names); hint != "" {
			return usageError("unknown command %q, %s", args[0], hint)
		}
		return usageError("unknown command %q\nRun 'switchhook --help' for the commands.", args[0])
	}
	return usageError("%s takes no arguments, got %q", strings.TrimPrefix(c.CommandPath(), "switchhook "), args[0])
}

// loadConfig reads the configuration and shows what is wrong with it. When it
// cannot be used, the error carries the exit code.
func (p *program) loadConfig() (*config.Config, error) {
	cfg, list := config.Load(p.configPath, config.Options{Set: p.set})
	p.report(list)
	if cfg == nil {
		return nil, &exitError{exitUsage, nil}
	}
	return cfg, nil
}

// report shows findings on standard error, in order of place.
func (p *program) report(list diagnostic.List) {
	list = slices.Clone(list)
	list.Sort()
	_ = diagnostic.WriteText(p.streams.Err, list, p.streams.ErrColor) // nowhere left to complain
}

// logger logs to standard error: coloured text for people, JSON for machines. flush must be called at the end.
func (p *program) logger(cfg *config.Config) (_ *slog.Logger, flush func()) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // checked by config
	if p.logsText(cfg) {
		return slog.New(tint.NewTextHandler(p.streams.Err, &tint.Options{Level: level, TimeFormat: "15:04:05.000", NoColor: !p.streams.ErrColor})), func() {}
	}
	out := &lines{to: p.streams.Err}
	return slog.New(forMachines{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}), out}), out.Flush
}

// logsText reports whether the log is text for people.
func (p *program) logsText(cfg *config.Config) bool {
	if f, ok := p.streams.Err.(*os.File); ok && cfg.Log.Format == "auto" {
		return isatty.IsTerminal(f.Fd())
	}
	return cfg.Log.Format == "text"
}

// logFindings logs findings for machines, a line each.
func logFindings(log *slog.Logger, list diagnostic.List) {
	list = slices.Clone(list)
	list.Sort()
	for _, d := range list {
		level := slog.LevelError
		if d.Severity == diagnostic.Warning {
			level = slog.LevelWarn
		}
		attrs := []any{"code", d.Code, "at", d.Position()}
		if d.Hint != "" {
			attrs = append(attrs, "hint", d.Hint)
		}
		log.Log(context.Background(), level, d.Message, attrs...)
	}
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(p.streams.Out, "switchhook "+version())
			return nil
		},
	}
}

// release is set by the linker for releases.
var release = ""

// version is the release, or else what the Go toolchain recorded.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			revision = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	v := strings.Trim(info.Main.Version, "()")
	if revision != "" && !strings.Contains(v, revision) {
		v += " (" + revision + dirty + ")"
	}
	return v + " " + info.GoVersion
}
