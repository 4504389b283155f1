// Package bks reads and writes the two older key store formats of
// BouncyCastle: BKS, versions 1 and 2, and UBER, which is the content of a BKS
// encrypted as a whole.
//
// There is no specification; the layout is that of
// org.bouncycastle.jcajce.provider.keystore.bc.BcKeyStoreSpi:
//
//	BKS         version u32, salt block, iterations u32, content,
//	            HMAC-SHA1 of the content
//	UBER        version u32, salt block, iterations u32, and in Twofish-CBC:
//	            content, SHA-1 of the content
//	content     entries, 0 u8
//	entry       type u8, alias UTF, created i64 ms, chain length u32,
//	            certificates, value
//	certificate type UTF, DER block
//	value       1: certificate; 2: key; 3: block; 4: block holding salt block,
//	            iterations u32, key in PBEWithSHAAnd3-KeyTripleDES-CBC
//	key         0 private, 1 public, 2 secret u8, format UTF, algorithm UTF,
//	            encoding block
//
// All keys are derived as in PKCS#12 (RFC 7292 appendix B) with SHA-1. No
// password and the empty one are the same there.
package bks

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// Types of entries.
const (
	typeEnd         = 0
	typeCertificate = 1
	typeKey         = 2
	typeSecret      = 3
	typeSealed      = 4
)

const x509Type = "X.509"

// header is what both formats start with.
type header struct {
	version    uint32
	salt       []byte
	iterations int64
}

// Parse reads a BKS or an UBER. Both start alike; a BKS is told by what its
// first entry looks like in the clear.
//
// The HMAC of a BKS is verified before its entries are read. A nil password
// leaves it unverified and sets Unauthenticated; with the empty password it is
// verified. To an UBER both are the same. Certificates and protected keys of a
// BKS alias data, which must not change afterwards. Without a password a sealed
// key with certificates counts as a private key and one without as a secret key.
// With it, keys are opened to learn what they are; they are kept open only if
// opts.Unlock says so.
//
// Errors wrap trustkeep.ErrCorrupt, ErrUnsupported, ErrLimit, or
// ErrIncorrectPassword, which neither format can tell from an altered file. An
// alias that occurs twice is ErrCorrupt and ErrExists; BouncyCastle tells
// aliases apart by case.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := parse(data, opts)
	if err != nil {
		return nil, fmt.Errorf("bks: %w", err)
	}
	if opts.Password != nil {
		learnKinds(s.Entries, opts.Password, opts.Budget)
	}
	if opts.Unlock {
		entry.UnlockAll(s.Entries, opts.Password, opts.Budget)
	}
	return s, nil
}

func parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	r := javaio.NewReader(data)
	h := header{version: r.Uint32(), salt: r.Block(), iterations: int64(int32(r.Uint32()))}
	if r.Err() != nil {
		return nil, r.Err()
	}
	if h.version > 2 {
		return nil, fmt.Errorf("version %d: %w", h.version, trustkeep.ErrUnsupported)
	}
	if len(h.salt) == 0 {
		return nil, fmt.Errorf("no salt: %w", trustkeep.ErrCorrupt)
	}
	if startsLikeBKS(r.Rest()) {
		return parseBKS(h, r.Rest(), opts)
	}
	return parseUBER(h, r.Rest(), opts)
}

// startsLikeBKS tells the clear content of a BKS from ciphertext: by the end
// mark and the HMAC alone, or by an entry of a known type whose alias is text
// and whose time lies within 8,900 years of 1970. One UBER in some ten
// millions looks like that.
func startsLikeBKS(content []byte) bool {
	r := javaio.NewReader(content)
	kind := r.Uint8()
	if kind == typeEnd {
		return r.Len() == sha1.Size
	}
	r.UTF()
	ms := r.Int64()
	return r.Err() == nil && kind <= typeSealed && ms>>48 == 0 || r.Short() && kind <= typeSealed && len(content)%16 != 0
}

func parseBKS(h header, rest []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if len(rest) < sha1.Size+1 {
		return nil, fmt.Errorf("shorter than an empty store: %w", trustkeep.ErrCorrupt)
	}
	content, stored := rest[:len(rest)-sha1.Size], rest[len(rest)-sha1.Size:]
	if opts.Password != nil {
		computed, err := h.mac(opts.Password, content, opts.Budget)
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(computed, stored) != 1 {
			// Tell a file that is broken on its face, such as one cut
			// short, from one that only the HMAC is wrong for.
			if _, err := readContent(content, opts.Budget); err != nil {
				return nil, err
			}
			return nil, fmt.Errorf("MAC mismatch, wrong password or altered file: %w", trustkeep.ErrIncorrectPassword)
		}
	}
	entries, err := readContent(content, opts.Budget)
	if err != nil {
		return nil, err
	}
	s := &entry.Store{Format: entry.BKS, Entries: entries, Unauthenticated: opts.Password == nil}
	if s.Unauthenticated {
		s.Findings = append(s.Findings, entry.Unchecked())
	}
	if h.version < 2 {
		s.Findings = append(s.Findings, entry.Finding{
			Code: "weak-mac",
			Text: fmt.Sprintf("BKS version %d authenticates with a key of 16 bits, which anybody can guess", h.version),
		})
	}
	return s, nil
}

// mac computes the HMAC-SHA1 of the content. Before version 2, BouncyCastle
// passed the length of the key in bytes where bits were wanted, and so derived
// two bytes instead of twenty (CVE-2018-5382).
func (h header) mac(password, content []byte, spend limits.Spender) ([]byte, error) {
	if err := fips.Refuse("the HMAC-SHA1 of BKS"); err != nil {
		return nil, err
	}
	scheme, err := pbe.ParseMAC(sha1Identifier, make([]byte, sha1.Size), h.salt, h.iterations)
	if err != nil {
		return nil, err
	}
	key, err := scheme.Derive(pkcs12Password(password), spend)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	if h.version < 2 {
		key = key[:sha1.Size/8]
	}
	m := hmac.New(sha1.New, key)
	m.Write(content)
	return m.Sum(nil), nil
}

// sha1Identifier is the DER of SHA-1's AlgorithmIdentifier.
var sha1Identifier = []byte{0x30, 9, 6, 5, 0x2B, 0x0E, 3, 2, 0x1A, 5, 0}

// pkcs12Password: BouncyCastle encodes the empty password as no bytes at all,
// which package pbe does for nil.
func pkcs12Password(password []byte) []byte {
	if len(password) == 0 {
		return nil
	}
	return password
}

// keyScheme is PBEWithSHAAnd3-KeyTripleDES-CBC of RFC 7292 appendix C with the
// salt and the iterations of a sealed key.
func keyScheme(salt []byte, iterations int64) (*pbe.Scheme, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidTripleDES)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(iterations)
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return pbe.ParseScheme(der)
}

var oidTripleDES = []int{1, 2, 840, 113549, 1, 12, 1, 3}

const kdfHash = crypto.SHA1
