package revocation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// CRL is a certificate revocation list (RFC 5280 section 5). It is safe for
// concurrent use.
type CRL struct {
	list    *x509.RevocationList
	size    int64
	entries map[string]*x509.RevocationListEntry // by serial number
	scope   distribution
	// unusable says why the list counts for nothing.
	unusable error

	mu     sync.Mutex
	signer []byte // key whose signature has been checked
}

// LoadCRLs reads the lists in a file: one in DER, or any number in PEM, among
// whatever else. It fails with trustkeep.ErrCorrupt, with trustkeep.ErrEmpty when
// there is none and with trustkeep.ErrLimit for a file beyond the default
// trustkeep.Limits.MaxSize.
func LoadCRLs(path string) ([]*CRL, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	defer f.Close()
	lists, err := ReadCRLs(f)
	if err != nil {
		return nil, &trustkeep.Error{Op: "revocation: load", Path: path, Err: err}
	}
	return lists, nil
}

// ReadCRLs is LoadCRLs from a reader.
func ReadCRLs(r io.Reader) ([]*CRL, error) {
	limit := trustkeep.Limits{}.WithDefaults().MaxSize
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("revocation: list of more than %d bytes: %w", limit, trustkeep.ErrLimit)
	}
	return ParseCRLs(data)
}

// ParseCRLs is LoadCRLs from memory. The data is not kept.
func ParseCRLs(data []byte) ([]*CRL, error) {
	var lists []*CRL
	rest := data
	for {
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

func parseCRL(der []byte) (*CRL, error) {
	list, err := x509.ParseRevocationList(bytes.Clone(der))
	if err != nil {
		return nil, fmt.Errorf("revocation: list: %w: %w", trustkeep.ErrCorrupt, err)
	}
	l := &CRL{list: list, size: int64(len(der)), entries: make(map[string]*x509.RevocationListEntry, len(list.RevokedCertificateEntries))}
	l.scope, l.unusable = readDistribution(list)
	for i := range list.RevokedCertificateEntries {
		e := &list.RevokedCertificateEntries[i]
		// RFC 5280 section 5.3: a list with an entry that cannot be
		// understood must not be used to clear anybody.
		for _, x := range e.Extensions {
			if x.Critical && !x.Id.Equal(oidReason) && l.unusable == nil {
				l.unusable = fmt.Errorf("list has entries with critical extension %s", x.Id)
			}
		}
		l.entries[string(e.SerialNumber.Bytes())] = e
	}
	return l, nil
}

// find returns the entry of a certificate, nil for none.
func (l *CRL) find(serial *big.Int) *x509.RevocationListEntry {
	if serial == nil {
		return nil
	}
	return l.entries[string(serial.Bytes())]
}

// name of the list's issuer, fit to be printed.
func (l *CRL) name() string { return trustkeep.PrintableName(l.list.RawIssuer) }

// Issuer returns the DER of the name of the authority that issued the list.
func (l *CRL) Issuer() []byte { return bytes.Clone(l.list.RawIssuer) }

// Len is the number of certificates that the list revokes.
func (l *CRL) Len() int { return len(l.entries) }

// String describes the list: its issuer, length and validity.
func (l *CRL) String() string {
	const day = "2006-01-02 15:04"
	return fmt.Sprintf("list of %s: %d revoked, of %s to %s", l.name(), l.Len(), l.list.ThisUpdate.UTC().Format(day), l.list.NextUpdate.UTC().Format(day))
}

var (
	oidReason       = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDelta        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistribution = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidNumber       = asn1.ObjectIdentifier{2, 5, 29, 20}
)

// distribution is the extension that says what a list covers (RFC 5280 section
// 5.2.5).
type distribution struct {
	point     bool     // it is for one distribution point
	urls      []string // of that point
	onlyUsers bool
	onlyCAs   bool
	reasons   bool // only some
}

// parseDistribution reads the extension; the error says why a list under it
// counts for nothing.
func parseDistribution(der []byte) (d distribution, err error) {
	errMalformed := errors.New("list has a malformed distribution point")
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return d, errMalformed
	}
	for fields := outer.Bytes; len(fields) > 0; {
		var f asn1.RawValue
		if fields, err = asn1.Unmarshal(fields, &f); err != nil || f.Class != asn1.ClassContextSpecific {
			return d, errMalformed
		}
		isTrue := len(f.Bytes) == 1 && f.Bytes[0] != 0
		switch f.Tag {
		case 0:
			d.point = true
			if d.urls, err = pointURLs(f.Bytes); err != nil {
				return d, err
			}
		case 1:
			d.onlyUsers = isTrue
		case 2:
			d.onlyCAs = isTrue
		case 3:
			d.reasons = true
		case 4, 5:
			if isTrue {
				return d, errors.New("list is indirect or for attribute certificates")
			}
		default:
			return d, errMalformed
		}
	}
	return d, nil
}

// readDistribution finds the scope of a list; the error says why the list as a
// whole counts for nothing.
func readDistribution(list *x509.RevocationList) (d distribution, err error) {
	for _, e := range list.Extensions {
		switch {
		case e.Id.Equal(oidDelta):
			return d, errors.New("list is a delta list")
		case e.Id.Equal(oidDistribution):
			if d, err = parseDistribution(e.Value); err != nil {
				return d, err
			}
		case e.Id.Equal(oidAuthorityKey), e.Id.Equal(oidNumber):
		case e.Critical:
			return d, fmt.Errorf("list has critical extension %s", e.Id)
		}
	}
	return d, nil
}

// pointURLs reads the URLs of a DistributionPointName: GeneralNames under tag 0,
// of which URLs have tag 6.
func pointURLs(der []byte) (urls []string, err error) {
	var full asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &full); err != nil || len(rest) > 0 || full.Class != asn1.ClassContextSpecific || full.Tag != 0 {
		return nil, errors.New("list has a distribution point that is not a full name")
	}
	for names := full.Bytes; len(names) > 0; {
		var n asn1.RawValue
		if names, err = asn1.Unmarshal(names, &n); err != nil {
			return nil, errors.New("list has a malformed distribution point")
		}
		if n.Class == asn1.ClassContextSpecific && n.Tag == 6 {
			urls = append(urls, string(n.Bytes))
		}
	}
	return urls, nil
}

