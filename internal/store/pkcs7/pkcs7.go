// Package pkcs7 reads and writes files of certificates and revocation lists in
// PKCS#7, .p7b and .p7c: SignedData that nobody signed (RFC 5652 section 5.1,
// "degenerate").
package pkcs7

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Content types of RFC 5652 section 4 and 5.1.
var (
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
)

// Source is what Parse records in entry.Store.Source.
type Source struct {
	// Armored: the file was PEM.
	Armored bool
}

// Parse reads a ContentInfo in BER or DER. Every certificate becomes a Trusted
// entry under an alias made up from it, every revocation list a CRL entry, in
// the order of the file; signatures are not looked at.
//
// Errors wrap trustkeep.ErrCorrupt, ErrLimit, ErrUnsupported for other content
// than SignedData, and ErrEmpty where that holds neither certificates nor
// lists. Entries share memory with data.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, fmt.Errorf("pkcs7: %w", err)
	}
	certs, others, err := Read(data, opts)
	if err != nil {
		return nil, fmt.Errorf("pkcs7: %w", err)
	}
	for _, e := range certs {
		e.Alias, e.Kind = entry.NameFor(e.Chain[0]), entry.Trusted
	}
	entries := slices.Concat(certs, others)
	entry.Deduplicate(entries)
	return &entry.Store{Format: entry.PKCS7, Entries: entries, Source: Source{}, Unauthenticated: true}, nil
}

// Read is Parse for a part of another file: the certificates come without kind
// and alias, apart from revocation lists and from what is not understood, which
// is Opaque with an error.
func Read(data []byte, opts entry.ReadOptions) (certs, others []*entry.Entry, err error) {
	sets, err := readSets(data, opts)
	if err != nil {
		return nil, nil, err
	}
	for _, set := range sets {
		for !set.Empty() {
			e, err := readMember(&set, opts)
			if err != nil {
				return nil, nil, err
			}
			if e.Chain != nil {
				certs = append(certs, e)
			} else {
				others = append(others, e)
			}
		}
	}
	if len(certs)+len(others) == 0 {
		return nil, nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	}
	return certs, others, nil
}

// readSets finds the contents of the fields certificates and crls.
func readSets(data []byte, opts entry.ReadOptions) (sets []ber.Input, err error) {
	in := ber.New(data, ber.Rules{MaxDepth: opts.Budget.MaxDepth()})
	info, err := descend(&in, ber.Sequence)
	if err != nil {
		return nil, err
	}
	if err := in.End(); err != nil {
		return nil, err
	}
	contentType, err := info.Read(ber.OID)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(contentType.Content, oidContent(oidSignedData)) {
		return nil, fmt.Errorf("content other than SignedData: %w", trustkeep.ErrUnsupported)
	}
	explicit, err := descend(&info, ber.Context(0))
	if err != nil {
		return nil, err
	}
	signed, err := descend(&explicit, ber.Sequence)
	if err != nil {
		return nil, err
	}
	for _, t := range []ber.Tag{ber.Integer, ber.Set, ber.Sequence} { // version, digestAlgorithms, encapContentInfo
		if _, err := signed.Read(t); err != nil {
			return nil, err
		}
	}
	for _, t := range []ber.Tag{ber.Context(0), ber.Context(1)} { // certificates, crls
		field, present, err := signed.ReadOptional(t)
		if err != nil {
			return nil, err
		}
		if present {
			set, err := field.Children()
			if err != nil {
				return nil, err
			}
			sets = append(sets, set)
		}
	}
	if _, err := signed.Read(ber.Set); err != nil { // signerInfos
		return nil, err
	}
	return sets, signed.End()
}

func descend(in *ber.Input, t ber.Tag) (ber.Input, error) {
	e, err := in.Read(t)
	if err != nil {
		return ber.Input{}, err
	}
	return e.Children()
}

