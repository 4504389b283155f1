package pkitest

import (
	"encoding/asn1"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// BERKeystoreFile is KeystoreFile for PKCS#12 in the way that NSS and BouncyCastle write
// it: the outer layers have indefinite lengths, and the content comes in pieces (BER,
// X.690 section 8.1.3.6). Readers of DER alone, most of those of Go, refuse it. The MAC
// is that of the content whatever its pieces (RFC 7292 section 4).
func (p *PKI) BERKeystoreFile(ids ...*keystore.Identity) string {
	p.tb.Helper()
	der, err := os.ReadFile(p.KeystoreFile(trustkeep.PKCS12, ids...))
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	var pfx struct {
		Version  int
		AuthSafe struct {
			Type    asn1.ObjectIdentifier
			Content []byte `asn1:"explicit,tag:0"`
		}
		Mac asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &pfx); err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	version, err := asn1.Marshal(pfx.Version)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	contentType, err := asn1.Marshal(pfx.AuthSafe.Type)
	if err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	const piece = 1000
	var pieces []byte
	for rest := pfx.AuthSafe.Content; len(rest) > 0; {
		n := min(piece, len(rest))
		octets, err := asn1.Marshal(rest[:n])
		if err != nil {
			p.tb.Fatalf("pkitest: %v", err)
		}
		pieces, rest = append(pieces, octets...), rest[n:]
	}
	const sequence, explicit0, constructedOctets = 0x30, 0xa0, 0x24
	ber := indefinite(sequence, version,
		indefinite(sequence, contentType, indefinite(explicit0, indefinite(constructedOctets, pieces))),
		pfx.Mac.FullBytes)
	path := filepath.Join(p.tb.TempDir(), "keystore-ber.p12")
	if err := os.WriteFile(path, ber, 0o600); err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return path
}

func indefinite(tag byte, parts ...[]byte) []byte {
	out := []byte{tag, 0x80}
	for _, part := range parts {
		out = append(out, part...)
	}
	return append(out, 0, 0)
}
