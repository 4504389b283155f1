package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	ok, err := run(&out)
	if err != nil || !ok {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"rule", "Strict", "refuses: odd-key", "refuses: email-constraint"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