// readMember reads one CertificateChoices or RevocationInfoChoice (RFC 5652
// section 10.2). Attribute certificates and other formats are tagged, X.509 is
// not.
func readMember(set *ber.Input, opts entry.ReadOptions) (*entry.Entry, error) {
	member, err := set.Next()
	if err != nil {
		return nil, err
	}
	if err := opts.Budget.Entries(1); err != nil {
		return nil, err
	}
	if !member.Constructed || member.Tag != ber.Sequence && (member.Tag < ber.Context(0) || member.Tag > ber.Context(3)) {
		return nil, fmt.Errorf("%v among the certificates: %w", member.Tag, trustkeep.ErrCorrupt)
	}
	der, err := member.DER()
	if err != nil {
		return nil, err
	}
	if entry.IsCRL(der) {
		return entry.NewCRL(der)
	}
	cert := entry.NewCertificate(der)
	if _, ok := cert.Outline(); ok && member.Tag == ber.Sequence {
		return &entry.Entry{Unnamed: true, Chain: []*entry.Certificate{cert}}, nil
	}
	e := &entry.Entry{Alias: "unknown", Unnamed: true, Kind: entry.Opaque, Raw: der}
	if member.Tag == ber.Sequence {
		e.Err = fmt.Errorf("pkcs7: certificate: %w", trustkeep.ErrCorrupt)
	} else {
		e.Err = fmt.Errorf("pkcs7: certificate of another kind than X.509: %w", trustkeep.ErrUnsupported)
	}
	return e, nil
}

// Encode writes certificates and revocation lists as degenerate SignedData in
// DER. DER sorts the members of a SET, so the order of the entries is lost, and
// so are the aliases. What the format cannot hold, keys above all, is
// trustkeep.ErrUnsupported with the alias; a store without any certificate or
// list is trustkeep.ErrEmpty.
func Encode(s *entry.Store) ([]byte, error) {
	var certs, crls [][]byte
	for _, e := range s.Entries {
		switch {
		case e.Kind == entry.CRL:
			crls = append(crls, e.Raw)
		case (e.Kind == entry.Trusted || e.Kind == entry.Opaque) && len(e.Chain) > 0 && e.Chain[0].Type == "X.509":
			certs = append(certs, e.Chain[0].Raw)
		case e.Kind == entry.Opaque && isMember(e.Raw):
			certs = append(certs, e.Raw)
		default:
			return nil, fmt.Errorf("pkcs7: alias %q: only certificates and revocation lists fit: %w", trustkeep.Printable(e.Alias), trustkeep.ErrUnsupported)
		}
	}
	if len(certs)+len(crls) == 0 {
		return nil, fmt.Errorf("pkcs7: no certificate: %w", trustkeep.ErrEmpty)
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1) // version: no signer and X.509 alone (RFC 5652 section 5.1)
				b.AddASN1(tag.SET, func(*cryptobyte.Builder) {})
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
				addSet(b, 0, certs)
				addSet(b, 1, crls)
				b.AddASN1(tag.SET, func(*cryptobyte.Builder) {})
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("pkcs7: %w: %v", trustkeep.ErrUnsupported, err)
	}
	return der, nil
}

// isMember reports whether raw is an Opaque entry of this package: one element
// with a context-specific tag, or a broken certificate.
func isMember(raw []byte) bool {
	in := cryptobyte.String(raw)
	var t tag.Tag
	var element cryptobyte.String
	return in.ReadAnyASN1Element(&element, &t) && in.Empty() && (t == tag.SEQUENCE || t&0xc0 == 0x80)
}

// addSet adds an implicitly tagged SET OF, in the order that DER wants (X.690
// section 11.6) and each member once; an empty one is left out.
func addSet(b *cryptobyte.Builder, number uint8, members [][]byte) {
	if len(members) == 0 {
		return
	}
	slices.SortFunc(members, bytes.Compare)
	b.AddASN1(tag.Tag(number).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		for _, m := range slices.CompactFunc(members, bytes.Equal) {
			b.AddBytes(m)
		}
	})
}

// oidContent returns the content octets of an object identifier.
func oidContent(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	der, _ := b.Bytes() // cannot fail for the constants above
	return der[2:]
}
