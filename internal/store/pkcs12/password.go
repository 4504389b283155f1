package pkcs12

import (
	"errors"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// candidates returns the password in the encodings in which writers may have
// used it, the likeliest first; see the package comment.
func candidates(password []byte) [][]byte {
	switch {
	case password == nil:
		return [][]byte{nil, {}}
	case len(password) == 0:
		return [][]byte{password, nil}
	}
	for _, b := range password {
		if b >= 0x80 {
			return [][]byte{password, octetsAsRunes(password)}
		}
	}
	return [][]byte{password}
}

func octetsAsRunes(b []byte) []byte {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return []byte(string(runes))
}

// distinct is how many of the candidates differ for a key derivation: those
// outside RFC 7292 take octets, and no password as the empty one.
func distinct(passwords [][]byte, kdf pbe.KDF) int {
	if kdf != pbe.PKCS12 && len(passwords[0]) == 0 {
		return 1
	}
	return len(passwords)
}

// derivations makes each key derivation of a file happen once, whoever asks
// first.
type derivations struct {
	mu   sync.Mutex
	done map[derivation]*derived
}

type derivation struct {
	scheme   string // pbe.Scheme.Derivation
	password int    // number among the candidates
}

type derived struct {
	once sync.Once
	key  []byte
	err  error
}

// derive returns key material that is shared and must not be changed.
func (d *derivations) derive(s *pbe.Scheme, passwords [][]byte, i int, spend limits.Spender) ([]byte, error) {
	if distinct(passwords, s.Params().KDF) == 1 {
		i = 0
	}
	id := derivation{s.Derivation(), i}
	d.mu.Lock()
	one := d.done[id]
	if one == nil {
		one = new(derived)
		if d.done == nil {
			d.done = make(map[derivation]*derived)
		}
		d.done[id] = one
	}
	d.mu.Unlock()
	one.once.Do(func() { one.key, one.err = s.Derive(passwords[i], spend) })
	return one.key, one.err
}

// wipe clears what was derived.
func (d *derivations) wipe() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.done {
		clear(one.key)
	}
	d.done = nil
}

// open derives and decrypts, trying the password numbered first before the
// other candidates.
func (d *derivations) open(s *pbe.Scheme, passwords [][]byte, first int, spend limits.Spender, open func(key []byte) ([]byte, error)) ([]byte, error) {
	var wrong error
	for n := range distinct(passwords, s.Params().KDF) {
		i := (first + n) % len(passwords)
		key, err := d.derive(s, passwords, i, spend)
		if err != nil {
			return nil, err
		}
		plain, err := open(key)
		if err == nil || !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			return plain, err
		}
		wrong = err
	}
	return nil, wrong
}
