package worker

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that a worker may make: those of the Go runtime (and of the C
// library's threads, where the program is linked with it) to compute, to read and write the
// pipes that are open already, and to end. None opens a file or a socket, starts a
// program, or looks at another process.
var allowed = []string{
	"read", "write", "readv", "writev", "close", "futex", "futex_time64", "nanosleep", "clock_nanosleep", "clock_gettime", "gettimeofday", "time", "sched_yield",
	"sched_getaffinity", "getrandom", "getpid", "gettid", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"munmap", "madvise", "mremap", "brk", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "ppoll", "eventfd2", "pipe2", "fcntl",
	"set_robust_list", "rseq", "arch_prctl", "set_tid_address", "membarrier", "exit", "exit_group", "getrusage",
}

// guarded are allowed with some arguments only.
var guarded = []seccomp.NameWithConditions{
	// Memory that holds no code.
	{Name: "mmap", Conditions: seccomp.ArgumentConditions{{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}}},
	{Name: "mprotect", Conditions: seccomp.ArgumentConditions{{Argument: 2, Operation: seccomp.BitsNotSet, Value: unix.PROT_EXEC}}},
	// Threads, but no processes. The C library falls back to clone, whose flags can
	// be seen, where clone3 does not exist.
	{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}}},
	// The names of memory areas and threads.
	{Name: "prctl", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: unix.PR_SET_VMA}}},
}

// confine gives up all that a worker has no use for. What the system cannot do is
// noted, not an error.
func confine(memory int64) (c Confinement) {
	note := func(what string, err error) {
		if err != nil {
			c.Missing = append(c.Missing, fmt.Sprintf("%s (%v)", what, err))
		}
	}
	// Where the whole machine runs out of memory, workers are to go first.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	// What people see in lists of processes; else it is "exe".
	_ = os.WriteFile("/proc/self/comm", []byte("switchhook-work"), 0)
	// This reads files when first used.
	_ = time.Now().Local().String()

	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	note("no core dumps", err)
	err = limitMemory(memory)
	note("memory limit of the system", err)
	c.Memory = err == nil

	c.System, err = filter()
	note("seccomp", err)
	return c
}

// filter takes the system calls away from all threads that are and will be.
func filter() (bool, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return false, err
	}
	var names []string
	for _, name := range allowed {
		if _, ok := info.SyscallNames[name]; ok {
			names = append(names, name)
		}
	}
	own := seccomp.NameWithConditions{Name: "tgkill", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.Equal, Value: uint64(os.Getpid())}}}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{
		{Names: names, NamesWithCondtions: append([]seccomp.NameWithConditions{own}, guarded...), Action: seccomp.ActionAllow},
		{Names: []string{"clone3"}, Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)},
	}}
	// no_new_privs and the filter begin with this thread; the filter's
	// installation carries both to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
		return false, err
	}
	return true, nil
}

// besides is the address space of the threads that are still to come.
const besides = 40 << 20

// limitMemory bounds the data of the process, and its address space. The
// first alone does not do: Linux lets data that takes the place of reserved address space,
// as Go's heap does, go beyond the limit once, however large it is.
func limitMemory(memory int64) error {
	data, size, err := sizes()
	if err != nil {
		return err
	}
	for resource, limit := range map[int]int64{
		unix.RLIMIT_DATA: data + memory,
		unix.RLIMIT_AS:   size + memory + besides,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}); err != nil {
			return err
		}
	}
	return nil
}

// sizes are what RLIMIT_DATA and RLIMIT_AS count of this process, in bytes.
func sizes() (data, size int64, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmData": &data, "VmSize": &size}[name]
		if into == nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*into = n << 10
	}
	if data == 0 || size == 0 {
		return 0, 0, fmt.Errorf("/proc/self/status says nothing of it")
	}
	return data, size, nil
}
