package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// writeMemory writes to the memory that is free, once, and gives it back. A virtual machine has its memory from its host, a page at a time,
// when that is first written: 10 µs of kernel time a page, where a record in the store fills two of page cache. Until a machine has been up for
// long enough to have written all of it, that is a third of what a durable commit takes, and so long as some of it is new no two runs agree.
func writeMemory(ctx context.Context) error {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return fmt.Errorf("how much memory is free: %w", err)
	}
	bytes := int64(info.Freeram) * int64(info.Unit) / 8 * 7
	// The limit of a container, which may be lower than what the machine has free.
	if text, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if most, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			bytes = min(bytes, most/2)
		}
	}
	began := time.Now()
	memory, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("mapping %s: %w", size(bytes), err)
	}
	var wg sync.WaitGroup
	parts := runtime.NumCPU()
	for i := range parts {
		part := memory[len(memory)/parts*i : len(memory)/parts*(i+1)]
		wg.Go(func() {
			for at := 0; at < len(part) && (at%(1<<20) != 0 || ctx.Err() == nil); at += os.Getpagesize() {
				part[at] = 1
			}
		})
	}
	wg.Wait()
	if err := unix.Munmap(memory); err != nil {
		return fmt.Errorf("unmapping: %w", err)
	}
	progress("%s of memory written in %v", size(bytes), time.Since(began).Round(time.Second))
	return ctx.Err()
}
