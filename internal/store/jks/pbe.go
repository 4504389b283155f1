package jks

import (
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"encoding/asn1"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// oidTripleDES is Sun's own PBEWithMD5AndTripleDES, with which JCEKS protects
// private and secret keys. No standard describes it; the key derivation is that
// of com.sun.crypto.provider.PBES1Core.
var oidTripleDES = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42, 2, 19, 1}

const (
	nameTripleDES = "PBEWithMD5AndTripleDES"
	saltTripleDES = 8
	// defaultIterations is what JDK 9 and later write (property
	// jdk.jceks.iterationCount).
	defaultIterations = 200_000
)

type tripleDES struct {
	salt       []byte
	iterations int64
}

// parseTripleDES reads PBEParameter (RFC 8018 appendix A.3).
func parseTripleDES(params []byte) (*tripleDES, error) {
	input := cryptobyte.String(params)
	var seq, salt cryptobyte.String
	p := new(tripleDES)
	if !input.ReadASN1(&seq, cbasn1.SEQUENCE) || !input.Empty() ||
		!seq.ReadASN1(&salt, cbasn1.OCTET_STRING) ||
		!seq.ReadASN1Integer(&p.iterations) || !seq.Empty() || len(salt) != saltTripleDES {
		return nil, fmt.Errorf("parameters of %s: %w", nameTripleDES, trustkeep.ErrCorrupt)
	}
	p.salt = salt
	return p, nil
}

// newTripleDES draws a salt.
func newTripleDES(rand io.Reader) (*tripleDES, error) {
	p := &tripleDES{salt: make([]byte, saltTripleDES), iterations: quickkdf.Cost(rand, defaultIterations)}
	_, err := io.ReadFull(rand, p.salt)
	return p, err
}

func (p *tripleDES) params() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1OctetString(p.salt)
		b.AddASN1Int64(p.iterations)
	})
	return b.Bytes()
}

func (p *tripleDES) String() string {
	return fmt.Sprintf("%s %d", nameTripleDES, p.iterations)
}

// checkPassword refuses what SunJCE refuses: these schemes take printable ASCII
// only.
func checkPassword(password []byte) error {
	for _, c := range password {
		if c < 0x20 || c > 0x7E {
			return fmt.Errorf("JCEKS key password that is not printable ASCII: %w", trustkeep.ErrUnsupported)
		}
	}
	return nil
}

// derive returns a key of 24 bytes and an initialisation vector of 8: one MD5
// chain for each half of the salt.
func (p *tripleDES) derive(password []byte) []byte {
	salt := [saltTripleDES]byte(p.salt)
	if [4]byte(salt[:4]) == [4]byte(salt[4:]) {
		// Two equal halves would make two equal chains: the first is reversed.
		salt[0], salt[1], salt[2], salt[3] = salt[3], salt[2], salt[1], salt[0]
	}
	out := make([]byte, 0, 2*md5.Size)
	link := make([]byte, 0, md5.Size)
	h := md5.New()
	for half := range 2 {
		link = append(link[:0], salt[4*half:4*half+4]...)
		for range p.iterations {
			h.Reset()
			h.Write(link)
			h.Write(password)
			link = h.Sum(link[:0])
		}
		out = append(out, link...)
	}
	clear(link)
	return out
}

// block returns the cipher and initialisation vector for password.
func (p *tripleDES) block(password []byte) (cipher.Block, []byte, error) {
	derived := p.derive(password)
	defer clear(derived[:24])
	block, err := des.NewTripleDESCipher(derived[:24])
	return block, derived[24:], err
}

// open decrypts. Wrong padding is trustkeep.ErrIncorrectPassword; one wrong
// password in 256 leaves the padding right, so the caller checks what it gets.
func (p *tripleDES) open(ciphertext, password []byte, spend limits.Spender) ([]byte, error) {
	if err := fips.Refuse(nameTripleDES); err != nil {
		return nil, err
	}
	if password == nil || checkPassword(password) != nil {
		return nil, trustkeep.ErrIncorrectPassword
	}
	if len(ciphertext) == 0 || len(ciphertext)%des.BlockSize != 0 {
		return nil, fmt.Errorf("%s text of %d bytes: %w", nameTripleDES, len(ciphertext), trustkeep.ErrCorrupt)
	}
	if err := spend.Derive(p.iterations, 2); err != nil {
		return nil, err
	}
	block, iv, err := p.block(password)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	pad := plain[len(plain)-1]
	ok := pad >= 1 && pad <= des.BlockSize
	if ok {
		for _, b := range plain[len(plain)-int(pad):] {
			ok = ok && b == pad
		}
	}
	if !ok {
		clear(plain)
		return nil, trustkeep.ErrIncorrectPassword
	}
	return plain[:len(plain)-int(pad)], nil
}

// seal encrypts, adding the padding of PKCS #5.
func (p *tripleDES) seal(plain, password []byte) ([]byte, error) {
	block, iv, err := p.block(password)
	if err != nil {
		return nil, err
	}
	pad := des.BlockSize - len(plain)%des.BlockSize
	out := make([]byte, len(plain)+pad)
	copy(out, plain)
	for i := len(plain); i < len(out); i++ {
		out[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out, nil
}
