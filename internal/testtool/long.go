package testtool

import "os"

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
