package pkcs12

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// writtenKey is a private or secret key on its way into the file.
type writtenKey struct {
	entry      *entry.Entry
	der        []byte // as it will stand in the bag
	shrouded   bool
	err        error
	attributes []byte
}

// protectKeys asks for the keys and draws their salts in order, and has them
// encrypted on the cores there are. What it returns is complete when the crew
// is done.
func (w *writer) protectKeys(entries []*entry.Entry) ([]*writtenKey, error) {
	var keys []*writtenKey
	for _, e := range entries {
		if e.Kind != entry.Key && e.Kind != entry.Secret {
			continue
		}
		k := &writtenKey{entry: e}
		if err := w.protect(k); err != nil {
			return nil, named(e, err)
		}
		w.keyIDs[e] = w.localKeyID(e)
		k.attributes = encodeAttributes(w.nameOf(e, true), w.keyIDs[e], false, e.Attributes)
		keys = append(keys, k)
	}
	return keys, nil
}

func (w *writer) protect(k *writtenKey) error {
	e := k.entry
	if e.Key == nil {
		return errors.New("a key entry without a key")
	}
	if w.opts.Keep != nil && w.opts.Keep(e) {
		k.der, k.shrouded = e.Key.Protected, e.Key.Encrypted
		return nil
	}
	if w.opts.Key == nil {
		return fmt.Errorf("no way to open the key: %w", trustkeep.ErrUnsupported)
	}
	plain, password, err := w.opts.Key(e)
	if err != nil {
		return err
	}
	if e.Kind == entry.Secret {
		if plain, err = wrapSecret(e.Key.AlgorithmName(), plain); err != nil {
			return err
		}
	}
	if !pkcs8.IsPrivateKeyInfo(plain) {
		return fmt.Errorf("the key is no PrivateKeyInfo: %w", trustkeep.ErrUnsupported)
	}
	if password == nil {
		if e.Kind == entry.Secret {
			return fmt.Errorf("secret key without a password: %w", trustkeep.ErrUnsupported)
		}
		k.der = plain
		return nil
	}
	if w.profile.Keys == (pbe.Params{}) {
		return fmt.Errorf("profile %s has no encryption for keys: %w", w.profile.Name, trustkeep.ErrUnsupported)
	}
	scheme, err := w.profile.Keys.NewScheme(w.opts.Rand)
	if err != nil {
		return err
	}
	k.shrouded = true
	w.crew.do(func() {
		algorithm, err := scheme.Marshal()
		if err != nil {
			k.err = err
			return
		}
		ciphertext, err := scheme.Seal(plain, password)
		if err != nil {
			k.err = err
			return
		}
		k.der, k.err = pkcs8.Marshal(algorithm, ciphertext)
	})
	return nil
}

func (w *writer) addKey(k *writtenKey) {
	switch {
	case k.entry.Kind == entry.Secret:
		w.keyBags = appendTypedBag(w.keyBags, oidSecretBag, oidShroudedBag, k.der, k.attributes)
	case k.shrouded:
		w.keyBags = appendBag(w.keyBags, oidShroudedBag, k.der, k.attributes)
	default:
		w.keyBags = appendBag(w.keyBags, oidKeyBag, k.der, k.attributes)
	}
}

// nameOf returns the friendlyName to write. An entry that had none when it was
// read stays without as long as it will get the same name again; numbered says
// that Java numbers those of its kind.
func (w *writer) nameOf(e *entry.Entry, numbered bool) string {
	if !w.again || !e.Unnamed {
		return e.Alias
	}
	if !numbered {
		return ""
	}
	if strconv.Itoa(w.unnamed+1) != e.Alias {
		return e.Alias
	}
	w.unnamed++
	return ""
}

// localKeyID returns an ID that no other key has, or nil where a key needs none.
func (w *writer) localKeyID(e *entry.Entry) []byte {
	id := e.LocalKeyID
	created := e.Created
	if t := javaTime(id); !t.IsZero() && !created.IsZero() && !t.Equal(created) {
		id = nil // the key was made anew
	}
	if len(e.Chain) == 0 && len(id) == 0 && created.IsZero() {
		return nil // nothing to be paired with, nothing to say
	}
	if created.IsZero() {
		created = w.opts.Now
	}
	switch {
	case len(id) > 0:
	case !created.IsZero():
		id = timeID(created)
	default:
		id = hashID([]byte(e.Alias))
		if len(e.Chain) > 0 {
			id = hashID(e.Chain[0].Raw)
		}
	}
	for i := 1; w.ids[string(id)]; i++ {
		if t := javaTime(id); !t.IsZero() {
			id = timeID(t.Add(time.Millisecond))
			continue
		}
		id = hashID(append([]byte(e.Alias), strconv.Itoa(i)...))
	}
	w.ids[string(id)] = true
	return id
}

// hashID is the SHA-1 that OpenSSL takes, or where that is not approved as much
// of SHA-256: the ID has to be different for each key and nothing else.
func hashID(of []byte) []byte {
	if fips.Enforced() {
		sum := sha256.Sum256(of)
		return sum[:sha1.Size]
	}
	sum := sha1.Sum(of)
	return sum[:]
}

