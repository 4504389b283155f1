//go:build unix

// Package testcpu measures what a test costs. Unlike the clock on the wall it does not
// depend on what else the machine does.
package testcpu

import (
	"syscall"
	"time"
)

// Used returns the processor time that this process has used so far.
func Used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Since returns the processor time used since an earlier Used.
func Since(start time.Duration) time.Duration { return Used() - start }
