//go:build !unix

// Package testcpu measures what a test costs, here by the clock on the wall.
package testcpu

import "time"

var processStart = time.Now()

// Used returns the time since this process started.
func Used() time.Duration { return time.Since(processStart) }

// Since returns the time used since an earlier Used.
func Since(start time.Duration) time.Duration { return Used() - start }
