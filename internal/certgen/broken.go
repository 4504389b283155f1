package certgen

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"io"
)

// NegativeSerial returns the certificate with a negative serial number, signed
// anew by its issuer's key, in DER. Encoders that forget the leading zero octet
// make such certificates; RFC 5280 section 4.1.2.2 forbids them and crypto/x509
// neither makes nor parses them. random is as for Sign. It is for tests.
func NegativeSerial(c *x509.Certificate, issuer crypto.Signer, random io.Reader) ([]byte, error) {
	var parsed struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &parsed); err != nil {
		return nil, err
	}
	tbs := bytes.Clone(parsed.TBS.FullBytes)
	// The second bit off, so that no octet is superfluous.
	first := &tbs[serialOffset(tbs)]
	*first = *first&^0x40 | 0x80
	key := plain(issuer)
	signature, err := crypto.SignMessage(key, signingRandom(key, random), tbs, signatureHash(key))
	if err != nil {
		return nil, err
	}
	parsed.TBS = asn1.RawValue{FullBytes: tbs}
	parsed.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(parsed)
}

// serialOffset returns where the first content octet of the serial number is.
func serialOffset(tbs []byte) int {
	header := 2 // tag and short length
	if tbs[1] >= 0x80 {
		header += int(tbs[1] & 0x7f)
	}
	const version, integer = 5, 2 // [0] { INTEGER 2 }; tag and length of the serial
	return header + version + integer
}

// signatureHash returns the hash that crypto/x509 chooses for a key's
// signatures.
func signatureHash(key crypto.Signer) crypto.Hash {
	switch k := key.Public().(type) {
	case ed25519.PublicKey:
		return 0
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P384():
			return crypto.SHA384
		case elliptic.P521():
			return crypto.SHA512
		}
	}
	return crypto.SHA256
}
