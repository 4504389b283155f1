package testtool

import (
	"encoding/json"
	"os"
	"testing"
)

// ExchangeFile is the environment variable that names the file to which Exchange.Log
// appends. .ci/interop sets it and prints a line for each peer from it.
const ExchangeFile = "TRUSTKEEP_EXCHANGES"

// Exchange is what a test exchanges with a server of another project, or with a client.
type Exchange struct {
	Peer    string // its name, as internal/exchanges expects it
	Version string // if empty, what the tool of that name prints
	Mode    string // the variant, such as the TLS version
	What    string // what is exchanged, in a few words
	Verdict string // set when the test ends: ok, skipped or FAILED
}

// Log notes the exchange when the test ends, with how it ended. A test calls it before it
// exchanges anything, so that a failure is noted too.
func (e Exchange) Log(tb testing.TB) {
	tb.Helper()
	if e.Version == "" {
		e.Version = Version(tb, e.Peer)
	}
	path := os.Getenv(ExchangeFile)
	if path == "" {
		return
	}
	tb.Cleanup(func() {
		switch e.Verdict = "ok"; {
		case tb.Failed():
			e.Verdict = "FAILED"
		case tb.Skipped():
			e.Verdict = "skipped"
		}
		line, err := json.Marshal(e)
		if err != nil {
			tb.Fatal(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(append(line, '\n')); err != nil { // one call, since tests of several packages write
			tb.Fatal(err)
		}
	})
}
