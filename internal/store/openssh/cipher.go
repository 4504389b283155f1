package openssh

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/poly1305" //lint:ignore SA1019 the construction of OpenSSH, which is not that of RFC 8439

	"github.com/trustkeep/trustkeep"
)

// cipherSpec is a cipher by which ssh-keygen encrypts keys.
type cipherSpec struct {
	key, iv, block int // bytes
	open           func(key, iv, ciphertext, tag []byte) (plain []byte, ok bool)
}

// aead is the tag length of a cipher that authenticates.
func (s cipherSpec) aead() bool { return s.open != nil }

// ciphers are those of OpenSSH 10 and earlier (cipher.c). The block size is that of
// the padding.
var ciphers = map[string]cipherSpec{
	"3des-cbc":                      {24, 8, 8, nil},
	"aes128-cbc":                    {16, 16, 16, nil},
	"aes192-cbc":                    {24, 16, 16, nil},
	"aes256-cbc":                    {32, 16, 16, nil},
	"rijndael-cbc@lysator.liu.se":   {32, 16, 16, nil},
	"aes128-ctr":                    {16, 16, 16, nil},
	"aes192-ctr":                    {24, 16, 16, nil},
	"aes256-ctr":                    {32, 16, 16, nil},
	"aes128-gcm@openssh.com":        {16, 12, 16, openGCM},
	"aes256-gcm@openssh.com":        {32, 12, 16, openGCM},
	"chacha20-poly1305@openssh.com": {64, 0, 8, openChaCha},
}

// decrypt returns the private part, which begins with two equal check numbers.
func (f *file) decrypt(password []byte) ([]byte, error) {
	spec := ciphers[f.cipher]
	derived, err := bcryptPBKDF(password, f.salt, f.rounds, spec.key+spec.iv)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	defer clear(derived)
	key, iv := derived[:spec.key], derived[spec.key:]
	if len(f.private) == 0 || len(f.private)%spec.block != 0 || spec.aead() != (len(f.tag) > 0) {
		return nil, corrupt("encrypted part")
	}
	if spec.aead() {
		plain, ok := spec.open(key, iv, f.private, f.tag)
		if !ok {
			return nil, trustkeep.ErrIncorrectPassword
		}
		return plain, nil
	}
	newCipher := aes.NewCipher
	if f.cipher == "3des-cbc" {
		newCipher = des.NewTripleDESCipher
	}
	block, err := newCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err)
	}
	plain := make([]byte, len(f.private))
	switch f.cipher {
	case "aes128-ctr", "aes192-ctr", "aes256-ctr":
		cipher.NewCTR(block, iv).XORKeyStream(plain, f.private)
	default:
		cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, f.private)
	}
	// The check numbers are equal by chance for one wrong password in 2^32.
	if len(plain) < 8 || !bytes.Equal(plain[:4], plain[4:8]) {
		clear(plain)
		return nil, trustkeep.ErrIncorrectPassword
	}
	return plain, nil
}

func openGCM(key, iv, ciphertext, tag []byte) ([]byte, bool) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, false
	}
	plain, err := aead.Open(nil, iv, append(append([]byte{}, ciphertext...), tag...), nil)
	return plain, err == nil
}

// openChaCha is PROTOCOL.chacha20poly1305 for a packet of number 0 without a length:
// the first half of the key encrypts, under block 0 the tag's key and from block 1
// on the content.
func openChaCha(key, _, ciphertext, tag []byte) ([]byte, bool) {
	stream, err := chacha20.NewUnauthenticatedCipher(key[:chacha20.KeySize], make([]byte, chacha20.NonceSize))
	if err != nil {
		return nil, false
	}
	var macKey [32]byte
	stream.XORKeyStream(macKey[:], macKey[:])
	if len(tag) != poly1305.TagSize || !poly1305.Verify((*[poly1305.TagSize]byte)(tag), ciphertext, &macKey) {
		return nil, false
	}
	stream.SetCounter(1)
	plain := make([]byte, len(ciphertext))
	stream.XORKeyStream(plain, ciphertext)
	return plain, true
}
