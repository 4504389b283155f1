package cms

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	_ "crypto/sha1" // the hashes of algorithm.go, for crypto.Hash
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// Cipher encrypts the content of a sealed message.
type Cipher uint8

// The ciphers. Those in CBC mode make EnvelopedData (RFC 5652 section 6), which
// every S/MIME and AS2 product reads and which is not authenticated; those in
// GCM make AuthEnvelopedData (RFC 5083, RFC 5084), which is, and which older
// products do not read.
const (
	// AES256CBC is the zero value.
	AES256CBC Cipher = iota
	AES192CBC
	AES128CBC
	// TripleDESCBC is for partners that have nothing else. Its 64-bit blocks
	// leak once some gigabytes are encrypted under one key (SP 800-67).
	TripleDESCBC
	AES256GCM
	AES192GCM
	AES128GCM
)

// KeyTransport hands the content's key to a recipient with an RSA key.
// Recipients with an EC key get it by key agreement (RFC 5753) instead.
type KeyTransport uint8

// The key transports.
const (
	// PKCS1v15 is RSAES-PKCS1-v1_5, the zero value because it is the only one
	// that every S/MIME and AS2 product reads: RFC 8551 section 2.3 demands it
	// of receivers and merely recommends OAEP.
	PKCS1v15 KeyTransport = iota
	// OAEPSHA256 is RSAES-OAEP with SHA-256 for both the label and the mask
	// (RFC 4055). It is the stronger choice for partners known to read it.
	OAEPSHA256
	// OAEPSHA1 is RSAES-OAEP with SHA-1, its default parameters. Products
	// that know OAEP but no parameters read this one; SHA-1 is not weak here.
	OAEPSHA1
)

// String returns the name that the constant has.
func (k KeyTransport) String() string {
	switch k {
	case PKCS1v15:
		return "PKCS1v15"
	case OAEPSHA256:
		return "OAEPSHA256"
	case OAEPSHA1:
		return "OAEPSHA1"
	}
	return "invalid"
}

// oid is an object identifier as its content octets in DER.
type oid string

// newOID is for the constants below.
func newOID(text string) oid {
	id, err := x509.ParseOID(text)
	if err != nil {
		panic("cms: " + text)
	}
	der, err := id.MarshalBinary()
	if err != nil {
		panic("cms: " + text)
	}
	return oid(der)
}

// String returns the dotted form, and something readable for garbage.
func (o oid) String() string {
	var id x509.OID
	if len(o) > 64 || id.UnmarshalBinary([]byte(o)) != nil {
		return "invalid object identifier"
	}
	return id.String()
}

func (o oid) der() []byte { return berio.TLV(berio.OID, []byte(o)) }

// Content types and attributes: RFC 5652 sections 4 to 6 and 11, RFC 5083.
var (
	oidData              = newOID("1.2.840.113549.1.7.1")
	oidSignedData        = newOID("1.2.840.113549.1.7.2")
	oidEnvelopedData     = newOID("1.2.840.113549.1.7.3")
	oidAuthEnvelopedData = newOID("1.2.840.113549.1.9.16.1.23")

	oidContentType   = newOID("1.2.840.113549.1.9.3")
	oidMessageDigest = newOID("1.2.840.113549.1.9.4")
	oidSigningTime   = newOID("1.2.840.113549.1.9.5")
)

var nullDER = []byte{0x05, 0x00}

// algorithm is an AlgorithmIdentifier (RFC 5280 section 4.1.1.2).
type algorithm struct {
	id     oid
	params []byte // an element in DER; nil where absent
}

func (a algorithm) der() []byte { return berio.TLV(berio.Sequence, a.id.der(), a.params) }

func readAlgorithm(in *ber.Input) (a algorithm, err error) {
	e, err := in.Read(ber.Sequence)
	if err != nil {
		return a, err
	}
	return parseAlgorithm(e)
}

func parseAlgorithm(e ber.Element) (a algorithm, err error) {
	in, err := e.Children()
	if err != nil {
		return a, err
	}
	if a.id, err = readOID(&in); err != nil {
		return a, err
	}
	if !in.Empty() {
		params, err := in.Next()
		if err != nil {
			return a, err
		}
		if a.params, err = params.DER(); err != nil {
			return a, err
		}
	}
	return a, in.End()
}

