package entry

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// NewCRL makes an entry of the DER of a CertificateList (RFC 5280 section 5.1),
// of which it checks no more than the outer shape and reads the issuer. The
// entry is Unnamed; its alias is that of the issuer followed by " crl". The
// error wraps trustkeep.ErrCorrupt.
func NewCRL(der []byte) (*Entry, error) {
	issuer, ok := crlIssuer(der)
	if !ok {
		return nil, fmt.Errorf("certificate revocation list: %w", trustkeep.ErrCorrupt)
	}
	name := NameOfSubject(issuer)
	if name == "" {
		name = ShortFingerprint(der)
	}
	return &Entry{Alias: name + " crl", Unnamed: true, Kind: CRL, Raw: der}, nil
}

// IsCRL reports whether der has the outer shape of a CertificateList.
func IsCRL(der []byte) bool {
	_, ok := crlIssuer(der)
	return ok
}

func crlIssuer(der []byte) (issuer []byte, ok bool) {
	input := cryptobyte.String(der)
	var list, tbs, name cryptobyte.String
	ok = input.ReadASN1(&list, asn1.SEQUENCE) && input.Empty() &&
		list.ReadASN1(&tbs, asn1.SEQUENCE) &&
		list.SkipASN1(asn1.SEQUENCE) && list.SkipASN1(asn1.BIT_STRING) && list.Empty() &&
		tbs.SkipOptionalASN1(asn1.INTEGER) &&
		tbs.SkipASN1(asn1.SEQUENCE) && // signature
		tbs.ReadASN1Element(&name, asn1.SEQUENCE) &&
		(tbs.PeekASN1Tag(asn1.UTCTime) || tbs.PeekASN1Tag(asn1.GeneralizedTime)) // thisUpdate
	return name, ok
}
