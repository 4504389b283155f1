package openssh

import (
	"crypto"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

const magic = "openssh-key-v1\x00"

// file is the outer structure of PROTOCOL.key section 1.
type file struct {
	cipher  string
	kdf     string
	rounds  uint32 // of bcrypt
	salt    []byte // likewise
	public  []byte // SSH public key
	keyType string // of the public key
	private []byte // section 3, encrypted unless kdf is "none"
	tag     []byte // of a cipher that authenticates
}

// maxName bounds the names of ciphers and keys.
const maxName = 64

func parse(data []byte) (*file, error) {
	f := new(file)
	in := cryptobyte.String(data)
	var prefix, cipher, kdf, options, public, private, keyType []byte
	var keys uint32
	if !in.ReadBytes(&prefix, len(magic)) || string(prefix) != magic ||
		!readString(&in, &cipher) || !readString(&in, &kdf) || !readString(&in, &options) ||
		!in.ReadUint32(&keys) || len(cipher) > maxName || len(kdf) > maxName {
		return nil, corrupt("header")
	}
	if keys != 1 {
		return nil, fmt.Errorf("%d keys in one file: %w", keys, trustkeep.ErrUnsupported)
	}
	if !readString(&in, &public) || !readString(&in, &private) ||
		!in.Empty() && (len(in) != tagSize || !isAEAD(string(cipher))) {
		return nil, corrupt("key")
	}
	f.tag = in
	blob := cryptobyte.String(public)
	if !readString(&blob, &keyType) || len(keyType) > maxName {
		return nil, corrupt("public key")
	}
	f.cipher, f.kdf, f.public, f.keyType, f.private = string(cipher), string(kdf), public, string(keyType), private
	if (f.kdf == "none") != (f.cipher == "none") {
		return nil, corrupt("cipher without key derivation or the reverse")
	}
	if f.kdf == "bcrypt" {
		opts := cryptobyte.String(options)
		var salt []byte
		if !readString(&opts, &salt) || !opts.ReadUint32(&f.rounds) || !opts.Empty() || len(salt) == 0 || f.rounds == 0 {
			return nil, corrupt("parameters of bcrypt")
		}
		f.salt = salt
	}
	return f, nil
}

// tagSize is the length of the tag that an AEAD cipher puts behind the private
// part.
const tagSize = 16

func isAEAD(cipher string) bool {
	return strings.HasSuffix(cipher, "-gcm@openssh.com") || cipher == "chacha20-poly1305@openssh.com"
}

// publicKey returns the key that the file names in the clear, nil where it is
// of a kind that Go does not have.
func (f *file) publicKey() crypto.PublicKey {
	key, err := ssh.ParsePublicKey(f.public)
	if err != nil {
		return nil
	}
	if k, ok := key.(ssh.CryptoPublicKey); ok {
		return k.CryptoPublicKey()
	}
	return nil
}

// plainKey is the private part of a key.
type plainKey struct {
	fields  [][]byte
	comment string
}

// fieldsOf is how many fields the private part has between type and comment.
func fieldsOf(keyType string) (n int, ok bool) {
	switch keyType {
	case "ssh-ed25519":
		return 2, true // public, private
	case typeDSA:
		return 5, true // p, q, g, y, x
	case "ssh-rsa":
		return 6, true // n, e, d, iqmp, p, q
	}
	if strings.HasPrefix(keyType, "ecdsa-sha2-") {
		return 3, true // curve, public, d
	}
	return 0, false
}

// plain reads the private part of a key after it was decrypted. Of a type that
// is not known it reads nothing.
func (f *file) plain(private []byte) (p plainKey, err error) {
	in := cryptobyte.String(private)
	var check1, check2 uint32
	var keyType, comment []byte
	if !in.ReadUint32(&check1) || !in.ReadUint32(&check2) || check1 != check2 ||
		!readString(&in, &keyType) || string(keyType) != f.keyType {
		return p, corrupt("private part")
	}
	n, known := fieldsOf(f.keyType)
	if !known {
		return p, nil
	}
	p.fields = make([][]byte, n)
	for i := range p.fields {
		if !readString(&in, &p.fields[i]) {
			return p, corrupt("private part")
		}
	}
	if !readString(&in, &comment) {
		return p, corrupt("private part")
	}
	for i, b := range in { // padding to the block size: 1, 2, 3, ...
		if int(b) != i+1 {
			return p, corrupt("padding")
		}
	}
	p.comment = string(comment)
	return p, nil
}

// readString reads a string of RFC 4251 section 5.
func readString(in *cryptobyte.String, out *[]byte) bool {
	var n uint32
	return in.ReadUint32(&n) && uint64(n) <= uint64(len(*in)) && in.ReadBytes(out, int(n))
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }
