package truststore

import (
	"encoding/pem"
	"iter"
)

// pemCertificates yields the DER of the CERTIFICATE blocks of a bundle of
// roots, as crypto/x509 reads one: blocks with headers are passed over.
func pemCertificates(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			var block *pem.Block
			block, data = pem.Decode(data)
			if block == nil {
				return
			}
			if block.Type == "CERTIFICATE" && len(block.Headers) == 0 && !yield(block.Bytes) {
				return
			}
		}
	}
}
