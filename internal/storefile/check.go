package storefile

import (
	"crypto"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Check calls SaveOptions.Check, if set, with the store that is about to be written. key
// returns the public key of an unlocked private key and the key's own password; it may be nil.
// A panic of the check becomes an error, since checks parse data that may be hostile.
func Check(o trustkeep.SaveOptions, s *entry.Store, data []byte, password *redact.Secret, key func(*entry.Entry) (crypto.PublicKey, *redact.Secret)) (err error) {
	if o.Check == nil {
		return nil
	}
	encoded := trustkeep.Encoded{Container: s.Format, Data: data, Password: Revealed(password)}
	for _, e := range s.Entries {
		one := trustkeep.EncodedEntry{Alias: e.Alias, Kind: kindName(e.Kind)}
		for _, c := range e.Chain {
			one.Chain = append(one.Chain, c.Raw)
		}
		if key != nil && e.Kind == entry.Key {
			var own *redact.Secret
			one.PublicKey, own = key(e)
			one.Password = Revealed(own)
		}
		encoded.Entries = append(encoded.Entries, one)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v", p)
		}
	}()
	return o.Check(encoded)
}

func kindName(k entry.Kind) string {
	switch k {
	case entry.Key:
		return "key"
	case entry.Trusted:
		return "trusted"
	case entry.Secret:
		return "secret"
	case entry.CRL:
		return "crl"
	}
	return "opaque"
}
