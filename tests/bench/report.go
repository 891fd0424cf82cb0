package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// table is a table of the report.
type table struct {
	Title   string
	Text    string `json:",omitempty"`
	Columns []string
	Rows    [][]string
}

func (t *table) row(cells ...string) { t.Rows = append(t.Rows, cells) }

// section is what came of one part of a run, with when and where it was measured.
type section struct {
	Name    string
	Date    string
	Machine string
	Table   table
	Plot    plot
}

// report collects the sections of a run.
type report struct {
	where    string
	sections []section
	figures  figures
}

// kept is what performance.json holds: the sections of all runs, and the last figures of each kind.
type kept struct {
	Sections []section
	Figures  figures
}

// machine notes what it is measured on. dir is where the data goes.
func (r *report) machine(dir string, quick bool) {
	var parts []string
	cpu := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.Trim(name, " \t:\n")
				break
			}
		}
	}
	parts = append(parts, fmt.Sprintf("%d x %s", runtime.NumCPU(), cpu))
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		parts = append(parts, size(int64(info.Totalram)*int64(info.Unit))+" memory")
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		parts = append(parts, "load before "+strings.Fields(string(load))[0])
	}
	if d, err := syncTime(dir); err == nil {
		parts = append(parts, "fdatasync "+short(d))
		r.figures.Sync = d.Seconds()
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		parts = append(parts, runtime.GOOS+" "+unix.ByteSliceToString(name.Release[:]))
	}
	parts = append(parts, runtime.Version())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for path, short := range map[string]string{"github.com/valyala/fasthttp": "fasthttp", "github.com/dop251/goja": "goja", "modernc.org/sqlite": "modernc sqlite"} {
				if d.Path == path {
					parts = append(parts, short+" "+d.Version)
				}
			}
		}
	}
	if v, err := exec.Command("node", "--version").Output(); err == nil {
		parts = append(parts, "Node "+strings.TrimSpace(string(v)))
	}
	if v, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		parts = append(parts, "commit "+strings.TrimSpace(string(v)))
	}
	r.where = strings.Join(parts, ", ")
	if quick {
		r.where += "; a quick run, far from steady"
	}
}

// syncTime is the median of how long the disk takes to make a small write durable.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var all []time.Duration
	for range 50 {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

func (r *report) add(name string, t table, p plot) {
	r.sections = append(r.sections, section{Name: name, Date: time.Now().UTC().Format(time.DateOnly), Machine: r.where, Table: t, Plot: p})
}

// The tables stand between these in performance.md; what is around them is written by hand.
const (
	begin = "<!-- begin: written by go run ./tests/bench -->"
	end   = "<!-- end -->"
)

// write replaces the measured sections in the folder's performance.md and performance.json, and their plots.
// Sections that were not measured this time stay.
func (r *report) write(folder string) error {
	data := filepath.Join(folder, "performance.json")
	var k kept
	text, err := os.ReadFile(data)
	if err == nil {
		err = json.Unmarshal(text, &k)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", data, err)
	}
	for new, old := range map[*float64]*float64{
		&r.figures.Receive: &k.Figures.Receive, &r.figures.Record: &k.Figures.Record, &r.figures.Written: &k.Figures.Written,
		&r.figures.Delivery: &k.Figures.Delivery, &r.figures.Sync: &k.Figures.Sync,
	} {
		if *new > 0 {
			*old = *new
		}
	}
	all := k.Sections
	for _, s := range r.sections {
		if i := slices.IndexFunc(all, func(o section) bool { return o.Name == s.Name }); i >= 0 {
			all[i] = s
		} else {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b section) int { return order(a.Name) - order(b.Name) })
	var b bytes.Buffer
	for i, s := range all {
		fmt.Fprintf(&b, "### %s\n\n", s.Table.Title)
		if s.Table.Text != "" {
			fmt.Fprintf(&b, "%s\n\n", s.Table.Text)
		}
		fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(s.Table.Columns, " | "), strings.Repeat(" --- |", len(s.Table.Columns)))
		for _, row := range s.Table.Rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		b.WriteByte('\n')
		if len(s.Plot.Lines) > 0 {
			name := "performance-" + s.Name + ".svg"
			if err := os.WriteFile(filepath.Join(folder, name), s.Plot.svg(), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(&b, "![%s](%s)\n\n", s.Plot.Title, name)
		}
		if i == len(all)-1 || all[i+1].Date != s.Date || all[i+1].Machine != s.Machine {
			fmt.Fprintf(&b, "Measured on %s: %s.\n\n", s.Date, s.Machine)
		}
	}
	page := filepath.Join(folder, "performance.md")
	text, err = os.ReadFile(page)
	if err != nil {
		return err
	}
	if text, err = replaceMeasured(page, text, b.Bytes()); err != nil {
		return err
	}
	if err := os.WriteFile(page, text, 0o644); err != nil {
		return err
	}
	progress("wrote %s", page)
	k.Sections = all
	if text, err = json.MarshalIndent(k, "", "  "); err != nil {
		return err
	}
	if err := os.WriteFile(data, append(text, '\n'), 0o644); err != nil || !k.Figures.complete() {
		return err
	}
	return k.Figures.writeCapacity(folder)
}

func order(name string) int {
	for i, s := range sections {
		if s.name == name {
			return i
		}
	}
	return len(sections)
}

// short prints a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.2f µs", float64(d)/1e3)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func size(n int64) string {
	switch {
	case n < 1e6:
		return fmt.Sprintf("%.1f KB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
