package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestLoadCRLs(t *testing.T) {
	w := newWorld(t)
	one, two := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber), w.list(w.pki.Root, nil)
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, c := range map[string]struct {
		data []byte
		want []int // revoked in each list
		err  error
	}{
		"DER":           {one, []int{1}, nil},
		"PEM":           {block("X509 CRL", one), []int{1}, nil},
		"two, and more": {slices.Concat([]byte("text\n"), block("CERTIFICATE", w.leaf.DER), block("X509 CRL", one), block("X509 CRL", two)), []int{1, 0}, nil},
		"empty":         {nil, nil, trustkeep.ErrEmpty},
		"no list":       {block("CERTIFICATE", w.leaf.DER), nil, trustkeep.ErrEmpty},
		"garbage":       {[]byte("garbage"), nil, trustkeep.ErrCorrupt},
		"cut":           {one[:len(one)-1], nil, trustkeep.ErrCorrupt},
	} {
		path := filepath.Join(t.TempDir(), "crl")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		lists, err := LoadCRLs(path)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		var got []int
		for _, l := range lists {
			got = append(got, l.Len())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, err := LoadCRLs("missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func FuzzCRL(f *testing.F) {
	w := newWorld(f)
	f.Add(w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber))
	c := w.checker(Options{})
	q := question{cert: w.leaf.Cert, issuer: w.pki.Intermediate.Cert, id: idOf(w.pki.Intermediate.Cert), at: w.now}
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := ParseCRLs(data)
		if (err == nil) != (len(lists) > 0) {
			t.Fatalf("%d lists, %v", len(lists), err)
		}
		if std, stdErr := x509.ParseRevocationList(data); !bytes.Contains(data, []byte("-----BEGIN ")) && (err == nil) != (stdErr == nil) {
			t.Fatalf("%v, crypto/x509 says %v", err, stdErr)
		} else if err == nil && len(lists) == 1 && stdErr == nil {
			// Whatever crypto/x509 finds for good is found here, except where entries
			// may be of other issuers.
			for _, e := range std.RevokedCertificateEntries {
				if final(e.ReasonCode) && lists[0].unusable == nil {
					if got := lists[0].find(e.SerialNumber, e.RevocationTime); got == nil || !final(got.reason) {
						t.Fatalf("%x is not found: %+v", e.SerialNumber, got)
					}
				}
			}
		}
		for _, l := range lists {
			_ = l.String()
			_ = l.Len()
			c.judgeLists(q, []*CRL{l})
		}
	})
}

func FuzzResponse(f *testing.F) {
	w := newWorld(f)
	honest := w.response(1, nil, nil) // revoked
	f.Add(honest)
	f.Add(w.response(0, w.responder(9), nil))
	c := w.checker(Options{})
	q := question{cert: w.leaf.Cert, issuer: w.pki.Root.Cert, at: w.now} // has signed none of them
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := readResponse(q.cert, q.issuer, data); err == nil {
			t.Fatalf("a response that nobody entitled has signed counts: %+v", c.judgeResponse(q, r))
		}
	})
}
