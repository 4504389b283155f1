package environment

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// administrators is the place of passwords of components that count in no environment. No
// environment has this ID.
const administrators = ""

// Bounds of what is read.
const (
	maxRecipients    = 1000
	maxFormerKeys    = 1
	maxSealedSecrets = 1 << 12
	maxSealedSize    = 4 << 10 // of one password or wrapped key
)

// ringRecord is who may open the passwords of an environment: its data key, wrapped for each
// recipient.
type ringRecord struct {
	stamp
	// Generation grows with each new data key.
	Generation int             `json:"generation"`
	Recipients []ringRecipient `json:"recipients"`
	// Former are the data keys before this one, under this one: somebody may seal under them
	// until he learns that there is a new one. Recipients that are added do not get them.
	Former []formerKey `json:"former,omitempty"`
}

type ringRecipient struct {
	Name string     `json:"name"`
	Key  SealingKey `json:"key"`
	// Enc and Wrapped are what HPKE makes of the data key.
	Enc     []byte `json:"enc"`
	Wrapped []byte `json:"wrapped"`
}

type formerKey struct {
	Generation int    `json:"generation"`
	Sealed     []byte `json:"sealed"`
}

func newRingRecord() *ringRecord { return new(ringRecord) }

func (d *ringRecord) check(string) error {
	if d.Generation < 1 || len(d.Recipients) == 0 || len(d.Recipients) > maxRecipients || len(d.Former) > maxFormerKeys {
		return fmt.Errorf("generation %d of %d recipients and %d former keys", d.Generation, len(d.Recipients), len(d.Former))
	}
	names := make(map[string]bool)
	for _, p := range d.Recipients {
		if checkID("recipient", p.Name) != nil || names[p.Name] || p.Key == (SealingKey{}) || len(p.Enc) > maxSealedSize || len(p.Wrapped) > maxSealedSize {
			return fmt.Errorf("recipient %s", trustkeep.Printable(p.Name))
		}
		names[p.Name] = true
	}
	for _, f := range d.Former {
		if f.Generation < 1 || f.Generation >= d.Generation || len(f.Sealed) > maxSealedSize {
			return fmt.Errorf("former key %d", f.Generation)
		}
	}
	return nil
}

func (d *ringRecord) names() string {
	var out []string
	for _, p := range d.Recipients {
		out = append(out, p.Name)
	}
	return strings.Join(out, ", ")
}

// digest binds wrapped keys to the list of recipients: with another list none of them opens.
func (d *ringRecord) digest() []byte {
	text := newBinding("trustkeep recipients")
	for _, p := range d.Recipients {
		text.add(p.Name)
		text.add(p.Key.String())
	}
	sum := sha256.Sum256(text.bytes)
	return sum[:]
}

// binding is associated data: strings and numbers, such that no two lists of them are the same
// bytes.
type binding struct{ bytes []byte }

func newBinding(about string) *binding {
	b := new(binding)
	b.add(about)
	return b
}

func (b *binding) add(s string) {
	b.number(uint64(len(s)))
	b.bytes = append(b.bytes, s...)
}

func (b *binding) number(n uint64) { b.bytes = binary.BigEndian.AppendUint64(b.bytes, n) }

func ringInfo(env string, generation int) []byte {
	b := newBinding("trustkeep data key of an environment")
	b.add(env)
	b.number(uint64(generation))
	return b.bytes
}

// ring is a ringRecord that was opened.
type ring struct {
	env        string
	generation int
	dataKey    *redact.Secret
	former     map[int]*redact.Secret
}

// newRing makes a data key and wraps it for those in the record.
func newRing(env string, d *ringRecord, random io.Reader) error {
	dataKey := make([]byte, dataKeySize)
	defer clear(dataKey)
	if _, err := io.ReadFull(random, dataKey); err != nil {
		return err
	}
	d.Generation++
	return d.wrap(env, dataKey)
}

