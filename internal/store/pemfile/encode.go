package pemfile

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// Encode writes the store as PEM: each key as PKCS#8, encrypted with PBES2
// (AES-256-CBC) when opts.Key returns a password for it and plain when that is
// nil, followed by its chain; trusted certificates; revocation lists; and the
// blocks that Parse could not interpret as they were. Keys that opts.Keep
// accepts are copied as they stand.
//
// Comments before the blocks carry alias, local key ID, creation time and, beside
// keys, that a certificate is trusted, so that Parse returns the same entries.
//
// Errors wrap trustkeep.ErrExists for two aliases that fold equal and
// trustkeep.ErrUnsupported for what cannot be written, such as secret keys and
// blocks that were read without their end.
// Errors of opts.Key and opts.Rand are passed on.
func Encode(s *entry.Store, opts entry.WriteOptions) ([]byte, error) {
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	w := &encoder{opts: opts, ids: make(map[string]bool)}
	for _, e := range s.Entries {
		w.hasKeys = w.hasKeys || e.Kind == entry.Key
	}
	keys, err := w.protectKeys(s.Entries)
	if err != nil {
		return nil, fmt.Errorf("pemfile: %w", err)
	}
	aliases := make(map[string]bool, len(s.Entries))
	for _, e := range s.Entries {
		folded := entry.Fold(e.Alias)
		if aliases[folded] {
			return nil, fmt.Errorf("pemfile: alias %q: %w", trustkeep.Printable(e.Alias), trustkeep.ErrExists)
		}
		aliases[folded] = true
		if err := w.entry(e, keys[e]); err != nil {
			return nil, fmt.Errorf("pemfile: alias %q: %w", trustkeep.Printable(e.Alias), err)
		}
	}
	return w.out.Bytes(), nil
}

type encoder struct {
	opts    entry.WriteOptions
	hasKeys bool
	ids     map[string]bool // local key IDs so far
	out     bytes.Buffer
}

// sealedKey is a key on its way into a block.
type sealedKey struct {
	text      []byte // the block as it stands, where the key is kept
	plain     []byte // PrivateKeyInfo
	password  []byte
	scheme    *pbe.Scheme // nil: not encrypted
	encrypted []byte      // EncryptedPrivateKeyInfo
	err       error
}

// protectKeys draws salts in the order of the entries, so that the same
// randomness gives the same file, and derives and encrypts in parallel.
func (w *encoder) protectKeys(entries []*entry.Entry) (map[*entry.Entry]*sealedKey, error) {
	keys := make(map[*entry.Entry]*sealedKey)
	var seal []*sealedKey
	defer func() {
		for _, k := range keys {
			clear(k.plain)
			clear(k.password)
		}
	}()
	for _, e := range entries {
		if e.Kind != entry.Key {
			continue
		}
		k := new(sealedKey)
		keys[e] = k
		if isBlock(e.Key.Protected) && w.opts.Keep != nil && w.opts.Keep(e) {
			k.text = e.Key.Protected
			continue
		}
		var err error
		if k.plain, k.password, err = w.opts.Key(e); err != nil {
			return nil, err
		}
		if k.password != nil {
			if k.scheme, err = pbe.Modern(pkcs8.Iterations).NewScheme(w.opts.Rand); err != nil {
				return nil, err
			}
			seal = append(seal, k)
			continue
		}
		k.text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.plain})
	}
	entry.Parallel(len(seal), func(i int) { seal[i].encrypted, seal[i].err = seal[i].seal() })
	for _, k := range seal {
		if k.err != nil {
			return nil, k.err
		}
		k.text = pem.EncodeToMemory(&pem.Block{Type: encryptedLabel, Bytes: k.encrypted})
	}
	return keys, nil
}

const encryptedLabel = "ENCRYPTED PRIVATE KEY"

