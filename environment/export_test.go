package environment

import (
	"context"
	"crypto/subtle"
	"time"
)

// WaitForPasswords bounds how long handshakes wait for a password.
func (a *Atom) WaitForPasswords(d time.Duration) { a.passwordWait = d }

// PasswordTags returns for each version of a component, by number, the tag of its password:
// the same where the password is the same. Versions whose password is not kept have none.
func (r *Registry) PasswordTags(ctx context.Context, id string) (map[int]string, error) {
	_, d, _, err := r.component(ctx, id)
	if err != nil {
		return nil, failure("password tags", id, err)
	}
	out := make(map[int]string)
	for n, s := range d.Secrets {
		if s.Tag != "" {
			out[n] = s.Tag
		}
	}
	return out, nil
}

// SamePassword tells whether two tags of PasswordTags are of the same password.
func SamePassword(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
