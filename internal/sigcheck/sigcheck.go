// Package sigcheck bounds the signatures of certificates that are checked, since a stranger
// decides how many there are and how long each takes.
package sigcheck

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/bits"
	"sync"
)

// Budget is what signature checks may cost. Each pair of certificates is checked once. It is
// safe for concurrent use.
type Budget struct {
	mu     sync.Mutex
	checks int
	price  int
	done   map[[2]*x509.Certificate]Result
}

// Result is whether a certificate was signed by another.
type Result struct {
	Err    error // of Certificate.CheckSignatureFrom
	Signed bool  // with its key, whether or not it may
	Weak   bool  // by an algorithm that crypto/x509 considers too weak to look at
}

// NewBudget returns a budget of so many checks, which together take about so many tenths of a
// millisecond.
func NewBudget(checks, tenths int) *Budget {
	return &Budget{checks: checks, price: tenths, done: make(map[[2]*x509.Certificate]Result)}
}

// Ask checks the signature of an issuer; names are not looked at. It returns false if no more
// may be checked.
func (b *Budget) Ask(c, issuer *x509.Certificate) (Result, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	link := [2]*x509.Certificate{c, issuer}
	if found, ok := b.done[link]; ok {
		return found, true
	}
	if !b.take(issuer) {
		return Result{}, false
	}
	found := Result{Err: c.CheckSignatureFrom(issuer)}
	err := found.Err
	var constraint x509.ConstraintViolationError
	if errors.As(err, &constraint) { // then the signature was not looked at
		err = issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	}
	var insecure x509.InsecureAlgorithmError
	found.Signed, found.Weak = err == nil, errors.As(err, &insecure)
	b.done[link] = found
	return found, true
}

// Take accounts for a check by others with the key of each of these certificates. It returns
// false if they may not be made.
func (b *Budget) Take(issuers ...*x509.Certificate) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, issuer := range issuers {
		if !b.take(issuer) {
			return false
		}
	}
	return true
}

func (b *Budget) take(issuer *x509.Certificate) bool {
	price := Price(issuer.PublicKey)
	if b.checks == 0 || price > b.price {
		return false
	}
	b.checks--
	b.price -= price
	return true
}

// Asked counts the pairs that were checked.
func (b *Budget) Asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.done)
}

// Price returns about how many tenths of a millisecond checking a signature of a key takes.
func Price(public any) int {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch size := key.Params().BitSize; {
		case size > 384:
			return 40
		case size > 256:
			return 10
		case size < 256:
			return 4
		}
	case *rsa.PublicKey:
		k := key.N.BitLen() / 1024
		return 1 + k*k*bits.Len(uint(key.E))/48
	}
	return 1
}

// Meant reports whether a certificate says by key identifier that the other has issued it.
func Meant(c, issuer *x509.Certificate) bool {
	return len(c.AuthorityKeyId) > 0 && bytes.Equal(c.AuthorityKeyId, issuer.SubjectKeyId)
}
