package bks

import (
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// minCertificate is how many bytes a certificate takes at least.
const minCertificate = 2 + 4

type decoder struct {
	*javaio.Reader
	budget  *limits.Budget
	aliases map[string]struct{}
}

// readContent reads the entries up to the end mark, which must be the last
// byte.
func readContent(content []byte, budget *limits.Budget) ([]*entry.Entry, error) {
	d := &decoder{Reader: javaio.NewReader(content), budget: budget, aliases: make(map[string]struct{})}
	var entries []*entry.Entry
	for {
		kind := d.Uint8()
		if d.Err() != nil {
			return nil, d.Err()
		}
		if kind == typeEnd {
			break
		}
		e, err := d.entry(kind)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(entries)+1, err)
		}
		entries = append(entries, e)
	}
	if d.Len() > 0 {
		return nil, fmt.Errorf("%d bytes after the last entry: %w", d.Len(), trustkeep.ErrCorrupt)
	}
	return entries, nil
}

func (d *decoder) entry(kind byte) (*entry.Entry, error) {
	e := &entry.Entry{Alias: d.UTF(), Created: time.UnixMilli(d.Int64()).UTC()}
	chain := d.Count(minCertificate)
	if d.Err() != nil {
		return nil, d.Err()
	}
	if err := d.budget.Entries(1 + chain); err != nil {
		return nil, err
	}
	if _, taken := d.aliases[e.Alias]; taken {
		return nil, fmt.Errorf("alias %q: %w: %w", trustkeep.Printable(e.Alias), trustkeep.ErrExists, trustkeep.ErrCorrupt)
	}
	d.aliases[e.Alias] = struct{}{}
	for range chain {
		e.Chain = append(e.Chain, d.certificate())
	}
	err := d.value(e, kind)
	if err == nil {
		err = d.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("alias %q: %w", trustkeep.Printable(e.Alias), err)
	}
	return e, nil
}

func (d *decoder) certificate() *entry.Certificate {
	certType := d.UTF()
	c := entry.NewCertificate(d.Block())
	c.Type = certType
	return c
}

// value reads what is behind the chain. Raw of an opaque entry is the type and
// the value.
func (d *decoder) value(e *entry.Entry, kind byte) error {
	switch kind {
	case typeCertificate:
		e.Kind = entry.Trusted
		e.Marked = true
		e.Chain = []*entry.Certificate{d.certificate()} // one with a chain besides is never written
	case typeKey:
		d.clearKey(e)
	case typeSecret:
		// Bytes that an application protected in a way of its own.
		e.Kind = entry.Opaque
		e.Raw = append([]byte{typeSecret}, d.Block()...)
	case typeSealed:
		e.Kind = entry.Secret
		if len(e.Chain) > 0 {
			e.Kind = entry.Key
		}
		e.Key = newSealedKey(d.Block(), e.Kind)
	default:
		// Entries carry no length, so there is no way past it.
		return fmt.Errorf("type %d: %w", kind, trustkeep.ErrCorrupt)
	}
	return nil
}

// keyType is the first byte of a key.
type keyType byte

const (
	privateKey keyType = 0
	publicKey  keyType = 1
	secretKey  keyType = 2
)

// key is a key in the clear.
type key struct {
	kind              keyType
	format, algorithm string
	encoding          []byte
}

func readKey(r *javaio.Reader) key {
	return key{kind: keyType(r.Uint8()), format: r.UTF(), algorithm: r.UTF(), encoding: r.Block()}
}

// clearKey reads a key that is not protected.
func (d *decoder) clearKey(e *entry.Entry) {
	before := d.Rest()
	k := readKey(d.Reader)
	raw := before[:len(before)-d.Len()]
	if d.Err() != nil {
		return
	}
	if k.kind != privateKey && k.kind != secretKey {
		e.Kind = entry.Opaque
		e.Raw = append([]byte{typeKey}, raw...)
		e.Err = fmt.Errorf("bks: key of type %d: %w", k.kind, trustkeep.ErrUnsupported)
		return
	}
	e.Kind = entry.Secret
	if k.kind == privateKey {
		e.Kind = entry.Key
	}
	e.Key = &entry.PrivateKey{
		Protected:  raw,
		Algorithm:  k.algorithm,
		Protection: "none",
		Unlock:     func([]byte, limits.Spender) ([]byte, error) { return named(k.encodingFor(e.Kind)) },
	}
}

// encodingFor returns the bytes of a key that stands in an entry of that kind.
func (k key) encodingFor(kind entry.Kind) ([]byte, error) {
	switch {
	case kind == entry.Key && k.kind == privateKey:
		if !pkcs8.IsPrivateKeyInfo(k.encoding) {
			return nil, fmt.Errorf("private key that is no PKCS#8: %w", trustkeep.ErrCorrupt)
		}
	case kind == entry.Secret && k.kind == secretKey:
	default:
		return nil, fmt.Errorf("key of type %d: %w", k.kind, trustkeep.ErrUnsupported)
	}
	return append([]byte{}, k.encoding...), nil
}

func newSealedKey(blob []byte, kind entry.Kind) *entry.PrivateKey {
	p := &entry.PrivateKey{Protected: blob, Encrypted: true, Protection: "unreadable"}
	scheme, ciphertext, err := splitSealed(blob)
	if err != nil {
		p.Unlock = neverOpens(err)
		return p
	}
	p.Protection = scheme.String()
	p.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
		k, err := openSealed(scheme, ciphertext, password, spend)
		if err != nil {
			return named(nil, err)
		}
		defer clear(k.encoding)
		if k.kind == secretKey {
			p.LearnAlgorithm(k.algorithm)
		}
		return named(k.encodingFor(kind))
	}
	return p
}

// splitSealed takes the block of a sealed key apart.
func splitSealed(blob []byte) (scheme *pbe.Scheme, ciphertext []byte, err error) {
	r := javaio.NewReader(blob)
	salt, iterations := r.Block(), int64(int32(r.Uint32()))
	if r.Err() != nil {
		return nil, nil, r.Err()
	}
	scheme, err = keyScheme(salt, iterations)
	return scheme, r.Rest(), err
}

func openSealed(scheme *pbe.Scheme, ciphertext, password []byte, spend limits.Spender) (key, error) {
	plain, err := scheme.Decrypt(ciphertext, pkcs12Password(password), spend)
	if err != nil {
		return key{}, err
	}
	r := javaio.NewReader(plain)
	k := readKey(r)
	if r.Err() != nil || r.Len() > 0 || k.kind > secretKey {
		// Nothing authenticates the ciphertext, and the padding is right
		// for one wrong password in 256.
		clear(plain)
		return key{}, trustkeep.ErrIncorrectPassword
	}
	return k, nil
}

func neverOpens(err error) func([]byte, limits.Spender) ([]byte, error) {
	return func([]byte, limits.Spender) ([]byte, error) { return named(nil, err) }
}

// named puts the package's name before the error of opening a key.
func named(plain []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("bks: key: %w", err)
	}
	return plain, nil
}