func readOID(in *ber.Input) (oid, error) {
	e, err := in.Read(ber.OID)
	if err != nil {
		return "", err
	}
	if e.Constructed || len(e.Content) == 0 {
		return "", corrupt("object identifier")
	}
	return oid(e.Content), nil
}

func readOctets(in *ber.Input) ([]byte, error) {
	e, err := in.Read(ber.OctetString)
	if err != nil {
		return nil, err
	}
	return e.Octets()
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }

// invalid is about what the caller has chosen.
func invalid(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrInvalid) }

func unsupported(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrUnsupported) }

// cipherSpec is one row of the table of ciphers.
type cipherSpec struct {
	cipher Cipher
	name   string
	id     oid
	key    int // bytes
	iv     int // bytes; of the nonce for GCM
	block  func(key []byte) (cipher.Block, error)
	gcm    bool
}

// RFC 3565 section 4.1, RFC 5084 section 3.2, RFC 3370 section 5.1.
var cipherSpecs = [...]cipherSpec{
	{AES256CBC, "AES-256-CBC", newOID("2.16.840.1.101.3.4.1.42"), 32, aes.BlockSize, aes.NewCipher, false},
	{AES192CBC, "AES-192-CBC", newOID("2.16.840.1.101.3.4.1.22"), 24, aes.BlockSize, aes.NewCipher, false},
	{AES128CBC, "AES-128-CBC", newOID("2.16.840.1.101.3.4.1.2"), 16, aes.BlockSize, aes.NewCipher, false},
	{TripleDESCBC, "3DES-CBC", newOID("1.2.840.113549.3.7"), 24, des.BlockSize, newTripleDES, false},
	{AES256GCM, "AES-256-GCM", newOID("2.16.840.1.101.3.4.1.46"), 32, gcmNonce, aes.NewCipher, true},
	{AES192GCM, "AES-192-GCM", newOID("2.16.840.1.101.3.4.1.26"), 24, gcmNonce, aes.NewCipher, true},
	{AES128GCM, "AES-128-GCM", newOID("2.16.840.1.101.3.4.1.6"), 16, gcmNonce, aes.NewCipher, true},
}

func newTripleDES(key []byte) (cipher.Block, error) {
	if err := fips.Refuse("3DES"); err != nil {
		return nil, err
	}
	return des.NewTripleDESCipher(key)
}

func (c Cipher) spec() (*cipherSpec, error) {
	for i := range cipherSpecs {
		if cipherSpecs[i].cipher == c {
			return &cipherSpecs[i], nil
		}
	}
	return nil, invalid(fmt.Sprintf("cipher %d", uint8(c)))
}

func cipherOf(a algorithm) (*cipherSpec, error) {
	for i := range cipherSpecs {
		if cipherSpecs[i].id == a.id {
			return &cipherSpecs[i], nil
		}
	}
	return nil, unsupported("content cipher " + a.id.String())
}

// String returns the usual name, such as "AES-256-CBC".
func (c Cipher) String() string {
	if s, err := c.spec(); err == nil {
		return s.name
	}
	return "invalid"
}

const (
	gcmNonce = 12 // RFC 5084 section 3.2 recommends it
	gcmTag   = 16
)

// gcmParameters are RFC 5084 section 3.2's GCMParameters.
type gcmParameters struct {
	Nonce []byte
	Tag   int `asn1:"optional,default:12"`
}

func (s *cipherSpec) algorithm(iv []byte) (algorithm, error) {
	if !s.gcm {
		return algorithm{s.id, berio.TLV(berio.OctetString, iv)}, nil
	}
	params, err := asn1.Marshal(gcmParameters{iv, gcmTag})
	return algorithm{s.id, params}, err
}

// cbcIV returns the initialisation vector of a cipher in CBC mode.
func (s *cipherSpec) cbcIV(a algorithm) ([]byte, error) {
	var iv []byte
	if rest, err := asn1.Unmarshal(a.params, &iv); err != nil || len(rest) != 0 || len(iv) != s.iv {
		return nil, corrupt("initialisation vector")
	}
	return iv, nil
}

