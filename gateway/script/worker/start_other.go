//go:build !linux

package worker

import (
	"os"
	"syscall"
	"time"
)

// attributes: a Ctrl-C at the terminal is not for workers. They end with the gateway
// because their pipe does.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func keepFiles() {}

func holdThread() (release func()) { return func() {} }

func self() (string, error) { return os.Executable() }

// sharedPage is memory to share with a worker.
func sharedPage() (*os.File, error) {
	f, err := os.CreateTemp("", "switchhook-page-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name())
	if err := f.Truncate(pageSize); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func enlarge(*os.File) {}

func setSlice(int, time.Duration) {}
