package revocation

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

var (
	oidDelta        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidDistribution = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidNumber       = asn1.ObjectIdentifier{2, 5, 29, 20}
)

// scope is what a list covers: the extension issuingDistributionPoint (RFC 5280 section
// 5.2.5).
type scope struct {
	id         string // content of the extension: lists of one scope have one numbering
	point      bool   // it is for one distribution point
	urls       []string
	onlyUsers  bool
	onlyCAs    bool
	attributes bool // its entries are not about public key certificates
	reasons    bool // only some
	indirect   bool
	delta      bool // what has changed since another list
}

// readScope finds the scope of a list; the error says why silence of the list means nothing.
func readScope(list *x509.RevocationList) (s scope, unusable error) {
	for _, e := range list.Extensions {
		var err error
		switch {
		case e.Id.Equal(oidDelta):
			s.delta = true
			err = errors.New("list is a delta list")
		case e.Id.Equal(oidDistribution):
			s.id = string(e.Value)
			err = s.parse(e.Value)
		case e.Id.Equal(oidAuthorityKey), e.Id.Equal(oidNumber):
		case e.Critical:
			err = fmt.Errorf("list has critical extension %s", e.Id)
		}
		if unusable == nil {
			unusable = err
		}
	}
	return s, unusable
}

func (s *scope) parse(der []byte) (unusable error) {
	errMalformed := errors.New("list has a malformed distribution point")
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return errMalformed
	}
	for fields := outer.Bytes; len(fields) > 0; {
		var f asn1.RawValue
		var err error
		if fields, err = asn1.Unmarshal(fields, &f); err != nil || f.Class != asn1.ClassContextSpecific {
			return errMalformed
		}
		isTrue := len(f.Bytes) == 1 && f.Bytes[0] != 0
		switch f.Tag {
		case 0:
			s.point = true
			if s.urls, err = pointURLs(f.Bytes); unusable == nil {
				unusable = err // other fields may say more
			}
		case 1:
			s.onlyUsers = isTrue
		case 2:
			s.onlyCAs = isTrue
		case 3:
			s.reasons = true
		case 4:
			s.indirect = isTrue
		case 5:
			s.attributes = isTrue
		default:
			return errMalformed
		}
	}
	return unusable
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

// covers returns nil if silence of the list about the certificate means that it is not
// revoked.
func (l *CRL) covers(cert *x509.Certificate) error {
	s := l.scope
	switch {
	case l.unusable != nil:
		return l.unusable
	case s.indirect:
		return errors.New("list is indirect")
	case s.onlyUsers && cert.IsCA, s.onlyCAs && !cert.IsCA:
		return errors.New("list is for other kinds of certificates")
	case s.reasons:
		return errors.New("list is for some reasons only")
	case !s.point:
		return nil
	}
	// Lists of an authority may be divided by distribution point; this one
	// must be the certificate's.
	if slices.ContainsFunc(cert.CRLDistributionPoints, func(url string) bool { return slices.Contains(s.urls, url) }) {
		return nil
	}
	return errors.New("list is of another distribution point")
}