// wrap wraps a data key for those in the record.
func (d *ringRecord) wrap(env string, dataKey []byte) error {
	if len(d.Recipients) > maxRecipients {
		return fmt.Errorf("%d recipients, at most %d: let programs share a key: %w", len(d.Recipients), maxRecipients, trustkeep.ErrLimit)
	}
	info, digest := ringInfo(env, d.Generation), d.digest()
	for i := range d.Recipients {
		p := &d.Recipients[i]
		key, err := p.Key.public()
		if err != nil {
			return err
		}
		enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
		if err != nil {
			return err
		}
		if p.Wrapped, err = sender.Seal(digest, dataKey); err != nil {
			return err
		}
		p.Enc = enc
	}
	return nil
}

// placeOf names an environment for people.
func placeOf(env string) string {
	if env == administrators {
		return "administrators"
	}
	return "environment " + env
}

// open unwraps the data key. The error says who can.
func (d *ringRecord) open(env string, key *OpeningKey) (*ring, error) {
	op := "open the passwords of " + placeOf(env)
	if key == nil || key.key == nil {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrUnsupported, Hint: "set Options.OpeningKey to the key of one of: " + d.names()}
	}
	public := key.SealingKey()
	i := slices.IndexFunc(d.Recipients, func(p ringRecipient) bool { return p.Key == public })
	if i < 0 {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrNotPermitted, Hint: "these can: " + d.names()}
	}
	fail := func() (*ring, error) {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrCorrupt, Hint: "the list of recipients or their keys were changed by somebody who may not"}
	}
	receiver, err := hpke.NewRecipient(d.Recipients[i].Enc, key.key(), hpke.HKDFSHA256(), hpke.AES256GCM(), ringInfo(env, d.Generation))
	if err != nil {
		return fail()
	}
	dataKey, err := receiver.Open(d.digest(), d.Recipients[i].Wrapped)
	defer clear(dataKey)
	if err != nil || len(dataKey) != dataKeySize {
		return fail()
	}
	out := &ring{env: env, generation: d.Generation, dataKey: redact.NewSecret(dataKey), former: make(map[int]*redact.Secret)}
	for _, f := range d.Former {
		old, err := openGCM(dataKey, f.Sealed, formerBinding(env, d.Generation, f.Generation))
		if err != nil || len(old) != dataKeySize {
			return fail()
		}
		out.former[f.Generation] = redact.NewSecret(old)
		clear(old)
	}
	return out, nil
}

func formerBinding(env string, generation, former int) []byte {
	b := newBinding("trustkeep former data key")
	b.add(env)
	b.number(uint64(generation))
	b.number(uint64(former))
	return b.bytes
}

// renew makes a new data key for the recipients in the record, which had o until now. Nothing is
// sealed under what is former in o any more.
func (d *ringRecord) renew(o *ring, random io.Reader) error {
	dataKey := make([]byte, dataKeySize)
	defer clear(dataKey)
	if _, err := io.ReadFull(random, dataKey); err != nil {
		return err
	}
	d.Generation, d.Former = o.generation+1, nil
	sealed, err := sealGCM(dataKey, o.dataKey.Bytes(), formerBinding(o.env, d.Generation, o.generation), random)
	if err != nil {
		return err
	}
	d.Former = []formerKey{{o.generation, sealed}}
	return d.wrap(o.env, dataKey)
}

func sealGCM(key, plain, additional []byte, random io.Reader) ([]byte, error) {
	aead, err := fips.NewGCM(key, random)
	if err != nil {
		return nil, err
	}
	return aead.Seal(plain, additional)
}

func openGCM(key, sealed, additional []byte) ([]byte, error) {
	aead, err := fips.NewGCM(key, rand.Reader)
	if err != nil {
		return nil, err
	}
	return aead.Open(sealed, additional)
}

// key returns the data key of a generation, nil if the ring has it not.
func (o *ring) key(generation int) []byte {
	if generation == o.generation {
		return o.dataKey.Bytes()
	}
	return o.former[generation].Bytes()
}

// sealedRecord holds the passwords of a component for one environment.
type sealedRecord struct {
	stamp
	Generation int `json:"generation"` // of the data key
	// Number grows by one with each change. All passwords are sealed anew then.
	Number  uint64         `json:"number"`
	Secrets []sealedSecret `json:"secrets"`
}

