package environment

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// FuzzSealedRecords feeds what somebody else wrote in the place of a data key, or of a sealed
// password. What opens is what was sealed.
func FuzzSealedRecords(f *testing.F) {
	// The same in each process: what one of them seals, others open.
	key, err := ParseOpeningKey(formatKey(openingPrefix, hpke.MLKEM768P256().ID(), bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		f.Fatal(err)
	}
	d := newRingRecord()
	if err := d.add(Recipient{"one", key.SealingKey()}); err != nil {
		f.Fatal(err)
	}
	if err := newRing("test", d, rand.Reader); err != nil {
		f.Fatal(err)
	}
	first, err := d.open("test", key)
	if err != nil {
		f.Fatal(err)
	}
	if err := d.renew(first, rand.Reader); err != nil {
		f.Fatal(err)
	}
	o, err := d.open("test", key)
	if err != nil {
		f.Fatal(err)
	}
	secret := []byte("the password")
	s := newSealedRecord()
	if err := o.seal("x", s, map[contentID]*redact.Secret{{Version: 1}: redact.NewSecret(secret), {Version: 2}: redact.NewSecret(secret)}, rand.Reader); err != nil {
		f.Fatal(err)
	}
	var seeds [2][]byte
	for i, one := range []document{d, s} {
		one.stamped().Format = formatVersion
		if seeds[i], err = encode(one); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(seeds[0], seeds[1])
	f.Add(bytes.Replace(seeds[0], []byte(`"generation":2`), []byte(`"generation":3`), 1), seeds[1])
	f.Add(seeds[0], bytes.Replace(seeds[1], []byte(`"number":1`), []byte(`"number":2`), 1))
	f.Fuzz(func(t *testing.T, ringText, text []byte) {
		v := newInventory()
		v.apply(Record{Key: ringKey("test"), Value: ringText, Revision: 1})
		v.apply(Record{Key: sealedKey("test", "x"), Value: text, Revision: 1})
		for _, err := range v.damaged {
			if !known(err) {
				t.Errorf("%v", err)
			}
		}
		v.counts("test")
		now, c := v.rings["test"], v.sealed[sealedKey("test", "x")]
		if now == nil {
			return
		}
		_ = now.names()
		opened, err := now.open("test", key)
		if err != nil {
			if !known(err) && !errors.Is(err, trustkeep.ErrNotPermitted) {
				t.Errorf("%v", err)
			}
			return
		}
		if c == nil {
			return
		}
		_ = c.record.describe()
		for i := range c.record.Secrets {
			if got, err := opened.openSecret("x", c.record, i); err == nil && !bytes.Equal(got, secret) {
				t.Errorf("opened as %q", got)
			}
		}
	})
}

// FuzzSealingKeys: what is parsed is spelled as it was, and can be sealed for.
func FuzzSealingKeys(f *testing.F) {
	key, err := NewOpeningKey()
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := key.key().Bytes()
	f.Add(key.SealingKey().String())
	f.Add(string(formatKey(openingPrefix, 0x50, raw)))
	f.Add(string(formatKey(openingPrefix, 0x10, raw)))
	f.Add(sealingPrefix + "0010:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseSealingKey(text); err == nil {
			if again, err := ParseSealingKey(k.String()); err != nil || again != k {
				t.Errorf("%v", err)
			}
			d := newRingRecord()
			if err := d.add(Recipient{"one", k}); err != nil {
				t.Error(err)
			}
			newRing("test", d, rand.Reader) // a key that agrees on nothing is an error
		} else if !known(err) {
			t.Errorf("%v", err)
		}
		if k, err := ParseOpeningKey([]byte(text)); err == nil {
			if _, err := ParseSealingKey(k.SealingKey().String()); err != nil {
				t.Error(err)
			}
		} else if !known(err) {
			t.Errorf("%v", err)
		}
	})
}
