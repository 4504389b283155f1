package entry

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
	"github.com/trustkeep/trustkeep/internal/fips"
)

func parseX509(raw []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(raw)
	if err == nil {
		return c, nil
	}
	if strings.Contains(err.Error(), "negative serial number") {
		// crypto/tls refuses such a certificate of a peer as well, before
		// any callback, so a store entry is all that can be had of it.
		return nil, fmt.Errorf("certificate: %w: %v (only GODEBUG=x509negativeserial=1 makes Go accept it)", trustkeep.ErrUnsupported, errtext.Of(err))
	}
	if outline, ok := NewCertificate(raw).Outline(); ok && isX25519(outline.PublicKey) {
		if err := fips.Refuse("X25519"); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	return nil, fmt.Errorf("certificate: %w: %v", trustkeep.ErrCorrupt, errtext.Of(err))
}

// isX25519 looks for the AlgorithmIdentifier of RFC 8410 section 3 in front of a
// SubjectPublicKeyInfo.
func isX25519(spki []byte) bool {
	return len(spki) > 2 && bytes.HasPrefix(spki[2:], []byte{0x30, 5, 6, 3, 0x2b, 0x65, 0x6e})
}

// parseInParallel is how many certificates make a second goroutine worth it.
const parseInParallel = 16

// ParseAll parses the certificates on the cores there are and returns when all
// are done. Errors stay with the certificates.
func ParseAll(certs []*Certificate) {
	workers := min(runtime.GOMAXPROCS(0), len(certs)/parseInParallel)
	if workers < 2 {
		for _, c := range certs {
			c.X509()
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				end := int(next.Add(parseInParallel))
				start := end - parseInParallel
				if start >= len(certs) {
					return
				}
				for _, c := range certs[start:min(end, len(certs))] {
					c.X509()
				}
			}
		})
	}
	wg.Wait()
}
