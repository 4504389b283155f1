package pkcs12

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// Encode writes the store in DER: keys in a safe of their own, each encrypted
// for itself, and everything else in a safe that is encrypted as a whole, as
// keytool and OpenSSL do it.
//
// A nil password writes a file without MAC and encryption of certificates.
// With a password there is always a MAC, also where the profile has none
// because the file that was read had none, except for Passwordless. Keys that
// opts.Keep accepts are copied as they stand; the others are encrypted under
// the password that opts.Key gives, or written in the clear when it gives nil.
// A creation time becomes the local key ID of a key, as Java writes it, unless
// the key has one already; opts.Now stands in, and without it the hash of the
// certificate. Certificates that belong to several chains are written once.
//
// The error wraps trustkeep.ErrExists for two aliases that fold equal and
// trustkeep.ErrUnsupported for what the format or the profile cannot hold, and
// names the entry. Errors of opts.Key and opts.Rand are passed on.
func Encode(s *entry.Store, p Profile, opts entry.WriteOptions) ([]byte, error) {
	out, err := encode(s, p, opts)
	if err != nil {
		return nil, fmt.Errorf("pkcs12: %w", err)
	}
	return out, nil
}

func encode(s *entry.Store, p Profile, opts entry.WriteOptions) ([]byte, error) {
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	switch {
	case opts.Password == nil:
		p.MAC, p.Certs = pbe.MACParams{}, pbe.Params{}
	case p.MAC == (pbe.MACParams{}) && p.Keys != (pbe.Params{}):
		p.MAC = Modern().MAC
	}
	_, again := s.Source.(Source)
	w := &writer{profile: p, opts: opts, again: again, ids: make(map[string]bool), keyIDs: make(map[*entry.Entry][]byte)}
	defer w.crew.stop()
	if err := checkAliases(s.Entries); err != nil {
		return nil, err
	}
	if err := w.draw(); err != nil {
		return nil, err
	}
	keys, err := w.protectKeys(s.Entries)
	if err != nil {
		return nil, err
	}
	if err := w.certificates(s.Entries); err != nil {
		return nil, err
	}
	w.crew.wait()
	for _, k := range keys {
		if k.err != nil {
			return nil, named(k.entry, k.err)
		}
		w.addKey(k)
	}
	return w.file()
}

// checkAliases refuses what Java would take for one entry.
func checkAliases(entries []*entry.Entry) error {
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		folded := entry.Fold(e.Alias)
		if taken[folded] {
			return named(e, fmt.Errorf("in this or another case: %w", trustkeep.ErrExists))
		}
		taken[folded] = true
		if strings.ToValidUTF8(e.Alias, "") != e.Alias {
			return named(e, fmt.Errorf("not UTF-8: %w", trustkeep.ErrUnsupported))
		}
	}
	return nil
}

func named(e *entry.Entry, err error) error {
	return fmt.Errorf("alias %q: %w", trustkeep.Printable(e.Alias), err)
}

// writer collects what goes into one file.
type writer struct {
	profile Profile
	opts    entry.WriteOptions
	// again: the store was read from PKCS#12, so that entries without a
	// name can stay so.
	again bool
	// unnamed counts the entries that Java will number when it reads.
	unnamed  int
	ids      map[string]bool // local key IDs in use
	repeated map[string]bool // certificates with further names that were written
	keyIDs   map[*entry.Entry][]byte
	crew     crew

	keyBags     []byte   // of the safe for keys
	certBags    []byte   // of the safe for the rest
	repetitions []byte   // of certificates, behind certBags
	safes       [][]byte // safes that were not understood, as ContentInfo

	certScheme *pbe.Scheme
	certKey    []byte
	mac        *pbe.MAC
	macKey     []byte
	certErr    error
	macErr     error
}

