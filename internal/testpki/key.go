package testpki

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"

	"github.com/trustkeep/trustkeep/internal/certgen"
)

// KeyType is a kind of private key.
type KeyType uint8

// The kinds of key. The zero KeyType is the default of its context.
const (
	P256 KeyType = iota + 1
	P384
	Ed25519
	// RSA2048 keys come from a small prepared set, which saves a tenth of a
	// second each. No key is handed out twice by one PKI: the ninth and later
	// are generated. Two PKIs share the prepared keys.
	RSA2048
)

// rsaKeys holds the prepared keys, PKCS#8 in blocks of type TESTING KEY. The
// name keeps secret scanners calm; the keys protect nothing.
//
//go:embed rsa2048.pem
var rsaKeys []byte

func (p *PKI) newKey(t KeyType) crypto.Signer {
	p.tb.Helper()
	if t == 0 {
		t = p.options.KeyType
	}
	if t == RSA2048 {
		return p.newRSA()
	}
	key, err := certgen.NewKey(map[KeyType]certgen.KeyType{0: certgen.ECP256, P256: certgen.ECP256, P384: certgen.ECP384, Ed25519: certgen.Ed25519}[t], drawing{p})
	if err != nil {
		p.tb.Fatalf("testpki: key type %d: %v", t, err)
	}
	return key
}

func (p *PKI) newRSA() crypto.Signer {
	p.tb.Helper()
	n := p.rsaUsed.Add(1)
	rest := rsaKeys
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if n--; n > 0 {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			p.tb.Fatalf("testpki: prepared key: %v", err)
		}
		return key.(*rsa.PrivateKey)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.tb.Fatalf("testpki: %v", err)
	}
	return key
}
