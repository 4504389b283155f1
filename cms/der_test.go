package cms_test

import (
	"encoding/pem"
	"os"
	"testing"

	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// element reads the one element that der is.
func element(t testing.TB, der []byte) ber.Element {
	t.Helper()
	in := ber.New(der, ber.Rules{MaxDepth: 32})
	e, err := in.Next()
	if err == nil {
		err = in.End()
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// value is the content of an element.
func value(t testing.TB, der []byte) []byte { return element(t, der).Content }

// children are the elements inside an element, as they stand.
func children(t testing.TB, der []byte) (out [][]byte) {
	t.Helper()
	in, err := element(t, der).Children()
	for err == nil && !in.Empty() {
		var e ber.Element
		e, err = in.Next()
		out = append(out, e.Full)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pemOf(message []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: message})
}