// draw takes the random bytes of safe and MAC and starts their derivations.
func (w *writer) draw() (err error) {
	password := w.opts.Password
	if w.profile.Certs != (pbe.Params{}) {
		if w.certScheme, err = w.profile.Certs.NewScheme(w.opts.Rand); err != nil {
			return err
		}
		w.crew.do(func() { w.certKey, w.certErr = w.certScheme.Derive(password, limits.Unlimited{}) })
	}
	if w.profile.MAC != (pbe.MACParams{}) {
		if w.mac, err = w.profile.MAC.NewMAC(w.opts.Rand); err != nil {
			return err
		}
		w.crew.do(func() { w.macKey, w.macErr = w.mac.Derive(password, limits.Unlimited{}) })
	}
	return nil
}

// file puts the PFX together (RFC 7292 section 4).
func (w *writer) file() ([]byte, error) {
	if w.certErr != nil || w.macErr != nil {
		return nil, errors.Join(w.certErr, w.macErr)
	}
	defer clear(w.certKey)
	defer clear(w.macKey)
	var pieces [][]byte // of all safes
	if len(w.keyBags) > 0 {
		pieces = append(pieces, dataSafe(w.keyBags), w.keyBags)
	}
	if len(w.certBags) > 0 {
		head, content, err := w.certSafe()
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, head, content)
	}
	pieces = append(pieces, w.safes...)
	contents := 0
	for _, p := range pieces {
		contents += len(p)
	}
	// The MAC is as long whatever its value, so that sizes are known and
	// the safes copied once.
	macSize, err := w.macData(nil)
	if err != nil {
		return nil, err
	}
	authSafe := size(contents)
	info := size(len(oidData)) + size(size(authSafe))
	body := 3 + size(info) + len(macSize)
	out := make([]byte, 0, size(body))
	out = appendHeader(out, tagSequence, body)
	out = append(out, tagInteger, 1, 3)
	out = appendHeader(out, tagSequence, info)
	out = appendElement(out, tagOID, oidData)
	out = appendHeader(out, tagExplicit0, size(authSafe))
	out = appendHeader(out, tagOctetString, authSafe)
	start := len(out)
	out = appendHeader(out, tagSequence, contents)
	for _, p := range pieces {
		out = append(out, p...)
	}
	mac, err := w.macData(out[start:])
	if err != nil {
		return nil, err
	}
	return append(out, mac...), nil
}

func (w *writer) macData(content []byte) ([]byte, error) {
	if w.mac == nil {
		return nil, nil
	}
	return w.mac.Authenticate(w.macKey, content).Marshal()
}

// dataSafe returns what comes before the bags in a ContentInfo of type data.
func dataSafe(bags []byte) []byte {
	octets := size(len(bags))
	content := size(octets)
	out := appendHeader(nil, tagSequence, size(len(oidData))+size(content))
	out = appendElement(out, tagOID, oidData)
	out = appendHeader(out, tagExplicit0, content)
	out = appendHeader(out, tagOctetString, octets)
	return appendHeader(out, tagSequence, len(bags))
}

// certSafe returns the safe for everything but keys, its content apart so that
// it need not be copied.
func (w *writer) certSafe() (head, content []byte, err error) {
	if w.certScheme == nil {
		return dataSafe(w.certBags), w.certBags, nil
	}
	ciphertext, err := w.certScheme.SealWith(w.certKey, appendHeader(nil, tagSequence, len(w.certBags)), w.certBags)
	if err != nil {
		return nil, nil, err
	}
	algorithm, err := w.certScheme.Marshal()
	if err != nil {
		return nil, nil, err
	}
	info := size(len(oidData)) + len(algorithm) + size(len(ciphertext))
	data := 3 + size(info)
	out := appendHeader(nil, tagSequence, size(len(oidEncryptedData))+size(size(data)))
	out = appendElement(out, tagOID, oidEncryptedData)
	out = appendHeader(out, tagExplicit0, size(data))
	out = appendHeader(out, tagSequence, data)
	out = append(out, tagInteger, 1, 0) // version
	out = appendHeader(out, tagSequence, info)
	out = appendElement(out, tagOID, oidData)
	out = append(out, algorithm...)
	return appendHeader(out, tagImplicit0, len(ciphertext)), ciphertext, nil
}
