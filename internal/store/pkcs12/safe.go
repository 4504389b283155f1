package pkcs12

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// contentInfo is RFC 2315 section 7.
type contentInfo struct {
	full    ber.Element
	oid     []byte
	content ber.Element // inside the [0]; zero where absent
}

// octets returns the content of a ContentInfo of type data.
func (c contentInfo) octets() ([]byte, error) {
	if c.content.Tag != ber.OctetString {
		return nil, fmt.Errorf("no content: %w", trustkeep.ErrCorrupt)
	}
	return c.content.Octets()
}

func readContentInfo(in *ber.Input) (c contentInfo, err error) {
	if c.full, err = in.Read(ber.Sequence); err != nil {
		return c, err
	}
	seq, err := c.full.Children()
	if err != nil {
		return c, err
	}
	oid, err := seq.Read(ber.OID)
	if err != nil {
		return c, err
	}
	c.oid = oid.Content
	if seq.Empty() {
		return c, nil
	}
	if c.content, err = readExplicit(&seq); err != nil {
		return c, err
	}
	return c, seq.End()
}

// readExplicit reads [0] EXPLICIT and returns the element inside.
func readExplicit(in *ber.Input) (ber.Element, error) {
	outer, err := in.Read(ber.Context(0))
	if err != nil {
		return ber.Element{}, err
	}
	inner, err := outer.Children()
	if err != nil {
		return ber.Element{}, err
	}
	e, err := inner.Next()
	if err != nil {
		return ber.Element{}, err
	}
	return e, inner.End()
}

// safe is one part of the AuthenticatedSafe.
type safe struct {
	info contentInfo
	// scheme and ciphertext are set for an encrypted safe.
	scheme     *pbe.Scheme
	ciphertext []byte
	// err says why the safe cannot be read: a kind of protection that is
	// not supported.
	err error
}

// parseAuthenticatedSafe finds the safes and their algorithms.
func (r *reader) parseAuthenticatedSafe(content []byte) ([]*safe, error) {
	in := ber.New(content, ber.Rules{MaxDepth: r.opts.Budget.MaxDepth()})
	outer, err := in.Read(ber.Sequence)
	if err == nil {
		err = in.End()
	}
	var seq ber.Input
	if err == nil {
		seq, err = outer.Children()
	}
	if err != nil {
		return nil, fmt.Errorf("authenticated safe: %w", err)
	}
	var safes []*safe
	for !seq.Empty() {
		if err := r.opts.Budget.Entries(1); err != nil {
			return nil, err
		}
		s, err := parseSafe(&seq)
		if err != nil {
			return nil, fmt.Errorf("safe %d: %w", len(safes)+1, err)
		}
		safes = append(safes, s)
	}
	return safes, nil
}

func parseSafe(in *ber.Input) (*safe, error) {
	info, err := readContentInfo(in)
	if err != nil {
		return nil, err
	}
	s := &safe{info: info}
	switch string(info.oid) {
	case oidData:
	case oidEncryptedData:
		err = s.parseEncryptedData()
		if errors.Is(err, trustkeep.ErrUnsupported) {
			s.err, err = err, nil
		}
	default:
		s.err = fmt.Errorf("protection of a safe, such as by a public key: %w", trustkeep.ErrUnsupported)
	}
	return s, err
}

// parseEncryptedData reads RFC 2315 section 13.
func (s *safe) parseEncryptedData() error {
	if s.info.content.Tag != ber.Sequence {
		return fmt.Errorf("encrypted data: %w", trustkeep.ErrCorrupt)
	}
	seq, err := s.info.content.Children()
	if err != nil {
		return err
	}
	if _, err := readInt(&seq); err != nil { // version
		return err
	}
	info, err := seq.Read(ber.Sequence)
	if err != nil {
		return err
	}
	// Unprotected attributes may follow (RFC 5652 section 8); nobody writes
	// them.
	encrypted, err := info.Children()
	if err != nil {
		return err
	}
	contentType, err := encrypted.Read(ber.OID)
	if err != nil {
		return err
	}
	if string(contentType.Content) != oidData {
		return fmt.Errorf("type of the encrypted content: %w", trustkeep.ErrUnsupported)
	}
	algorithm, err := readDER(&encrypted, ber.Sequence)
	if err != nil {
		return err
	}
	content, err := encrypted.Read(ber.Context(0))
	if err != nil {
		return err
	}
	if err := encrypted.End(); err != nil {
		return err
	}
	scheme, err := pbe.ParseScheme(algorithm)
	if err != nil {
		return err
	}
	if s.ciphertext, err = content.Octets(); err != nil {
		return err
	}
	s.scheme = scheme
	return nil
}

// readSafes reads the plain safes first, so that the derivations of their keys
// start while those of the encrypted safes still run, and keeps file order.
func (r *reader) readSafes(safes []*safe) error {
	parts := make([]bags, len(safes))
	for _, encrypted := range []bool{false, true} {
		for i, s := range safes {
			if (s.scheme != nil) != encrypted {
				continue
			}
			if err := r.readSafe(s, &parts[i]); err != nil {
				return fmt.Errorf("safe %d: %w", i+1, err)
			}
		}
	}
	for i := range parts {
		r.bags.append(&parts[i])
	}
	return nil
}

func (r *reader) readSafe(s *safe, out *bags) error {
	switch {
	case s.err != nil:
		raw, err := s.info.full.DER()
		if err != nil {
			return err
		}
		out.addOpaque(append([]byte{opaqueSafe}, raw...), s.err)
		return nil
	case s.scheme == nil:
		content, err := s.info.octets()
		if err != nil {
			return err
		}
		// The caller may change data, and entries point into the content.
		if !s.info.content.Constructed {
			content = bytes.Clone(content)
		}
		return r.readContents(content, out)
	}
	params := s.scheme.Params()
	if r.source.Certs == (pbe.Params{}) {
		r.source.Certs = params
	}
	// What a wrong key decrypts to is seen at the first octets, unless the
	// padding gave it away already.
	content, err := r.derivations.open(s.scheme, r.passwords, r.password, r.opts.Budget, func(key []byte) ([]byte, error) {
		plain, err := s.scheme.Open(key, s.ciphertext)
		if err == nil {
			in := ber.New(plain, ber.Rules{MaxDepth: r.opts.Budget.MaxDepth()})
			if _, bad := in.Read(ber.Sequence); bad != nil {
				err = fmt.Errorf("decryption: %w", trustkeep.ErrIncorrectPassword)
			}
		}
		return plain, err
	})
	if err != nil {
		return err
	}
	return r.readContents(content, out)
}
