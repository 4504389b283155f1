package jks

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// oidSun is JAVASOFT_JDKKeyProtector of sun.security.provider.KeyProtector.
var oidSun = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 17, 1, 1}

// newPrivateKey wraps the DER of an EncryptedPrivateKeyInfo (RFC 5208 section
// 6) without opening it. Besides the protections of the JDK's own stores, those
// of PKCS#8 are opened.
func newPrivateKey(protected []byte) *entry.PrivateKey {
	k := &entry.PrivateKey{Protected: protected, Encrypted: true}
	oid, params, encrypted, ok := splitEncrypted(protected)
	switch {
	case !ok:
		k.Protection = "unreadable"
		k.Unlock = neverOpens(fmt.Errorf("no EncryptedPrivateKeyInfo: %w", trustkeep.ErrCorrupt))
	case oid.Equal(oidSun):
		k.Protection = nameSun
		k.Unlock = func(password []byte, _ limits.Spender) ([]byte, error) { return named(openSun(encrypted, password)) }
	case oid.Equal(oidTripleDES):
		scheme, err := parseTripleDES(params)
		if err != nil {
			k.Protection = nameTripleDES
			k.Unlock = neverOpens(err)
			break
		}
		k.Protection = scheme.String()
		k.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
			return named(openTripleDES(scheme, encrypted, password, spend))
		}
	default:
		e, err := pkcs8.Parse(protected)
		if err != nil {
			k.Protection = oid.String()
			k.Unlock = neverOpens(err)
			break
		}
		k.Protection = e.Scheme.String()
		k.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) { return named(e.Decrypt(password, spend)) }
	}
	return k
}

func neverOpens(err error) func([]byte, limits.Spender) ([]byte, error) {
	return func([]byte, limits.Spender) ([]byte, error) { return named(nil, err) }
}

// named puts the package's name before the error of opening a key.
func named(plain []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("jks: key: %w", err)
	}
	return plain, nil
}

// splitEncrypted takes an EncryptedPrivateKeyInfo apart. params is the DER of
// the algorithm's parameters, empty where there are none.
func splitEncrypted(der []byte) (oid asn1.ObjectIdentifier, params, encrypted []byte, ok bool) {
	input := cryptobyte.String(der)
	var info, algorithm, octets cryptobyte.String
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !input.Empty() ||
		!info.ReadASN1(&algorithm, cbasn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!info.ReadASN1(&octets, cbasn1.OCTET_STRING) || !info.Empty() {
		return nil, nil, nil, false
	}
	return oid, algorithm, octets, true
}

// joinEncrypted is the inverse of splitEncrypted.
func joinEncrypted(oid asn1.ObjectIdentifier, params, encrypted []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(encrypted)+len(params)+32))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddBytes(params)
		})
		b.AddASN1OctetString(encrypted)
	})
	return b.Bytes()
}

// Sun's key protection (sun.security.provider.KeyProtector): a random salt of
// 20 bytes; the plaintext XORed with the chain d1 = SHA-1(password, salt),
// dn+1 = SHA-1(password, dn); and SHA-1(password, plaintext) as the check.
const (
	sunOverhead = 2 * sha1.Size
	nameSun     = "Sun JKS SHA-1"
)

func openSun(blob, password []byte) ([]byte, error) {
	if err := fips.Refuse(nameSun); err != nil {
		return nil, err
	}
	if len(blob) < sunOverhead {
		return nil, fmt.Errorf("protected key of %d bytes: %w", len(blob), trustkeep.ErrCorrupt)
	}
	if password == nil {
		return nil, fmt.Errorf("needs a password: %w", trustkeep.ErrIncorrectPassword)
	}
	units := javaio.PasswordUnits(password)
	defer clear(units)
	salt, check := blob[:sha1.Size], blob[len(blob)-sha1.Size:]
	plain := make([]byte, len(blob)-sunOverhead)
	xorSun(plain, blob[sha1.Size:len(blob)-sha1.Size], units, salt)
	computed := checkSun(units, plain)
	if subtle.ConstantTimeCompare(computed[:], check) != 1 {
		clear(plain)
		return nil, trustkeep.ErrIncorrectPassword
	}
	if !pkcs8.IsPrivateKeyInfo(plain) {
		clear(plain)
		return nil, fmt.Errorf("what was protected is no PKCS#8 key: %w", trustkeep.ErrCorrupt)
	}
	return plain, nil
}

// protectSun returns an EncryptedPrivateKeyInfo that openSun opens.
func protectSun(plain, password, salt []byte) ([]byte, error) {
	units := javaio.PasswordUnits(password)
	defer clear(units)
	blob := make([]byte, sunOverhead+len(plain))
	copy(blob, salt)
	xorSun(blob[sha1.Size:sha1.Size+len(plain)], plain, units, salt)
	check := checkSun(units, plain)
	copy(blob[sha1.Size+len(plain):], check[:])
	return joinEncrypted(oidSun, derNull, blob)
}

// derNull is the DER of NULL, the parameters that the JDK writes.
var derNull = []byte{5, 0}

func xorSun(dst, src, units, salt []byte) {
	h := sha1.New()
	link := make([]byte, sha1.Size)
	copy(link, salt)
	for len(src) > 0 {
		h.Reset()
		h.Write(units)
		h.Write(link)
		link = h.Sum(link[:0])
		n := subtle.XORBytes(dst, src, link)
		dst, src = dst[n:], src[n:]
	}
	clear(link)
}

func checkSun(units, plain []byte) (sum [sha1.Size]byte) {
	h := sha1.New()
	h.Write(units)
	h.Write(plain)
	h.Sum(sum[:0])
	return sum
}

// openTripleDES opens a private key of JCEKS.
func openTripleDES(scheme *tripleDES, encrypted, password []byte, spend limits.Spender) ([]byte, error) {
	plain, err := scheme.open(encrypted, password, spend)
	if err != nil {
		return nil, err
	}
	if !pkcs8.IsPrivateKeyInfo(plain) {
		clear(plain)
		return nil, trustkeep.ErrIncorrectPassword
	}
	return plain, nil
}

// protectTripleDES returns an EncryptedPrivateKeyInfo that openTripleDES opens.
func protectTripleDES(scheme *tripleDES, plain, password []byte) ([]byte, error) {
	params, err := scheme.params()
	if err != nil {
		return nil, err
	}
	encrypted, err := scheme.seal(plain, password)
	if err != nil {
		return nil, err
	}
	return joinEncrypted(oidTripleDES, params, encrypted)
}
