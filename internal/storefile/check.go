package storefile

import (
	"crypto"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Check calls SaveOptions.Check, if there is one, with what is about to be written. Key
// returns what is known of a private key: its public key if it is unlocked, and the
// password that it has for itself; Key may be nil. A panic of the check is an error, since
// an independent implementation is asked about what may be hostile.
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
