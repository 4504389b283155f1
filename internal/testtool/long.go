package testtool

import (
	"os"

	"github.com/trustkeep/trustkeep/internal/testcpu"
)

// Long reports whether tests are to run in their long form, since TRUSTKEEP_LONG=1
// is set, as .ci/run and .ci/long do.
func Long() bool { return os.Getenv("TRUSTKEEP_LONG") == "1" }

// Rounds returns how often to repeat what is different each time.
func Rounds(short, long int) int {
	if Long() {
		return long
	}
	return short
}

// Cases is Rounds for tests that try cases one after another. With the race detector, which finds
// nothing there and makes each ten times as slow, they have the short form.
func Cases(short, long int) int {
	if testcpu.Raced {
		return short
	}
	return Rounds(short, long)
}
