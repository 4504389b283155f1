package bridge

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
)

// equalChains compares DER. The result says what differs, and is empty if nothing does.
func equalChains(want, have [][]byte) string {
	if len(want) != len(have) {
		return fmt.Sprintf("a chain of %d certificates and not %d", len(have), len(want))
	}
	for i := range want {
		if !bytes.Equal(want[i], have[i]) {
			return fmt.Sprintf("certificate %d of the chain is another", i)
		}
	}
	return ""
}

func rawChain(certs ...*x509.Certificate) [][]byte {
	out := make([][]byte, len(certs))
	for i, c := range certs {
		out[i] = c.Raw
	}
	return out
}

// equalKeys compares the private key that a peer has read with a public key.
func equalKeys(want crypto.PublicKey, private any) bool {
	signer, ok := private.(interface{ Public() crypto.PublicKey })
	if !ok {
		return false
	}
	public, ok := want.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(signer.Public())
}

// refused returns the first certificate that crypto/x509, which the peers parse with,
// does not parse.
func refused(e trustkeep.Encoded) error {
	for _, entry := range e.Entries {
		for _, der := range entry.Chain {
			if _, err := x509.ParseCertificate(der); err != nil {
				return fmt.Errorf("entry %q: %w", trustkeep.Printable(entry.Alias), errtext.Bound(err))
			}
		}
	}
	return nil
}

// kindsOf returns the kinds of entry that occur, sorted.
func kindsOf(e trustkeep.Encoded) []string {
	var kinds []string
	for _, entry := range e.Entries {
		kinds = append(kinds, entry.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

const (
	kindKey     = "key"
	kindTrusted = "trusted"
)
