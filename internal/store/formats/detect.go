package formats

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/openssh"
	"github.com/trustkeep/trustkeep/internal/store/pemfile"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// Detect tells the format of data from its first bytes and its outer structure,
// never from a name. ok is false for what is none of the formats. The format is
// that of the Store which Parse makes of data.
func Detect(data []byte) (format entry.Format, ok bool) {
	d, ok := detect(data)
	return d.format, ok
}

// detected is what Detect finds out.
type detected struct {
	format  entry.Format
	content []byte // to parse; of base64 without armor what is in it
	pem     bool   // content is PEM
}

// labelPKCS12 is what certtool wraps PKCS#12 in unless it is told not to.
const labelPKCS12 = "PKCS12"

func detect(data []byte) (d detected, ok bool) {
	if format, ok := detectBinary(data); ok {
		return detected{format: format, content: data}, true
	}
	if label, n := pemfile.Labels(data); n > 0 {
		d = detected{format: entry.PEM, content: data, pem: true}
		switch {
		case n == 1 && label == openssh.Label:
			d.format = entry.OpenSSH
		case n == 1 && pemfile.IsPKCS7(label):
			d.format = entry.PKCS7
		case n == 1 && label == labelPKCS12:
			block, _ := pem.Decode(data)
			if block == nil {
				return d, false
			}
			format, ok := detectBinary(block.Bytes)
			return detected{format: format, content: block.Bytes}, ok
		}
		return d, true
	}
	if der, ok := bareBase64(data); ok {
		format, ok := detectBinary(der)
		return detected{format: format, content: der}, ok
	}
	return d, false
}

// base64Starts are what the formats begin with in base64: a SEQUENCE, and the
// magic numbers of JKS and JCEKS.
var base64Starts = []string{"M", "/u3+7Q", "zs7Ozg"}

// bareBase64 decodes base64 without armor, as Windows tools, web forms and
// Kubernetes secrets have it.
func bareBase64(data []byte) (der []byte, ok bool) {
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if !slices.ContainsFunc(base64Starts, func(s string) bool { return bytes.HasPrefix(text, []byte(s)) }) {
		return nil, false
	}
	der = make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(der, text)
	return der[:n], err == nil
}

// Magic numbers of the formats of Java; those of BouncyCastle have none and
// begin with their version.
const (
	magicJKS   = 0xFEEDFEED
	magicJCEKS = 0xCECECECE
)

func detectBinary(data []byte) (entry.Format, bool) {
	if len(data) < 4 {
		return "", false
	}
	switch word := binary.BigEndian.Uint32(data); {
	case word == magicJKS:
		return entry.JKS, true
	case word == magicJCEKS:
		return entry.JCEKS, true
	case word == 1 || word == 2:
		return detectBouncyCastle(data)
	}
	if data[0] == 0x30 {
		return detectASN1(data)
	}
	return "", false
}

// detectBouncyCastle tells BKS from UBER. Both begin with version, salt and
// iteration count; in BKS the entries follow in the clear, in UBER ciphertext.
func detectBouncyCastle(data []byte) (entry.Format, bool) {
	in := cryptobyte.String(data)
	var version, saltLength, iterations uint32
	if !in.ReadUint32(&version) || !in.ReadUint32(&saltLength) ||
		saltLength == 0 || saltLength > 1<<10 || !in.Skip(int(saltLength)) || !in.ReadUint32(&iterations) {
		return "", false
	}
	const block = 16 // of Twofish
	if len(in) > 0 && len(in)%block == 0 && !startsLikeBKS(in) {
		return entry.UBER, true
	}
	return entry.BKS, true
}

// startsLikeBKS reports whether content is the end mark and the HMAC, or begins
// with an entry: a type of 1 to 4, an alias, and a time in milliseconds whose
// upper two octets are zero for thousands of years.
func startsLikeBKS(content cryptobyte.String) bool {
	var kind uint8
	var aliasLength, upper uint16
	if !content.ReadUint8(&kind) || kind > 4 {
		return false
	}
	if kind == 0 {
		return len(content) == sha1.Size
	}
	return content.ReadUint16(&aliasLength) && content.Skip(int(aliasLength)) && content.ReadUint16(&upper) && upper == 0
}

// detectASN1 tells apart the formats that are one SEQUENCE. What may be BER is
// told by its first elements alone, the rest by its outer structure; data behind
// the SEQUENCE is left to the parsers.
func detectASN1(data []byte) (entry.Format, bool) {
	content := sequenceContent(data)
	switch {
	case bytes.HasPrefix(content, []byte{0x02, 0x01, 0x03, 0x30}):
		return entry.PKCS12, true // RFC 7292 section 4: version v3(3), ContentInfo
	case bytes.HasPrefix(content, []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07")):
		return entry.PKCS7, true // RFC 5652 section 3: contentType of PKCS #7
	}
	in := cryptobyte.String(data)
	var element, seq, first cryptobyte.String
	if !in.ReadASN1Element(&element, asn1.SEQUENCE) {
		return "", false
	}
	body := element
	switch {
	case pkcs8.IsPrivateKeyInfo(element):
		return entry.PKCS8, true
	case pkcs8.IsTraditional(element):
		return entry.DER, true
	case !body.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1(&first, asn1.SEQUENCE):
		return "", false
	case first.PeekASN1Tag(asn1.OBJECT_IDENTIFIER) && isLast(seq, asn1.OCTET_STRING):
		return entry.PKCS8, true // RFC 5958 section 3: EncryptedPrivateKeyInfo
	case isLast(seq, asn1.SEQUENCE), isLast(seq, asn1.Tag(0).ContextSpecific().Constructed()):
		return entry.BCFKS, true // ObjectStore: store data, integrity check
	case seq.SkipASN1(asn1.SEQUENCE) && isLast(seq, asn1.BIT_STRING):
		return entry.DER, true // RFC 5280: certificate or revocation list
	}
	return "", false
}

// sequenceContent returns what follows the header of a SEQUENCE of definite or
// indefinite length.
func sequenceContent(data []byte) []byte {
	if len(data) < 2 || data[0] != 0x30 {
		return nil
	}
	header := 2
	if n := int(data[1]); n > 0x80 {
		header += n & 0x7f
	}
	if header > len(data) {
		return nil
	}
	return data[header:]
}

// isLast reports whether in is one element of that tag.
func isLast(in cryptobyte.String, tag asn1.Tag) bool {
	return in.SkipASN1(tag) && in.Empty()
}
