// Command https shows what the library is for in one run. It makes the
// certificates of two partners, writes them to keystores and truststores, loads
// those back, starts HTTPS servers and connects to them under different trust.
// It prints what was to be expected of each connection and what happened, and
// exits with 1 when any of the two differ.
//
// Everything is real but for the host names: connections to a.example and
// b.example go to the loopback interface.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "https:", err)
		os.Exit(1)
	}
}

// run writes its report to w. It leaves nothing behind.
func run(w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "trustkeep-https-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := writeStores(dir); err != nil {
		return err
	}
	stores, err := loadStores(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Stores, loaded back from disk:\n%s\n", stores.describe())

	servers, err := startServers(stores)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.stop()) }()
	attempts, err := attempts(stores, servers)
	if err != nil {
		return err
	}
	return report(w, attempts)
}

// report tries every connection and prints the table.
func report(w io.Writer, attempts []attempt) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tconnection\texpected\tactual")
	differ := 0
	var explanations []string
	for i, a := range attempts {
		actual, err := a.try()
		mark := ""
		if actual != a.want {
			differ++
			mark = "  <- differs"
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s%s\n", i+1, a.name, a.want, actual, mark)
		if err != nil {
			explanations = append(explanations, fmt.Sprintf("%d  %v", i+1, err))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nWhy connections were refused:")
	for _, line := range explanations {
		fmt.Fprintln(w, line)
	}
	if differ > 0 {
		return fmt.Errorf("%d of %d connections turned out other than expected", differ, len(attempts))
	}
	return nil
}