// sealedSecret is the password of one version's content.
type sealedSecret struct {
	contentID
	Sealed []byte `json:"sealed"`
}

// contentID names what a password opens: two contents of the same version differ where a
// component began anew and a frozen copy did not.
type contentID struct {
	Version int    `json:"version"` // or the negative number of a request whose key waits
	Digest  digest `json:"content"`
}

// digest is the SHA-256 of a protected private key.
type digest [sha256.Size]byte

// MarshalText spells it in hex.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reverses MarshalText.
func (d *digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return errors.New("digest of another length")
	}
	_, err := hex.Decode(d[:], text)
	return err
}

func digestOfKey(s component.Stored) digest {
	b := newBinding("trustkeep protected key")
	b.add(string(s.Store))
	b.add(string(s.Data))
	return sha256.Sum256(b.bytes)
}

func newSealedRecord() *sealedRecord { return new(sealedRecord) }

func (d *sealedRecord) check(string) error {
	if d.Generation < 1 || d.Number < 1 || len(d.Secrets) > maxSealedSecrets {
		return fmt.Errorf("generation %d, number %d, %d passwords", d.Generation, d.Number, len(d.Secrets))
	}
	for _, s := range d.Secrets {
		if s.Version == 0 || len(s.Sealed) > maxSealedSize {
			return fmt.Errorf("password of %s", numbered(s.Version))
		}
	}
	return nil
}

func (d *sealedRecord) find(c contentID) int {
	return slices.IndexFunc(d.Secrets, func(s sealedSecret) bool { return s.contentID == c })
}

// knows tells whether the record has the password of a content, of whatever version.
func (d *sealedRecord) knows(c digest) bool {
	return slices.ContainsFunc(d.Secrets, func(s sealedSecret) bool { return s.Digest == c })
}

func (d *sealedRecord) describe() string {
	var versions []int
	for _, s := range d.Secrets {
		versions = append(versions, s.Version)
	}
	slices.Sort(versions)
	return fmt.Sprintf("passwords of versions %v", slices.Compact(versions))
}

func secretBinding(env, component string, number uint64, c contentID) []byte {
	b := newBinding("trustkeep password")
	b.add(env)
	b.add(component)
	b.number(uint64(c.Version))
	b.number(number)
	b.add(string(c.Digest[:]))
	return b.bytes
}

// openSecret opens the i-th password of a record.
func (o *ring) openSecret(component string, d *sealedRecord, i int) ([]byte, error) {
	key := o.key(d.Generation)
	if key == nil {
		return nil, &trustkeep.Error{Op: "open a password of " + placeOf(o.env), Alias: component, Err: trustkeep.ErrCorrupt,
			Hint: fmt.Sprintf("it is sealed under the data key %d, which is gone or never was", d.Generation)}
	}
	s := d.Secrets[i]
	password, err := openGCM(key, s.Sealed, secretBinding(o.env, component, d.Number, s.contentID))
	if err != nil {
		// Under the right data key, so it was changed or is another's.
		return nil, &trustkeep.Error{Op: "open a password of " + placeOf(o.env), Alias: component, Err: trustkeep.ErrCorrupt}
	}
	return password, nil
}

// seal replaces what the record holds.
func (o *ring) seal(component string, d *sealedRecord, passwords map[contentID]*redact.Secret, random io.Reader) error {
	d.Generation, d.Number, d.Secrets = o.generation, d.Number+1, nil
	for c, p := range passwords {
		sealed, err := sealGCM(o.dataKey.Bytes(), p.Bytes(), secretBinding(o.env, component, d.Number, c), random)
		if err != nil {
			return err
		}
		d.Secrets = append(d.Secrets, sealedSecret{c, sealed})
	}
	slices.SortFunc(d.Secrets, func(a, b sealedSecret) int {
		if a.Version != b.Version {
			return a.Version - b.Version
		}
		return slices.Compare(a.Digest[:], b.Digest[:])
	})
	return d.check("")
}
