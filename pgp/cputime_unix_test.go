//go:build unix

package pgp

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used of the processors. Unlike the clock on
// the wall it does not depend on what else the machine does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
