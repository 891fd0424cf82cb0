package worker

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A worker has one goroutine that matters, and nobody else wants its processor while that reads or writes. So Go's scheduler is
// not told of these calls: it would have a thread look every 20 µs whether to give the processor to
// another, and do that whenever the system takes its time, which costs as much as a short handler.

// patience is how long the scheduler may believe that a worker that waits for its next call computes: timers and the
// collector wait too.
const patience = 5 * time.Millisecond

// read is syscall.Read of what blocks.
func read(fd int, b []byte) (int, error) {
	poll := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	wait := unix.NsecToTimespec(int64(patience))
	if n, _, _ := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&wait)), 0, 0, 0); n != 1 || len(b) == 0 {
		return syscall.Read(fd, b)
	}
	return raw(unix.SYS_READ, fd, b)
}

// write is syscall.Write.
func write(fd int, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return raw(unix.SYS_WRITE, fd, b)
}

func raw(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
