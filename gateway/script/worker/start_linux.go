package worker

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// attributes: a worker ends with the gateway, and a Ctrl-C at the terminal is not for it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// keepFiles has the process pass none of the files that it was itself given on to workers. Those that Go opens
// are not passed on anyway.
func keepFiles() {
	if unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, f := range open {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// holdThread keeps the thread that starts workers: they would be told of
// its end as that of the gateway.
func holdThread() (release func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// self is this program, also when its file has been replaced by a newer one.
func self() (string, error) {
	const path = "/proc/self/exe"
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return os.Executable()
}

// sharedPage is memory to share with a worker, which cannot make it shorter.
func sharedPage() (*os.File, error) {
	fd, err := unix.MemfdCreate("switchhook", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "shared page")
	if err := f.Truncate(pageSize); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// enlarge makes a pipe hold more, where that is allowed.
func enlarge(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, streamBuffer) })
	}
}

// setSlice sets for how long the process may go on before others that want the processor get it, where the system knows such a thing
// (Linux 6.12); 0 is what is usual. The longer it is the sooner others go first, and its share of the processors stays the same.
func setSlice(pid int, slice time.Duration) {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return
	}
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			if a, err := unix.SchedGetAttr(tid, 0); err == nil {
				a.Runtime = uint64(slice)
				_ = unix.SchedSetAttr(tid, a, 0)
			}
		}
	}
}
