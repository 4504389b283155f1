package entry

import (
	"encoding/asn1"
	"strconv"
	"strings"
)

// ParseOID reads an object identifier in dots, by which algorithms without a name go.
// It is nil for what is none.
func ParseOID(text string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil
		}
		oid = append(oid, int(n))
	}
	// X.660: two arcs at least, and below the first two no more than 40.
	if len(oid) < 2 || oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil
	}
	return oid
}
