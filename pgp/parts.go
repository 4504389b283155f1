package pgp

import (
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
)

// Parts lists the primary key and those subkeys that encrypt or sign longest: until
// their NotAfter the key serves that use, then no longer. What is revoked, or not
// bound to the key, is left out. Package partner and the reports about expiry use it.
func (k *Key) Parts() []trustkeep.Part {
	e := k.view(Legacy)
	pc := Options{Allow: Legacy}.packetConfig(time.Time{})
	part := func(name string, p *packet.PublicKey, u Usage, ends ...time.Time) trustkeep.Part {
		out := trustkeep.Part{Name: name, Encrypts: u&UsageEncrypt != 0, Signs: u&UsageSign != 0, NotBefore: p.CreationTime.UTC()}
		for _, end := range ends {
			if !end.IsZero() && (out.NotAfter.IsZero() || end.Before(out.NotAfter)) {
				out.NotAfter = end
			}
		}
		switch {
		case out.Encrypts && out.Signs:
			out.Name += " that encrypts and signs"
		case out.Encrypts:
			out.Name += " that encrypts"
		case out.Signs:
			out.Name += " that signs"
		}
		return out
	}
	self, err := e.PrimarySelfSignature(time.Time{}, pc)
	if err != nil {
		return []trustkeep.Part{part("primary key", e.PrimaryKey, 0)}
	}
	end := expiry(e.PrimaryKey, self, directSignature(e))
	primary := part("primary key", e.PrimaryKey, usage(self, e.PrimaryKey, pc), end)
	encrypts, signs := -1, -1
	parts := []trustkeep.Part{primary}
	for i := range e.Subkeys {
		s := &e.Subkeys[i]
		if sig, err := s.Verify(time.Time{}, pc); err == nil {
			parts = append(parts, part("subkey "+keyID(s.PublicKey.KeyId), s.PublicKey, usage(sig, s.PublicKey, &packet.Config{}), end, expiry(s.PublicKey, sig)))
		}
	}
	for i, p := range parts {
		if p.Encrypts && (encrypts < 0 || longer(p, parts[encrypts])) {
			encrypts = i
		}
		if p.Signs && (signs < 0 || longer(p, parts[signs])) {
			signs = i
		}
	}
	out := []trustkeep.Part{primary}
	if encrypts > 0 {
		out = append(out, parts[encrypts])
	}
	if signs > 0 && signs != encrypts {
		out = append(out, parts[signs])
	}
	return out
}

func longer(a, b trustkeep.Part) bool {
	return !b.NotAfter.IsZero() && (a.NotAfter.IsZero() || a.NotAfter.After(b.NotAfter))
}

func (c *keyContent) Parts() []trustkeep.Part { return c.key.Parts() }
