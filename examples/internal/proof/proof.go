// Package proof prints which steps of an example work, which are refused, and whether that is as
// it should be.
package proof

import (
	"fmt"
	"io"
)

// Report counts the steps that turned out other than they should.
type Report struct {
	Out    io.Writer
	failed int
}

// Step prints one step: wanted says whether it should work, err why it did not.
func (r *Report) Step(what string, wanted bool, err error) {
	verdict := "as it should"
	if wanted != (err == nil) {
		verdict = "NOT AS IT SHOULD"
		r.failed++
	}
	result := "works"
	if err != nil {
		result = "refused"
	}
	fmt.Fprintf(r.Out, "%-72s %-8s %s\n", what, result, verdict)
	if wanted && err != nil {
		fmt.Fprintf(r.Out, "    %v\n", err)
	}
}

// Err returns an error if any step was not as it should be.
func (r *Report) Err() error {
	if r.failed > 0 {
		return fmt.Errorf("%d of the above are not as they should be", r.failed)
	}
	return nil
}
