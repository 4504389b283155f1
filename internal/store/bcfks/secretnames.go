package bcfks

import (
	"encoding/asn1"
	"strings"

	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// secretNames are Java's names of secret keys and the identifiers that
// BouncyCastle writes for them.
var secretNames = []struct {
	name string
	oid  asn1.ObjectIdentifier
}{
	{"AES", asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1}},
	{"DESede", asn1.ObjectIdentifier{1, 3, 14, 3, 2, 17}},
	{"DESede", asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}}, // read, not written
	{"HmacSHA1", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}},
	{"HmacSHA224", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}},
	{"HmacSHA256", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}},
	{"HmacSHA384", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}},
	{"HmacSHA512", asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}},
	{"SEED", asn1.ObjectIdentifier{1, 2, 410, 200004, 1, 4}},
}

// secretName returns Java's name, or the identifier where it has none here.
func secretName(oid asn1.ObjectIdentifier) string {
	for _, s := range secretNames {
		if s.oid.Equal(oid) {
			return s.name
		}
	}
	return oid.String()
}

// secretOID is the inverse of secretName, nil for names that say nothing here.
func secretOID(name string) asn1.ObjectIdentifier {
	for _, s := range secretNames {
		if strings.EqualFold(s.name, name) {
			return s.oid
		}
	}
	return entry.ParseOID(name)
}
