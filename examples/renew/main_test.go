package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	at := 0
	// Before, then after.
	for _, want := range []string{
		"web: issued by CN=web.example,O=Example, self-signed true, chain of 1", "web.p12 \"web\": self-signed",
		"web: issued by CN=Example Intermediate CA, self-signed false, chain of 3", "0 critical, 0 warnings, 0 notes",
		"A year later", "expires-soon",
		"web: issued by CN=Example Intermediate CA, self-signed false, chain of 3", "web.old: issued by",
	} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing from what follows:\n%s", want, text[at:])
		}
		at += i + len(want)
	}
}
