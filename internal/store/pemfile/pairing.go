package pemfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// unlock opens the keys that Unlock or the pairing asks for, and at least one
// encrypted key, to tell a wrong password.
func (r *reader) unlock() error {
	var locked []*entry.Entry
	for _, e := range r.keys {
		switch {
		case e.Key.Encrypted:
			locked = append(locked, e)
		case r.opts.Unlock:
			e.Key.Opened, e.Key.OpenErr = e.Key.Unlock(nil, r.opts.Budget)
		}
	}
	if len(locked) == 0 || r.opts.Password == nil && !r.opts.Unlock {
		return nil
	}
	needed := locked
	if !r.opts.Unlock {
		needed = entry.ToBeOpened(locked, r.certs)
	}
	errs := make([]error, len(needed))
	opened := false
	entry.Parallel(len(needed), func(i int) { errs[i] = r.open(needed[i]) })
	for _, err := range errs {
		opened = opened || err == nil
		if errors.Is(err, trustkeep.ErrLimit) && !r.opts.Unlock {
			return fmt.Errorf("%d encrypted keys without local key ID, to be opened to find their certificates: %w", len(needed), err)
		}
	}
	for i := 0; i < len(locked) && len(needed) == 0 && !opened; i++ {
		err := r.open(locked[i])
		errs = append(errs, err)
		opened = err == nil
	}
	if opened || r.opts.Password == nil {
		return nil
	}
	for _, err := range errs {
		if errors.Is(err, trustkeep.ErrIncorrectPassword) || errors.Is(err, trustkeep.ErrLimit) {
			return err
		}
	}
	return nil
}

// open opens an encrypted key and keeps what the pairing and Unlock need.
func (r *reader) open(e *entry.Entry) error {
	k := e.Key
	der, err := k.Unlock(r.opts.Password, r.opts.Budget)
	if err == nil {
		k.PublicKeyInfo, err = pkcs8.PublicKeyInfo(der, r.opts.Budget)
	}
	if err == nil {
		if k.Algorithm, err = pkcs8.Describe(der); err != nil {
			k.Algorithm, err = "", nil
		}
	}
	if r.opts.Unlock {
		k.Opened, k.OpenErr = der, err
		return err
	}
	clear(der)
	return err
}

// pairByExclusion gives the only key of a file, where it cannot be opened and
// nothing names its certificate, the only certificate that issued none of the
// others. A guess, but unlocking the key checks it.
func (r *reader) pairByExclusion() {
	if len(r.keys) != 1 || r.keys[0].Key.PublicKeyInfo != nil || r.keys[0].Alias != "" {
		return
	}
	if r.keys[0].LocalKeyID != nil {
		return
	}
	issuers := make(map[string]bool, len(r.certs))
	for _, c := range r.certs {
		if o, ok := c.Chain[0].Outline(); ok && !bytes.Equal(o.Issuer, o.Subject) {
			issuers[string(o.Issuer)] = true
		}
	}
	var candidates []*entry.Entry
	for _, c := range r.certs {
		if o, ok := c.Chain[0].Outline(); ok && !issuers[string(o.Subject)] && !c.Marked && c.Unnamed {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 1 {
		// Assemble pairs by equal aliases last.
		candidates[0].Alias = entry.NameFor(candidates[0].Chain[0])
		r.keys[0].Alias = candidates[0].Alias
		r.guessed = r.keys[0]
	}
}

// review remarks on what Assemble made.
func (r *reader) review(entries []*entry.Entry) {
	for _, e := range entries {
		switch {
		case e.Kind == entry.Key && len(e.Chain) == 0 && len(r.certs) > 0:
			r.find(e.Alias, "unpaired-key", fmt.Sprintf("private key %q matches no certificate of the file", trustkeep.Printable(e.Alias)))
		case e.Kind == entry.Trusted:
			if e.Trust == nil {
				continue
			}
			if len(e.Trust.Deny) > 0 {
				// Who knows nothing of settings must not trust it.
				e.Kind = entry.Opaque
				r.find(e.Alias, "rejected-certificate", "the file rejects the certificate for "+nameUsages(e.Trust.Deny))
			}
			if e.Trust.Limited {
				r.find(e.Alias, "limited-trust", "the file trusts the certificate for "+nameUsages(e.Trust.Allow)+" only")
			}
		}
	}
}
