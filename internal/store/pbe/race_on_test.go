//go:build race

package pbe

// raceDetector: its instrumentation allocates where the plain build does not.
const raceDetector = true
