package openssh

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 bcrypt_pbkdf is made of it
)

// bcryptBlock is how many bytes one run of bcrypt yields.
const bcryptBlock = 32

// bcryptPBKDF is bcrypt_pbkdf of OpenBSD (bcrypt_pbkdf(3)): PBKDF2 with a bcrypt of
// SHA-512 hashes for its function, whose blocks are interleaved in the output.
// password and salt are not empty.
func bcryptPBKDF(password, salt []byte, rounds uint32, n int) ([]byte, error) {
	blocks := (n + bcryptBlock - 1) / bcryptBlock
	key := make([]byte, blocks*bcryptBlock)
	defer clear(key)
	hashed := sha512.Sum512(password)
	defer clear(hashed[:])
	for i := range blocks {
		input := sha512.Sum512(binary.BigEndian.AppendUint32(append([]byte{}, salt...), uint32(i+1)))
		u, err := bcryptHash(hashed[:], input[:])
		if err != nil {
			return nil, err
		}
		t := u
		for range rounds - 1 {
			input = sha512.Sum512(u[:])
			if u, err = bcryptHash(hashed[:], input[:]); err != nil {
				return nil, err
			}
			subtle.XORBytes(t[:], t[:], u[:])
		}
		for j, b := range t {
			key[j*blocks+i] = b
		}
	}
	return append([]byte{}, key[:n]...), nil
}

// bcryptHash is bcrypt with 64 expansions, whose words come out little-endian.
func bcryptHash(password, salt []byte) (out [bcryptBlock]byte, err error) {
	c, err := blowfish.NewSaltedCipher(password, salt)
	if err != nil {
		return out, err
	}
	for range 64 {
		blowfish.ExpandKey(salt, c)
		blowfish.ExpandKey(password, c)
	}
	copy(out[:], "OxychromaticBlowfishSwatDynamite")
	for i := 0; i < bcryptBlock; i += blowfish.BlockSize {
		for range 64 {
			c.Encrypt(out[i:], out[i:i+blowfish.BlockSize])
		}
	}
	for i := 0; i < bcryptBlock; i += 4 {
		binary.LittleEndian.PutUint32(out[i:], binary.BigEndian.Uint32(out[i:]))
	}
	return out, nil
}