func timeID(t time.Time) []byte {
	return strconv.AppendInt([]byte(javaTimePrefix), t.UnixMilli(), 10)
}

// certificates writes everything that is not a key.
func (w *writer) certificates(entries []*entry.Entry) error {
	n := 0
	issuers := make(map[string]bool) // still to be written, for the chains of keys
	for _, e := range entries {
		for i, c := range e.Chain {
			if c.Type != "X.509" {
				return named(e, fmt.Errorf("certificate of type %q: %w", trustkeep.Printable(c.Type), trustkeep.ErrUnsupported))
			}
			if i > 0 {
				issuers[issuerName(c, c.Label)] = true
			}
			n += len(c.Raw)
		}
		n += len(e.Raw) + perBag + 4*len(e.Alias)
	}
	for _, e := range entries {
		for i, c := range e.Chain {
			switch {
			case i == 0: // an entry, or the leaf of another key
				delete(issuers, issuerName(c, ""))
				delete(issuers, issuerName(c, w.certificateName(e)))
			case c.Label != "":
				delete(issuers, issuerName(c, ""))
			}
		}
	}
	w.certBags = make([]byte, 0, n)
	for _, e := range entries {
		var err error
		switch {
		case e.Kind == entry.Key || e.Kind == entry.Secret:
			w.addChain(e, issuers)
		case len(e.Chain) == 1:
			w.addCertificate(e)
		case e.Kind == entry.CRL:
			w.certBags = appendTypedBag(w.certBags, oidCRLBag, oidX509CRL, e.Raw, encodeAttributes(w.nameOf(e, false), nil, false, e.Attributes))
		case e.Kind == entry.Opaque:
			err = w.addOpaque(e.Raw)
		default:
			err = fmt.Errorf("entry of kind %d with %d certificates: %w", e.Kind, len(e.Chain), trustkeep.ErrUnsupported)
		}
		if err != nil {
			return named(e, err)
		}
	}
	w.certBags = append(w.certBags, w.repetitions...)
	return nil
}

// perBag is about what a bag needs besides certificate and name.
const perBag = 128

// issuerName tells certificates of chains apart by what a reader sees of them. One
// without a name need not be repeated.
func issuerName(c *entry.Certificate, name string) string {
	if name == "" {
		return string(c.Raw)
	}
	return string(c.Raw) + "\x00" + name
}

// certificateName is what the first certificate of an entry will be called.
func (w *writer) certificateName(e *entry.Entry) string {
	if c := e.Chain[0]; e.Kind == entry.Key && c.Label != "" {
		return c.Label
	}
	return e.Alias
}

// addChain writes the chain of a key. The leaf has the name of the key unless
// it came with one of its own.
func (w *writer) addChain(e *entry.Entry, issuers map[string]bool) {
	for i, c := range e.Chain {
		w.addRepetitions(c)
		name, id := c.Label, []byte(nil)
		if i == 0 {
			id = w.keyIDs[e]
			if name == "" && !(w.again && e.Unnamed) {
				name = e.Alias
			}
		} else if !issuers[issuerName(c, name)] {
			continue
		}
		delete(issuers, issuerName(c, name))
		w.certBags = appendTypedBag(w.certBags, oidCertBag, oidX509Cert, c.Raw, encodeAttributes(name, id, false, c.Attributes))
	}
}

// addRepetitions writes the certificate again under each of its other names. A reader takes
// the first that it finds for the certificate itself, so they go behind everything.
func (w *writer) addRepetitions(c *entry.Certificate) {
	for _, name := range c.OtherLabels {
		key := issuerName(c, name)
		if w.repeated == nil {
			w.repeated = make(map[string]bool)
		}
		if !w.repeated[key] {
			w.repeated[key] = true
			w.repetitions = appendTypedBag(w.repetitions, oidCertBag, oidX509Cert, c.Raw, encodeAttributes(name, nil, false, nil))
		}
	}
}

// addCertificate writes a certificate that is an entry of its own.
func (w *writer) addCertificate(e *entry.Entry) {
	w.addRepetitions(e.Chain[0])
	trusted := e.Marked || e.Kind == entry.Trusted && w.profile.MarkTrusted
	id := e.LocalKeyID
	if w.ids[string(id)] {
		id = nil // a key has it now
	}
	w.certBags = appendTypedBag(w.certBags, oidCertBag, oidX509Cert, e.Chain[0].Raw,
		encodeAttributes(w.nameOf(e, trusted), id, trusted, e.Attributes))
}

// addOpaque writes a SafeBag, or the ContentInfo of a safe, as it was read.
func (w *writer) addOpaque(raw []byte) error {
	content, isSafe := bytes.CutPrefix(raw, []byte{opaqueSafe})
	switch {
	case typedOID(content) == "":
		return fmt.Errorf("opaque entry of another format: %w", trustkeep.ErrUnsupported)
	case isSafe:
		w.safes = append(w.safes, content)
	default:
		w.certBags = append(w.certBags, content...)
	}
	return nil
}
