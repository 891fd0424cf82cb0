package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bundled adds the connectors of the repository to files.
func bundled(files map[string]string) error {
	return fs.WalkDir(os.DirFS("."), "connectors", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
}

// reload changes connector bench so that it answers with a header, and returns how long it takes from there until it does.
func (b *bench) reload(p *program, dir string) (time.Duration, error) {
	path := filepath.Join(dir, "connectors", "bench.yml")
	changed := strings.Replace(benchConnector, "return {\n", "return {\n          response: {headers: {'x-changed': 'yes'}},\n", 1)
	began := time.Now()
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return 0, err
	}
	m := message(p.path, push(1000))
	for time.Since(began) < time.Minute {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			return 0, err
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = conn.Write(m)
		r := bufio.NewReader(conn)
		is := false
		for line := ""; err == nil && line != "\r\n"; {
			if line, err = r.ReadString('\n'); strings.HasPrefix(strings.ToLower(line), "x-changed: yes") {
				is = true
			}
		}
		_ = conn.Close()
		if err != nil {
			return 0, err
		}
		if is {
			return time.Since(began), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, fmt.Errorf("the changed connector is not served")
}
