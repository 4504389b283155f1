package audit

import (
	"crypto/x509"
	"slices"
)

// knownKey names the public source of a private key, "" where none is known.
// The hashes are of SubjectPublicKeyInfo.
func (a *auditor) knownKey(c *x509.Certificate) string {
	id := keyID(c)
	if where := a.KnownKeys[id]; where != "" {
		return where
	}
	switch id {
	case "9a9e5b0f404f4e2d4386e38b04ac91e535946dc2a7f8d84a31404b476e5c35e1",
		"8fb6bad671cfe698393c453357da61b56d757ab8c0f3fb9c87f2849e63131878",
		"96465ea5dc9bb2da7b351d808a7196e5761f2412a5040131c68d719aaba28fb9":
		return "RFC 9500 section 2.1"
	case "b2b04340cfaee616ec9c2c62d261b208e54bb197498df52e8cadede23ac0ba5e",
		"c4c10105a0be0ed4dd3354428dc38a9bfee64da141ce16e75c94eda272f9dd3a",
		"acb1b8327fef995e2458fdf5e3c33b2dc0749feabd6a894cb9bda9d70ac06c24":
		return "RFC 9500 section 2.3"
	case "389f9ede520dbc33d2aebc489246ad89e221d1ec15f693c348c58b08219367aa":
		return "the source of Go's net/http/httptest"
	case "7ab7675e0a3dd799e52018c2261fa991280ced8990edab75156692399ac8d3c5",
		"d4bb62146043a8cd585d3efeab81e7a875b5ea2781cd44070285a49374e0841b",
		"6eb6c34b13ee0724cf1ab8c7f68c4c04b8d953a173ea9805ffe618563b1bd9a3",
		"1fe7f0ac3c404893cacd0594ae6504f3ca25004350593dd4b0314ad8e8a7a8b8":
		return "the tests of TrustKeep"
	}
	return ""
}

// vendorDefault names the product whose shipped identity a certificate looks
// like, judging by its subject.
func vendorDefault(c *x509.Certificate) string {
	s := c.Subject
	if s.CommonName == "localhost" && slices.Equal(s.Organization, []string{"WSO2"}) && selfIssued(c) {
		return "WSO2"
	}
	return ""
}
