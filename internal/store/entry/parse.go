package entry

import (
	"crypto/x509"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/errtext"
)

func parseX509(raw []byte) (*x509.Certificate, error) {
	c, err := x509.ParseCertificate(raw)
	if err == nil {
		return c, nil
	}
	if strings.Contains(err.Error(), "negative serial number") {
		// crypto/tls refuses such a certificate of a peer as well, before
		// any callback, so a store entry is all that can be had of it.
		return nil, fmt.Errorf("certificate: %w: %v (only GODEBUG=x509negativeserial=1 makes Go accept it)", trustkeep.ErrUnsupported, err)
	}
	return nil, fmt.Errorf("certificate: %w: %v", trustkeep.ErrCorrupt, errtext.Of(err))
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
