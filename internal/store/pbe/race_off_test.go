//go:build !race

package pbe

const raceDetector = false
