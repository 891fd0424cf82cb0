package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// program is a program that is measured, in a process of its own.
type program struct {
	name string
	addr string
	path string // of the URL that requests go to
	cmd  *exec.Cmd
	log  string
}

// launch starts a program, whose first line on standard output is its address or port where wantAddr.
func launch(ctx context.Context, name, dir string, wantAddr bool, argv ...string) (*program, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &program{name: name, path: "/hook", cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), log: filepath.Join(dir, "log.txt")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	p.cmd.WaitDelay = 10 * time.Second
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(os.Interrupt) }
	if !wantAddr {
		p.cmd.Stdout = log
		return p, p.cmd.Start()
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		text, _ := os.ReadFile(p.log)
		return nil, errors.Join(fmt.Errorf("%s did not start: %s", name, bytes.TrimSpace(text)), p.stop())
	}
	if p.addr = strings.TrimSpace(line); !strings.Contains(p.addr, ":") {
		p.addr = "127.0.0.1:" + p.addr
	}
	return p, nil
}

// lastWords is the end of what the program has logged.
func (p *program) lastWords() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-1000):])
}

// stop ends the program and waits for it.
func (p *program) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- p.cmd.Wait() }()
	select {
	case <-done: // how it ended says nothing
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
	return nil
}

// tree calls visit for the process and those below it, with the fields of /proc/PID/stat behind the name.
func (p *program) tree(visit func(pid int, fields []string)) {
	type process struct {
		parent int
		fields []string
	}
	all := map[int]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		all[pid] = process{parent, fields}
	}
	for pid, it := range all {
		for at := pid; at != 0; at = all[at].parent {
			if at == p.cmd.Process.Pid {
				visit(pid, it.fields)
				break
			}
		}
	}
}

// cpu is the processor time the program and its workers have used, those that have ended included.
func (p *program) cpu() (sum time.Duration) {
	p.tree(func(pid int, fields []string) {
		for i := 11; i <= 14; i++ { // utime, stime and those of children that ended
			if ticks, err := strconv.Atoi(fields[i]); err == nil && (i < 13 || pid == p.cmd.Process.Pid) {
				sum += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 wherever Linux runs
			}
		}
	})
	return sum
}

// settle waits until the program has done what there was to do, half a minute at most.
func (p *program) settle(ctx context.Context) {
	before := p.cpu()
	for range 30 {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		now := p.cpu()
		if now-before <= 20*time.Millisecond {
			return
		}
		before = now
	}
}

// memory is the resident memory of the process in bytes, and what it takes with its workers, in which pages that they share
// count once.
func (p *program) memory() (own, all int64) {
	p.tree(func(pid int, fields []string) {
		if pid == p.cmd.Process.Pid {
			pages, _ := strconv.ParseInt(fields[21], 10, 64)
			own = pages * int64(os.Getpagesize())
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		for line := range strings.Lines(string(text)) {
			var kb int64
			if _, err := fmt.Sscanf(line, "Pss: %d kB", &kb); err == nil {
				all += kb << 10
			}
		}
	})
	return own, all
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// gateway is how a Switchhook is to be configured.
type gateway struct {
	isolation     string
	maxBody       string
	subscriptions string            // YAML, below workspaces.main.subscriptions
	integrations  string            // YAML, below workspaces.main.integrations, besides bench
	stored        int               // how many subscriptions are in the store
	files         map[string]string // besides the connector bench
}

const benchConnector = `
key: bench
name: Bench
parametersSchema: {type: object, required: [secret], properties: {secret: {type: string}}}
globalWebhooks:
  events:
    name: Events
    verify: {scheme: hmac-sha256, header: X-Hub-Signature-256, prefix: "sha256=", secret: parameters.secret}
    handle: |
      export default function handle({ data, headers }) {
        const repository = data.repository.full_name
        return {
          events: [
            { selector: 'push/' + repository, payload: data },
            { selector: 'ref/' + data.ref, payload: { head: data.after, repository } },
          ],
        }
      }
`

// exactSubscriptions are subscriptions of which none matches the pushes that are sent.
func exactSubscriptions(n int, pattern string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "      s%d: {integration: bench, webhook: events, selector: "+pattern+", destination: {type: stdout}}\n", i, i)
	}
	return b.String()
}

