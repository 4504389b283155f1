// Command strict shows what truststore.Strict refuses: for each rule chains that break it and
// chains that do not, each verified by crypto/x509, by package truststore and under Strict.
//
//	go run ./examples/strict
//
// It exits with 1 if Strict accepts a chain that breaks one of its rules or refuses a good one,
// or if the default is not that of crypto/x509, or in FIPS mode of crypto/tls.
package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/trustkeep/trustkeep/internal/certcases"
	"github.com/trustkeep/trustkeep/truststore"
)

func main() {
	ok, err := run(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run prints the table and reports whether all is as it should be.
func run(out io.Writer) (ok bool, err error) {
	cases, err := certcases.All()
	if err != nil {
		return false, err
	}
	ok = true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "rule\tchain\tstd\tTrustKeep\tStrict")
	bad, refused, wronged := 0, 0, 0
	for _, c := range cases {
		o := truststore.VerifyOptions{Name: c.Host, Time: certcases.Now()}
		switch c.Usage {
		case x509.ExtKeyUsageEmailProtection:
			o.Purpose = truststore.Email
		case x509.ExtKeyUsageClientAuth:
			o.Purpose = truststore.Client
		}
		store := truststore.New(c.Anchor)
		_, plain := store.Verify(c.Chain, o)
		o.Policy = truststore.Strict()
		if c.Rule == truststore.CodeAnchorNotRoot { // the one rule that Strict leaves out
			o.Policy.Refuse = append(o.Policy.Refuse, c.Rule)
		}
		_, strict := store.Verify(c.Chain, o)
		std := c.Std()
		rule, name := string(c.Rule), c.Name
		switch {
		case rule == "":
			rule = "-"
		case c.Good:
			name = "good: " + name
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", rule, name, word(std), word(plain), word(strict))
		switch {
		case !c.Good && strict != nil:
			bad, refused = bad+1, refused+1
		case !c.Good:
			bad++
		case strict != nil:
			wronged++
		}
		ok = ok && std == nil && (plain == nil) == !c.Refused() && (strict == nil) == (c.Good && !c.Refused())
	}
	if err := table.Flush(); err != nil {
		return false, err
	}
	fmt.Fprintf(out, "\nStrict refuses %d of %d chains that break a rule, and %d of %d that break none.\n", refused, bad, wronged, len(cases)-bad)
	return ok, nil
}

func word(err error) string {
	var refused *truststore.VerifyError
	switch {
	case err == nil:
		return "accepts"
	case errors.As(err, &refused):
		return "refuses: " + string(refused.Code)
	}
	return "refuses"
}
