package revocation

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// CRL is a certificate revocation list (RFC 5280 section 5). It takes little more memory than
// its DER. It is safe for concurrent use.
type CRL struct {
	head    *x509.RevocationList // without entries
	entries []byte               // DER of the entries, within that of the list
	index   []uint32             // where each entry begins, by serial number
	scope   scope
	// unusable says why the list cannot clear anybody.
	unusable error

	mu     sync.Mutex
	signed map[issuerID]error // whose key has signed it, as far as that was asked
}

// issuerID stands for the name and the key of an authority, which may have several
// certificates.
type issuerID [sha256.Size]byte

func idOf(issuer *x509.Certificate) (id issuerID) {
	h := sha256.New()
	h.Write(issuer.RawSubject) // DER says where it ends
	h.Write(issuer.RawSubjectPublicKeyInfo)
	h.Sum(id[:0])
	return id
}

// LoadCRLs reads the lists in a file: one in DER, or any number in PEM, among
// whatever else. It fails with trustkeep.ErrCorrupt, with trustkeep.ErrEmpty when
// there is none and with trustkeep.ErrLimit for a file beyond the default
// trustkeep.Limits.MaxSize.
func LoadCRLs(path string) ([]*CRL, error) {
	data, err := storefile.ReadFile(path, 0)
	if pathError := (*os.PathError)(nil); errors.As(err, &pathError) {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	var lists []*CRL
	if err == nil {
		lists, err = parseCRLs(data)
	}
	if err != nil {
		return nil, &trustkeep.Error{Op: "revocation: load", Path: path, Err: err}
	}
	return lists, nil
}

// ReadCRLs is LoadCRLs from a reader.
func ReadCRLs(r io.Reader) ([]*CRL, error) {
	data, err := storefile.ReadAll(r, 0)
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	return parseCRLs(data)
}

// ParseCRLs is LoadCRLs from memory. The data is not kept.
func ParseCRLs(data []byte) ([]*CRL, error) { return parseCRLs(bytes.Clone(data)) }

// parseCRLs is ParseCRLs of data that the lists may keep.
func parseCRLs(data []byte) ([]*CRL, error) { return parseSome(data, math.MaxInt) }

// parseSome reads no more than the first lists.
func parseSome(data []byte, most int) ([]*CRL, error) {
	var lists []*CRL
	rest := data
	for len(lists) < most {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			continue
		}
		l, err := parseCRL(block.Bytes)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	if len(lists) > 0 {
		return lists, nil
	}
	if len(data) == 0 || bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("revocation: no list found: %w", trustkeep.ErrEmpty)
	}
	l, err := parseCRL(data)
	if err != nil {
		return nil, err
	}
	return []*CRL{l}, nil
}

// size is the memory that a list takes.
func (l *CRL) size() int64 {
	return int64(len(l.head.Raw)+4*cap(l.index)) + 2048
}

// name of the list's issuer, fit to be printed.
func (l *CRL) name() string { return trustkeep.PrintableName(l.head.RawIssuer) }

// Issuer returns the DER of the name of the authority that issued the list.
func (l *CRL) Issuer() []byte { return bytes.Clone(l.head.RawIssuer) }

// Len is the number of certificates that the list revokes.
func (l *CRL) Len() (n int) {
	for i := range l.index {
		if i == 0 || !bytes.Equal(l.serial(i), l.serial(i-1)) {
			n++
		}
	}
	return n
}

// String describes the list: its issuer, length and validity.
func (l *CRL) String() string {
	const day = "2006-01-02 15:04"
	return fmt.Sprintf("list of %s: %d revoked, of %s to %s", l.name(), l.Len(), l.head.ThisUpdate.UTC().Format(day), l.head.NextUpdate.UTC().Format(day))
}

// maxSigners bounds for how many keys of its issuer's name a list remembers whether they
// signed it.
const maxSigners = 16

// signedBy checks the signature, once for each key.
func (l *CRL) signedBy(issuer *x509.Certificate, id issuerID) error {
	switch {
	case issuer.Version == 3 && !issuer.BasicConstraintsValid, issuer.BasicConstraintsValid && !issuer.IsCA,
		issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		// What CheckSignatureFrom asks of the certificate, whose key may have others.
		return errors.New("list is not signed by the issuer: it must not sign lists")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err, known := l.signed[id]
	if !known {
		if err = l.head.CheckSignatureFrom(issuer); err != nil {
			err = fmt.Errorf("list is not signed by the issuer: %w", err)
		}
		if l.signed == nil || len(l.signed) >= maxSigners {
			l.signed = make(map[issuerID]error)
		}
		l.signed[id] = err
	}
	return err
}
