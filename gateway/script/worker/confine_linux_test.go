package worker

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const probeArgument = "--switchhook-confinement-probe"

func init() { Probe = probe }

// probe is run as a process: it tries what a worker must not be able to do, after it has
// confined itself as a worker does.
func probe() {
	if len(os.Args) != 2 || os.Args[1] != probeArgument {
		return
	}
	fmt.Println("confinement:", confine(64<<20))
	try := func(what string, err error) {
		verdict := "POSSIBLE"
		if err != nil {
			verdict = "refused: " + err.Error()
		}
		fmt.Printf("%s: %s\n", what, verdict)
	}
	_, err := os.Open("/etc/passwd")
	try("read a file", err)
	_, err = os.Create("/tmp/switchhook-probe")
	try("write a file", err)
	_, err = net.Dial("tcp", "127.0.0.1:1")
	try("connect", err)
	_, err = syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	try("socket", err)
	err = exec.Command("/bin/true").Run()
	try("start a program", err)
	try("signal its parent", syscall.Kill(os.Getppid(), 0))
	try("signal a thread of its parent", unix.Tgkill(os.Getppid(), os.Getppid(), 0))
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	try("make memory executable", err)
	try("trace", unix.PtraceAttach(os.Getppid()))
	try("raise its limits", unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40}))
	_, err = unix.MemfdCreate("x", 0)
	try("make a file of memory", err)
	_, err = unix.Mmap(-1, 0, 128<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	try("take memory beyond its limit", err)
	// What it needs goes on: threads, memory, goroutines.
	done := make(chan []byte)
	for range 8 {
		go func() { done <- make([]byte, 1<<20) }()
	}
	for range 8 {
		<-done
	}
	fmt.Println("goes on")
	os.Exit(0)
}

// TestConfinement: what a worker cannot do, with what the system says.
func TestConfinement(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", probeArgument)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("no probe here: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	if !strings.Contains(string(out), "goes on") {
		t.Error("a confined process cannot compute")
	}
	if strings.Contains(string(out), "not available") && os.Getenv("SWITCHHOOK_CI") == "" {
		t.Skip("this system does not offer all that confines a worker")
	}
	if strings.Contains(string(out), "not available") || strings.Contains(string(out), "POSSIBLE") {
		t.Errorf("a confined process can do what it must not:\n%s", out)
	}
}