// covers reports whether silence of the list about the certificate means that
// it is not revoked.
func (d distribution) covers(cert *x509.Certificate) error {
	switch {
	case d.onlyUsers && cert.IsCA, d.onlyCAs && !cert.IsCA:
		return errors.New("list is for other kinds of certificates")
	case d.reasons:
		return errors.New("list is for some reasons only")
	}
	if !d.point {
		return nil
	}
	// Lists of an authority may be divided by distribution point; this one
	// must be the certificate's.
	if slices.ContainsFunc(cert.CRLDistributionPoints, func(url string) bool { return slices.Contains(d.urls, url) }) {
		return nil
	}
	return errors.New("list is of another distribution point")
}

// listAnswer reads a list. The error is nil if the certificate is not revoked,
// wraps trustkeep.ErrRevoked, or says why the list does not count.
func (c *Checker) listAnswer(q question, l *CRL) error {
	if !bytes.Equal(l.list.RawIssuer, q.cert.RawIssuer) {
		return errors.New("list is of another issuer")
	}
	if err := l.signedBy(q.issuer); err != nil {
		return err
	}
	if l.unusable != nil {
		return l.unusable
	}
	// A revocation outlives the list that announced it, save for those that
	// are on hold, which may end.
	e := l.find(q.cert.SerialNumber)
	const hold, removed = 6, 8
	if e != nil && e.ReasonCode != removed && e.ReasonCode != hold && !e.RevocationTime.After(q.at.Add(c.o.Skew)) {
		return revoked(e.RevocationTime, e.ReasonCode, "the list of "+l.name())
	}
	if _, err := c.fresh(l.list.ThisUpdate, l.list.NextUpdate, q.at); err != nil {
		return fmt.Errorf("the list of %s %w", l.name(), err)
	}
	if e != nil && e.ReasonCode == hold {
		return revoked(e.RevocationTime, e.ReasonCode, "the list of "+l.name())
	}
	return l.scope.covers(q.cert)
}

// signedBy checks the signature, once for each issuer.
func (l *CRL) signedBy(issuer *x509.Certificate) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signer != nil && bytes.Equal(l.signer, issuer.Raw) {
		return nil
	}
	if err := l.list.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("list is not signed by the issuer: %w", err)
	}
	l.signer = issuer.Raw
	return nil
}

// askList fetches a list, or takes the one that is kept.
func (c *Checker) askList(ctx context.Context, q question, url string) error {
	// By issuer: a certificate of another that names this URL makes its list no worse.
	issuer := sha256.Sum256(q.issuer.Raw)
	k, err := c.cache.get(ctx, "crl "+url+" "+string(issuer[:]), func(ctx context.Context) (*kept, error) {
		data, err := c.o.FetchCRL(ctx, url)
		if err != nil {
			return nil, fmt.Errorf("CRL: %w", err)
		}
		lists, err := ParseCRLs(data)
		if err != nil {
			return nil, err
		}
		l := lists[0]
		if err := l.signedBy(q.issuer); err != nil {
			return nil, err
		}
		until, err := c.fresh(l.list.ThisUpdate, l.list.NextUpdate, q.at)
		if err != nil {
			return nil, fmt.Errorf("the list of %s %w", l.name(), err)
		}
		// Entries cost more in memory than on the wire.
		return &kept{crl: l, size: 4 * l.size, until: until}, nil
	})
	if err != nil {
		return err
	}
	return c.listAnswer(q, k.crl)
}
