package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
)

// KeyType is a kind of private key.
type KeyType uint8

// The kinds of key. The zero KeyType is the default of its context.
const (
	P256 KeyType = iota + 1
	P384
	Ed25519
	// RSA2048 keys come from a small prepared set, which saves a tenth of a
	// second each. No key is handed out twice by one PKI: the fifth and later
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
	switch t {
	case 0, P256:
		return p.newECDSA(elliptic.P256())
	case P384:
		return p.newECDSA(elliptic.P384())
	case Ed25519:
		seed := p.draw("ed25519")
		return ed25519.NewKeyFromSeed(seed[:])
	case RSA2048:
		return p.newRSA()
	}
	p.tb.Fatalf("testpki: key type %d", t)
	return nil
}

func (p *PKI) newECDSA(curve elliptic.Curve) crypto.Signer {
	p.tb.Helper()
	// A scalar of 256 bits is a valid one on each curve but for 1 draw in
	// 2^32; for tests it need not fill the larger curve's range.
	scalar := make([]byte, (curve.Params().BitSize+7)/8)
	for {
		random := p.draw("ecdsa")
		copy(scalar[len(scalar)-len(random):], random[:])
		if key, err := ecdsa.ParseRawPrivateKey(curve, scalar); err == nil {
			return key
		}
	}
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

// signatureHash returns the hash that crypto/x509 chooses for a key's
// signatures.
func signatureHash(key crypto.Signer) crypto.Hash {
	switch k := key.Public().(type) {
	case ed25519.PublicKey:
		return 0
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P384() {
			return crypto.SHA384
		}
	}
	return crypto.SHA256
}
