//go:build !linux

package worker

import "golang.org/x/sys/unix"

// confine gives up what can be given up here, which is little: the worker's own
// watch over its memory and the deadlines remain.
func confine(int64) (c Confinement) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	c.Missing = []string{"memory limit of the system", "seccomp"}
	return c
}
