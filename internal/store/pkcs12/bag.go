package pkcs12

import (
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// readContents reads SafeContents (RFC 7292 section 4.2).
func (r *reader) readContents(content []byte, out *bags) error {
	in := ber.New(content, ber.Rules{MaxDepth: r.opts.Budget.MaxDepth()})
	e, err := in.Read(ber.Sequence)
	if err != nil {
		return err
	}
	if err := in.End(); err != nil {
		return err
	}
	return r.readBags(e, out)
}

// readBags reads the bags of one SafeContents. Its recursion is bounded by
// that of ber.
func (r *reader) readBags(contents ber.Element, out *bags) error {
	in, err := contents.Children()
	if err != nil {
		return err
	}
	// Bags are counted before they become entries, which are much larger, and no further
	// than the limit.
	var starts []ber.Input // at every bagsPerTask-th bag
	for !in.Empty() {
		starts = append(starts, in)
		n := 0
		for ; n < bagsPerTask && !in.Empty(); n++ {
			if _, err := in.Read(ber.Sequence); err != nil {
				return err
			}
		}
		if err := r.opts.Budget.Entries(n); err != nil {
			return err
		}
	}
	parts := make([]bags, len(starts))
	errs := make([]error, len(starts))
	entry.Parallel(len(starts), func(i int) {
		errs[i] = r.readSome(starts[i], &parts[i])
	})
	for i := range parts {
		if errs[i] != nil {
			return errs[i]
		}
		out.append(&parts[i])
	}
	return nil
}

// readSome reads up to bagsPerTask bags.
func (r *reader) readSome(in ber.Input, out *bags) error {
	for n := 0; n < bagsPerTask && !in.Empty(); n++ {
		bag, err := in.Read(ber.Sequence)
		if err != nil {
			return err
		}
		if err := r.readBag(bag, out); err != nil {
			return err
		}
	}
	return nil
}

// bagsPerTask is how many bags make another goroutine worth it.
const bagsPerTask = 256

// readBag reads one SafeBag. A bag that makes no sense inside becomes an
// opaque entry; only limits are errors.
func (r *reader) readBag(bag ber.Element, out *bags) error {
	b, err := r.splitBag(bag)
	if err == nil {
		switch string(b.oid) {
		case oidKeyBag, oidShroudedBag:
			err = r.readKey(b, out)
		case oidCertBag:
			err = r.readCertificate(b, out)
		case oidCRLBag:
			err = r.readCRL(b, out)
		case oidSecretBag:
			err = r.readSecret(b, out)
		case oidSafeBag:
			if b.value.Tag != ber.Sequence {
				err = fmt.Errorf("nested safe: %w", trustkeep.ErrCorrupt)
				break
			}
			return r.readBags(b.value, out)
		default:
			err = fmt.Errorf("type of bag: %w", trustkeep.ErrUnsupported)
		}
	}
	if err == nil || isLimit(err) {
		return err
	}
	raw, derErr := bag.DER()
	if derErr != nil {
		if isLimit(derErr) {
			return derErr
		}
		raw = bag.Full
	}
	// Its attributes are part of raw.
	e := out.addOpaque(raw, err)
	e.Alias, e.Unnamed = b.attributes.name, b.attributes.name == ""
	return nil
}

// safeBag is a SafeBag taken apart.
type safeBag struct {
	oid        []byte
	value      ber.Element
	attributes attributes
}

func (r *reader) splitBag(bag ber.Element) (b safeBag, err error) {
	seq, err := bag.Children()
	if err != nil {
		return b, err
	}
	oid, err := seq.Read(ber.OID)
	if err != nil {
		return b, err
	}
	b.oid = oid.Content
	if b.value, err = readExplicit(&seq); err != nil {
		return b, err
	}
	if !seq.Empty() {
		if b.attributes, err = readAttributes(&seq); err != nil {
			return b, err
		}
	}
	return b, seq.End()
}

// fill gives an entry the attributes of the bag.
func (b *safeBag) fill(e *entry.Entry, kind entry.Kind) {
	a := &b.attributes
	*e = entry.Entry{
		Kind: kind, Alias: a.name, Unnamed: a.name == "", LocalKeyID: a.localKeyID,
		Marked: a.trusted && kind == entry.Opaque, Attributes: a.other, Created: a.created,
	}
}

func (b *safeBag) newEntry(kind entry.Kind) *entry.Entry {
	e := new(entry.Entry)
	b.fill(e, kind)
	return e
}

func (r *reader) readKey(b safeBag, out *bags) error {
	der, err := b.value.DER()
	if err != nil {
		return err
	}
	e := b.newEntry(entry.Key)
	if string(b.oid) == oidKeyBag {
		if e.Key, err = pkcs8.NewKey(der, r.opts.Budget); err != nil {
			return err
		}
	} else if e.Key, err = r.shroudedKey(der, entry.Key, out); err != nil {
		return err
	}
	out.add(e, &b)
	return nil
}

// readSecret reads a SecretBag as the JDK writes it: of the type of a shrouded
// key, with an EncryptedPrivateKeyInfo in an octet string.
func (r *reader) readSecret(b safeBag, out *bags) error {
	typ, value, err := readTyped(b.value)
	if err != nil {
		return err
	}
	if string(typ) != oidShroudedBag || value.Tag != ber.OctetString {
		return fmt.Errorf("type of secret: %w", trustkeep.ErrUnsupported)
	}
	der, err := value.Octets()
	if err != nil {
		return err
	}
	e := b.newEntry(entry.Secret)
	if e.Key, err = r.shroudedKey(der, entry.Secret, out); err != nil {
		return err
	}
	out.add(e, &b)
	return nil
}

func (r *reader) readCertificate(b safeBag, out *bags) error {
	typ, value, err := readTyped(b.value)
	if err != nil {
		return err
	}
	if string(typ) != oidX509Cert || value.Tag != ber.OctetString {
		return fmt.Errorf("type of certificate: %w", trustkeep.ErrUnsupported)
	}
	raw, err := value.Octets()
	if err != nil {
		return err
	}
	// One allocation for all: large trust stores consist of this.
	one := new(struct {
		entry entry.Entry
		cert  entry.Certificate
		chain [1]*entry.Certificate
	})
	one.cert.Raw, one.cert.Type = raw, "X.509"
	one.chain[0] = &one.cert
	e := &one.entry
	b.fill(e, entry.Opaque) // until Assemble finds out
	e.Chain = one.chain[:]
	if _, ok := one.cert.Outline(); !ok {
		e.Err = fmt.Errorf("pkcs12: certificate: %w", trustkeep.ErrCorrupt)
	}
	out.add(e, &b)
	return nil
}

func (r *reader) readCRL(b safeBag, out *bags) error {
	typ, value, err := readTyped(b.value)
	if err != nil {
		return err
	}
	if string(typ) != oidX509CRL || value.Tag != ber.OctetString {
		return fmt.Errorf("type of CRL: %w", trustkeep.ErrUnsupported)
	}
	e := b.newEntry(entry.CRL)
	if e.Raw, err = value.Octets(); err != nil {
		return err
	}
	out.add(e, &b)
	return nil
}

// readTyped takes apart CertBag, CRLBag and SecretBag, which are a type and a
// value in [0] EXPLICIT.
func readTyped(value ber.Element) (typ []byte, inner ber.Element, err error) {
	if value.Tag != ber.Sequence {
		return nil, inner, fmt.Errorf("content of the bag: %w", trustkeep.ErrCorrupt)
	}
	seq, err := value.Children()
	if err != nil {
		return nil, inner, err
	}
	oid, err := seq.Read(ber.OID)
	if err != nil {
		return nil, inner, err
	}
	if inner, err = readExplicit(&seq); err != nil {
		return nil, inner, err
	}
	return oid.Content, inner, seq.End()
}

func isLimit(err error) bool { return errors.Is(err, trustkeep.ErrLimit) }