func (k *sealedKey) seal() ([]byte, error) {
	algorithm, err := k.scheme.Marshal()
	if err != nil {
		return nil, err
	}
	ciphertext, err := k.scheme.Seal(k.plain, k.password)
	if err != nil {
		return nil, err
	}
	return pkcs8.Marshal(algorithm, ciphertext)
}

func (w *encoder) entry(e *entry.Entry, key *sealedKey) error {
	n := notes{alias: e.Alias, named: !e.Unnamed, created: e.Created}
	switch {
	case e.Kind == entry.Key:
		return w.key(e, key, n)
	case e.Kind == entry.CRL:
		return w.block(n, "X509 CRL", e.Raw)
	case e.Kind == entry.Trusted, e.Kind == entry.Opaque && len(e.Chain) > 0:
		n.trusted = e.Kind == entry.Trusted && w.hasKeys
		n.localKeyID = e.LocalKeyID
		return w.certificate(n, e.Chain[0], e.Attributes)
	case e.Kind == entry.Opaque && isBlock(e.Raw):
		w.text(n, e.Raw)
		return nil
	}
	return fmt.Errorf("an entry of this kind in PEM: %w", trustkeep.ErrUnsupported)
}

// key writes a key and its chain. An encrypted key and its certificate get a
// local key ID, without which a reader would have to decrypt the key to find
// the certificate.
func (w *encoder) key(e *entry.Entry, key *sealedKey, n notes) error {
	n.localKeyID = w.localKeyID(e, key)
	w.text(n, key.text)
	for i, c := range e.Chain {
		label := notes{alias: c.Label, named: c.Label != "", localKeyID: c.LocalKeyID}
		if i == 0 {
			label.localKeyID = n.localKeyID
			if label.named = n.named; n.named {
				label.alias = e.Alias
			}
		}
		if err := w.certificate(label, c, c.Attributes); err != nil {
			return err
		}
	}
	return nil
}

// localKeyID returns an ID that no other key of the file has, or nil if the key needs none.
func (w *encoder) localKeyID(e *entry.Entry, key *sealedKey) []byte {
	id := e.LocalKeyID
	if w.ids[string(id)] {
		id = nil // copied together with an entry, or from another store
	}
	if id == nil && len(e.Chain) > 0 && (key.encrypted != nil || e.Key != nil && e.Key.Encrypted) {
		sum := sha256.Sum256(e.Chain[0].Raw)
		for id = sum[:20]; w.ids[string(id)]; id = sum[:20] {
			sum = sha256.Sum256(sum[:])
		}
	}
	if id != nil {
		w.ids[string(id)] = true
	}
	return id
}

// certificate writes a certificate, with the trust settings of OpenSSL where it
// came with some.
func (w *encoder) certificate(n notes, c *entry.Certificate, attributes []entry.Attribute) error {
	if c.Type != "X.509" {
		return fmt.Errorf("certificate of type %q in PEM: %w", trustkeep.Printable(c.Type), trustkeep.ErrUnsupported)
	}
	if aux, _ := settingsOf(attributes); aux != nil {
		return w.block(n, trustedLabel, bytes.Join([][]byte{c.Raw, aux}, nil))
	}
	return w.block(n, "CERTIFICATE", c.Raw)
}

func (w *encoder) block(n notes, label string, der []byte) error {
	w.out.Write(n.append(nil))
	return pem.Encode(&w.out, &pem.Block{Type: label, Bytes: der})
}

// text writes a block that is PEM already.
func (w *encoder) text(n notes, text []byte) {
	w.out.Write(n.append(nil))
	w.out.Write(bytes.TrimRight(text, "\n"))
	w.out.WriteByte('\n')
}

// isBlock reports whether raw is a block as Parse keeps it. One that lacks its
// end is none: whatever is written behind it would become a part of it.
func isBlock(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte(beginTag)) && bytes.Contains(raw, []byte(endTag)) && bytes.HasSuffix(raw, []byte(dashes))
}
