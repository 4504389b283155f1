package revocation

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"os"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

// Requests name the issuer by SHA-256. A responder that refuses that is asked by SHA-1, once.
func TestOCSPAsksWithSHA256(t *testing.T) {
	w := newWorld(t)
	fipstest.Unapproved(t, "SHA-1")
	bySHA256 := w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 })
	bySHA1 := w.response(ocsp.Good, nil, nil)
	for name, c := range map[string]struct {
		first []byte
		want  string
		asked int
	}{
		"SHA-256":            {bySHA256, "good", 1},
		"answers with SHA-1": {bySHA1, "good", 1},
		"unauthorized":       {ocsp.UnauthorizedErrorResponse, "good", 2},
		"malformed":          {ocsp.MalformedRequestErrorResponse, "good", 2},
		"busy":               {ocsp.TryLaterErrorResponse, "unknown", 1},
	} {
		var hashes []crypto.Hash
		ch := w.checker(Options{Coverage: LeafOnly, FetchOCSP: func(_ context.Context, _ string, request []byte) ([]byte, error) {
			r, err := ocsp.ParseRequest(request)
			if err != nil {
				return nil, err
			}
			if hashes = append(hashes, r.HashAlgorithm); len(hashes) == 1 {
				return c.first, nil
			}
			return bySHA1, nil
		}})
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want || len(hashes) != c.asked || hashes[0] != crypto.SHA256 {
			t.Errorf("%s: %v, asked by %v", name, err, hashes)
		}
	}
}

// Under fips140=only, requests use what is approved, and an answer that does not is
// ErrUnsupported and no panic, stapled or fetched.
func TestOCSPUnderFIPSOnly(t *testing.T) {
	w := newWorld(t)
	const variable = "TRUSTKEEP_TEST_SHA1_RESPONSE"
	bySHA1 := os.Getenv(variable)
	if bySHA1 == "" {
		fipstest.Unapproved(t, "SHA-1")
		bySHA1 = hex.EncodeToString(w.response(ocsp.Good, nil, nil))
	}
	if !fipstest.Only(t, variable+"="+bySHA1) {
		return
	}
	old, err := hex.DecodeString(bySHA1)
	if err != nil {
		t.Fatal(err)
	}
	good := w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 })
	for name, c := range map[string]struct {
		answer []byte
		want   string
		typed  bool
	}{"SHA-256": {good, "good", false}, "SHA-1": {old, "unknown", true}, "refused": {ocsp.UnauthorizedErrorResponse, "unknown", false}} {
		asked := 0
		ch := w.checker(Options{Coverage: LeafOnly, FetchOCSP: func(context.Context, string, []byte) ([]byte, error) { asked++; return c.answer, nil }})
		if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want || errors.Is(err, trustkeep.ErrUnsupported) != c.typed || asked != 1 {
			t.Errorf("%s, fetched: %v, asked %d times", name, err, asked)
		}
		if err := w.checker(Options{Coverage: LeafOnly}).check(t.Context(), w.chain(), c.answer, w.now); outcome(err) != c.want || errors.Is(err, trustkeep.ErrUnsupported) != c.typed {
			t.Errorf("%s, stapled: %v", name, err)
		}
	}
	list := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	if err := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{w.parsed(list)}}).check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" {
		t.Errorf("list: %v", err)
	}
}
