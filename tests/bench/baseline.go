package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// serveBaseline is what the measured programs are held against: fasthttp, which sends back the body it got, at once ("echo") or
// when that is on the disk ("sync"). It prints its address and serves until it is killed.
func serveBaseline(args []string) error {
	respond := func([]byte) error { return nil }
	if args[0] == "sync" {
		file, err := os.Create(filepath.Join(args[1], "log"))
		if err != nil {
			return err
		}
		defer file.Close()
		respond = (&groupLog{file: file}).append
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	server := fasthttp.Server{
		MaxRequestBodySize: 64 << 20, MaxIdleWorkerDuration: 250 * time.Millisecond,
		Handler: func(ctx *fasthttp.RequestCtx) {
			if err := respond(ctx.PostBody()); err != nil {
				ctx.Error(err.Error(), 500)
				return
			}
			ctx.SetBody(ctx.PostBody())
		},
	}
	return server.Serve(ln)
}

// groupLog appends to a file and syncs once for all who wait.
type groupLog struct {
	file *os.File

	mu      sync.Mutex
	pending []byte
	waiting []chan error
	busy    bool
}

func (l *groupLog) append(b []byte) error {
	done := make(chan error, 1)
	l.mu.Lock()
	l.pending = append(l.pending, b...)
	l.waiting = append(l.waiting, done)
	lead := !l.busy
	l.busy = true
	l.mu.Unlock()
	for lead {
		l.mu.Lock()
		data, group := l.pending, l.waiting
		l.pending, l.waiting = nil, nil
		if len(group) == 0 {
			l.busy, lead = false, false
		}
		l.mu.Unlock()
		if !lead {
			break
		}
		_, err := l.file.Write(data)
		if err == nil {
			err = unix.Fdatasync(int(l.file.Fd()))
		}
		for _, w := range group {
			w <- err
		}
	}
	return <-done
}
