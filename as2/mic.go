package as2

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"strings"

	// The digests of signatures and receipts.
	_ "crypto/sha1"
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/trustkeep/trustkeep"
)

// MIC is a message integrity check (RFC 4130 section 7.3.1): the digest of what was sent, which
// the receiver states in its receipt.
type MIC struct {
	Hash   crypto.Hash `json:"hash"`
	Digest []byte      `json:"digest"`
}

// hashes are the digests with the names of RFC 8551 section 3.5.3.2, the first preferred.
var hashes = []struct {
	hash crypto.Hash
	name string
}{{crypto.SHA256, "sha-256"}, {crypto.SHA384, "sha-384"}, {crypto.SHA512, "sha-512"}, {crypto.SHA1, "sha-1"}}

// hashName returns the name of a digest, in the spelling of before RFC 5751 if old is set.
func hashName(h crypto.Hash, old bool) string {
	for _, known := range hashes {
		if known.hash == h && (old || h == crypto.SHA1) { // RFC 4130 knows sha1 alone
			return strings.Replace(known.name, "-", "", 1)
		} else if known.hash == h {
			return known.name
		}
	}
	return ""
}

// parseHash reads the name of a digest in any of the spellings in use: sha1, SHA-256, sha_512,
// rsa-sha256. It is zero for others.
func parseHash(name string) crypto.Hash {
	name = strings.NewReplacer("-", "", "_", "", "rsa", "").Replace(strings.ToLower(strings.TrimSpace(name)))
	for _, known := range hashes {
		if strings.Replace(known.name, "-", "", 1) == name {
			return known.hash
		}
	}
	return 0
}

// String returns the MIC as a receipt states it: the digest in base64 and its name.
func (m MIC) String() string {
	if m.Hash == 0 {
		return ""
	}
	return base64.StdEncoding.EncodeToString(m.Digest) + ", " + hashName(m.Hash, false)
}

func (m MIC) equal(other MIC) bool {
	return m.Hash != 0 && m.Hash == other.Hash && len(m.Digest) > 0 && bytes.Equal(m.Digest, other.Digest)
}

// parseMIC reads Received-content-MIC.
func parseMIC(value string) (MIC, error) {
	digest, name, _ := strings.Cut(value, ",")
	m := MIC{Hash: parseHash(name)}
	if m.Hash == 0 {
		return MIC{}, fmt.Errorf("MIC by %s: %w", trustkeep.Printable(name), trustkeep.ErrUnsupported)
	}
	var err error
	m.Digest, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(digest), ""))
	if err != nil || len(m.Digest) != m.Hash.Size() {
		return MIC{}, fmt.Errorf("MIC %s: %w", trustkeep.Printable(value), trustkeep.ErrCorrupt)
	}
	return m, nil
}
