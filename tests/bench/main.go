// Command bench measures Switchhook and what it is compared with, side by side on this machine, and writes the tables and
// plots of docs/performance.md, and from them docs/capacity.md:
//
//	go run ./tests/bench                      everything; about half an hour
//	go run ./tests/bench -quick               the same in a few minutes, less steady
//	go run ./tests/bench -only compare,start  some of it
//
// Every program that is measured is a process of its own. Runs of one comparison take turns, and what counts are ratios
// within one round, so that a machine that is busy with other things does not favour anybody.
//
// The rival in Node needs node and npm; without them it is left out, and the table says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// bench is one run of the command.
type bench struct {
	ctx    context.Context
	dir    string // for what the measured programs write
	binary string // switchhook
	quick  bool
	report report
}

// sections are the parts of a run, in order.
var sections = []struct {
	name string
	run  func(*bench) error
}{
	{"compare", (*bench).compare},
	{"deliver", (*bench).deliver},
	{"store", (*bench).store},
	{"subscriptions", (*bench).subscriptions},
	{"bodies", (*bench).bodies},
	{"stored", (*bench).stored},
	{"integrations", (*bench).integrations},
	{"start", (*bench).start},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" { // run by ourselves, see baseline.go
		if err := serveBaseline(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "shorter and less steady")
	only := flag.String("only", "", "the `sections` to run, with commas: compare,deliver,store,subscriptions,bodies,stored,integrations,start")
	out := flag.String("out", "docs", "the folder with performance.md, whose tables and plots are replaced")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *quick, *only, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, quick bool, only, out string) error {
	// Beside the sources and not in /tmp, which may be in memory: the disk is part of what is measured.
	dir, err := os.MkdirTemp(".", ".bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	b := &bench{ctx: ctx, dir: dir, binary: filepath.Join(dir, "switchhook"), quick: quick}
	if err := command(ctx, "go", "build", "-o", b.binary, "./gateway"); err != nil {
		return fmt.Errorf("run it in the repository's folder: %w", err)
	}
	b.report.machine(dir, quick)
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(sections, func(s struct {
			name string
			run  func(*bench) error
		}) bool {
			return s.name == w
		}) {
			return fmt.Errorf("there is no section %q", w)
		}
	}
	if !quick {
		if err := writeMemory(ctx); err != nil {
			return fmt.Errorf("before measuring: %w", err)
		}
	}
	for _, s := range sections {
		if len(wanted) > 0 && !slices.Contains(wanted, s.name) {
			continue
		}
		began := time.Now()
		progress("== %s", s.name)
		if err := s.run(b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		progress("== %s took %v", s.name, time.Since(began).Round(time.Second))
		if err := b.clear(); err != nil {
			return err
		}
	}
	return b.report.write(out)
}

// clear removes what a section stored, of which there may be 40 GB.
func (b *bench) clear() error {
	entries, err := os.ReadDir(b.dir)
	for _, e := range entries {
		if path := filepath.Join(b.dir, e.Name()); path != b.binary {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// duration is how long one measurement takes.
func (b *bench) duration() time.Duration {
	if b.quick {
		return 2 * time.Second
	}
	return 8 * time.Second
}

// rounds is how often a comparison takes its turns.
func (b *bench) rounds() int {
	if b.quick {
		return 3
	}
	return 7
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