// switchhook starts one in dir and waits until it serves. It also says how long that took.
func (b *bench) switchhook(name, dir string, g gateway) (*program, time.Duration, error) {
	ports := [2]string{}
	for i := range ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, 0, err
		}
		ports[i] = ln.Addr().String()
		_ = ln.Close()
	}
	if g.maxBody == "" {
		g.maxBody = "10MiB"
	}
	text := fmt.Sprintf(`
server: {listen: %s, publicUrl: http://%s, maxBody: %s}
admin: {listen: %s}
data: data
scripts: {isolation: %s}
workspaces:
  main:
    integrations:
      bench: {connector: bench, parameters: {secret: %s}}
%s    subscriptions:
%s`, ports[0], ports[0], g.maxBody, ports[1], g.isolation, secret, g.integrations, g.subscriptions)
	if g.subscriptions == "" {
		text = strings.TrimSuffix(text, "    subscriptions:\n")
	}
	files := map[string]string{"config.yaml": text, "connectors/bench.yml": benchConnector}
	for file, text := range g.files {
		files[file] = text
	}
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, 0, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, 0, err
		}
	}
	config := filepath.Join(dir, "config.yaml")
	path, err := b.hookPath(config)
	if err != nil {
		return nil, 0, err
	}
	if err := storeSubscriptions(b.ctx, filepath.Join(dir, "data"), g.stored); err != nil {
		return nil, 0, err
	}
	began := time.Now()
	p, err := launch(b.ctx, name, dir, false, b.binary, "serve", "-c", config)
	if err != nil {
		return nil, 0, err
	}
	p.addr, p.path = ports[0], path
	body := push(1000)
	for {
		// Ready is who answers a request.
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			_, err = conn.Write(message(path, body))
			if err == nil {
				_, err = answer(bufio.NewReader(conn))
			}
			_ = conn.Close()
			if err == nil {
				return p, time.Since(began), nil
			}
		}
		if time.Since(began) > 2*time.Minute || b.ctx.Err() != nil {
			text, _ := os.ReadFile(p.log)
			return nil, 0, errors.Join(fmt.Errorf("%s does not serve: %s", name, bytes.TrimSpace(text)), p.stop())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// hookPath asks the program for the URL of integration bench.
func (b *bench) hookPath(config string) (string, error) {
	cmd := exec.CommandContext(b.ctx, b.binary, "urls", "--json", "-c", config)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("switchhook urls: %s", exit.Stderr)
		}
		return "", err
	}
	var list []struct{ Integration, URL string }
	if err := json.Unmarshal(out, &list); err != nil {
		return "", fmt.Errorf("switchhook urls --json: %w", err)
	}
	for _, e := range list {
		if e.Integration == "bench" {
			u, err := url.Parse(e.URL)
			if err != nil {
				return "", err
			}
			return u.Path, nil
		}
	}
	return "", errors.New("switchhook urls does not list the integration bench")
}

// node starts the rival in Node; nil and why when that cannot be.
func (b *bench) node(subscriptions int) (*program, string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, tool + " is not installed", nil
		}
	}
	// npm's cache, and with it the folder, outlives the run: isolated-vm may have to be compiled.
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(cache, "switchhook-bench-node")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	for _, file := range []string{"package.json", "server.js"} {
		text, err := os.ReadFile(filepath.Join("tests/bench/node", file))
		if err != nil {
			return nil, "", err
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return nil, "", err
		}
	}
	usable := func() error {
		return command(b.ctx, "node", "-e", "process.chdir(process.argv[1]); require(process.argv[1] + '/node_modules/isolated-vm'); require(process.argv[1] + '/node_modules/fastify')", dir)
	}
	if usable() != nil {
		progress("installing Fastify and isolated-vm into %s (which may compile it, some minutes)", dir)
		install := command(b.ctx, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund")
		// Newer versions of npm run no install scripts unless asked to.
		rebuild := command(b.ctx, "npm", "rebuild", "--prefix", dir, "isolated-vm", "--foreground-scripts")
		if err := usable(); err != nil {
			return nil, "npm could not install Fastify and isolated-vm: " + firstLine(errors.Join(install, rebuild, err).Error()), b.ctx.Err()
		}
	}
	work := filepath.Join(b.dir, "node")
	p, err := launch(b.ctx, "Node: Fastify, isolated-vm", work, true, "node", "--no-node-snapshot", filepath.Join(dir, "server.js"), filepath.Join(work, "log"), secret, strconv.Itoa(subscriptions))
	return p, "", err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// baseline starts one of baseline.go.
func (b *bench) baseline(name, kind string) (*program, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, kind)
	return launch(b.ctx, name, dir, true, self, "serve", kind, dir)
}
