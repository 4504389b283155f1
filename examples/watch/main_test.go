package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestNothingFails(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run([]string{"-swaps", "6", "-clients", "3", "-v"}, &out, &errs); status != 0 {
		t.Fatalf("%d: %s%s", status, &out, &errs)
	}
	var certificates, trusts, connections, resumed, failed, wrong int
	_, after, _ := strings.Cut(out.String(), "certificate replaced")
	if _, err := fmt.Sscanf(after, "%d times\ntrust replaced %d times\nconnections %d\n resumed %d\n failed %d\nwrongly accepted %d", &certificates, &trusts, &connections, &resumed, &failed, &wrong); err != nil {
		t.Fatalf("%v: %s", err, after)
	}
	if certificates != 12 || trusts != 12 || connections < 6*4*2*3 || resumed == 0 || failed != 0 || wrong != 0 {
		t.Errorf("%s", after)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-swaps", "0"}, {"-clients", "0"}, {"x"}, {"-bogus"}} {
		var out, errs bytes.Buffer
		if status := run(args, &out, &errs); status != 2 {
			t.Errorf("%q: %d", args, status)
		}
	}
}