// aead returns the cipher in GCM mode with the nonce that the message names.
func (s *cipherSpec) aead(a algorithm, key []byte) (aead fips.Opener, nonce []byte, err error) {
	var p gcmParameters
	if rest, err := asn1.Unmarshal(a.params, &p); err != nil || len(rest) != 0 {
		return nil, nil, corrupt("GCM parameters")
	}
	switch {
	case len(p.Nonce) == gcmNonce && p.Tag >= 12 && p.Tag <= gcmTag:
	case len(p.Nonce) > 0 && len(p.Nonce) <= 64 && p.Tag == gcmTag:
	default:
		return nil, nil, unsupported("GCM nonce or tag length")
	}
	aead, err = fips.NewOpener(key, len(p.Nonce), p.Tag)
	return aead, p.Nonce, err
}

// hashSpec is one row of the table of digests.
type hashSpec struct {
	hash crypto.Hash
	id   oid
	rsa  oid // of the RSA PKCS#1 v1.5 signature with this hash
	ec   oid // of the ECDSA signature with this hash
}

// RFC 3370 section 2.1, RFC 5754 sections 2 and 3. MD5 is left out on purpose.
var hashSpecs = [...]hashSpec{
	{crypto.SHA256, newOID("2.16.840.1.101.3.4.2.1"), newOID("1.2.840.113549.1.1.11"), newOID("1.2.840.10045.4.3.2")},
	{crypto.SHA384, newOID("2.16.840.1.101.3.4.2.2"), newOID("1.2.840.113549.1.1.12"), newOID("1.2.840.10045.4.3.3")},
	{crypto.SHA512, newOID("2.16.840.1.101.3.4.2.3"), newOID("1.2.840.113549.1.1.13"), newOID("1.2.840.10045.4.3.4")},
	{crypto.SHA224, newOID("2.16.840.1.101.3.4.2.4"), newOID("1.2.840.113549.1.1.14"), newOID("1.2.840.10045.4.3.1")},
	{crypto.SHA1, newOID("1.3.14.3.2.26"), newOID("1.2.840.113549.1.1.5"), newOID("1.2.840.10045.4.1")},
}

func hashByID(id oid) *hashSpec {
	for i := range hashSpecs {
		if hashSpecs[i].id == id {
			return &hashSpecs[i]
		}
	}
	return nil
}

func hashByHash(h crypto.Hash) *hashSpec {
	for i := range hashSpecs {
		if hashSpecs[i].hash == h {
			return &hashSpecs[i]
		}
	}
	return nil
}

// Public keys and their uses: RFC 3370, RFC 4055, RFC 5480, RFC 8419.
var (
	oidRSA     = newOID("1.2.840.113549.1.1.1")
	oidOAEP    = newOID("1.2.840.113549.1.1.7")
	oidMGF1    = newOID("1.2.840.113549.1.1.8")
	oidLabel   = newOID("1.2.840.113549.1.1.9")
	oidPSS     = newOID("1.2.840.113549.1.1.10")
	oidEC      = newOID("1.2.840.10045.2.1")
	oidEd25519 = newOID("1.3.101.112")
)

// mgf1 is the AlgorithmIdentifier of the mask generation function over h.
func mgf1(h *hashSpec) algorithm {
	return algorithm{oidMGF1, algorithm{h.id, nullDER}.der()}
}

// readMGF1 returns the hash of an AlgorithmIdentifier like that of mgf1.
func readMGF1(in *ber.Input) (*hashSpec, error) {
	a, err := readAlgorithm(in)
	if err != nil {
		return nil, err
	}
	if a.id != oidMGF1 {
		return nil, unsupported("mask generation function " + a.id.String())
	}
	params := ber.New(a.params, ber.Rules{MaxDepth: 3})
	return readHash(&params)
}

// readHash reads the AlgorithmIdentifier of a hash.
func readHash(in *ber.Input) (*hashSpec, error) {
	a, err := readAlgorithm(in)
	if err != nil {
		return nil, err
	}
	h := hashByID(a.id)
	if h == nil {
		return nil, unsupported("digest " + a.id.String())
	}
	return h, nil
}
