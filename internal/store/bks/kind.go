package bks

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// learnKinds finds out which sealed entries are not what they look like: only the
// encrypted part says what it is, and BouncyCastle seals secret and public keys with a
// chain too. Keys of another password, or beyond the budget, stay what they look like.
func learnKinds(entries []*entry.Entry, password []byte, spend limits.Spender) {
	var sealed []*entry.Entry
	for _, e := range entries {
		if e.Key != nil && e.Key.Encrypted {
			sealed = append(sealed, e)
		}
	}
	entry.Parallel(len(sealed), func(i int) {
		e := sealed[i]
		blob := e.Key.Protected
		scheme, ciphertext, err := splitSealed(blob)
		if err != nil {
			return
		}
		k, err := openSealed(scheme, ciphertext, password, spend)
		if err != nil {
			return
		}
		defer clear(k.encoding)
		switch {
		case k.kind == publicKey:
			e.Kind, e.Key = entry.Opaque, nil
			e.Raw = append([]byte{typeSealed}, blob...)
			e.Err = fmt.Errorf("bks: sealed public key: %w", trustkeep.ErrUnsupported)
		case k.kind == secretKey && e.Kind == entry.Key:
			e.Kind, e.Key = entry.Secret, newSealedKey(blob, entry.Secret)
			e.Key.LearnAlgorithm(k.algorithm)
		}
	})
}
