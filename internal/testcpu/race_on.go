//go:build race

package testcpu

// Raced reports whether the race detector makes everything slow.
const Raced = true
