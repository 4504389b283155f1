package keystore

import (
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/inspect"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/pkcs12"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Inspect serves the other packages of this module; use audit.Run and audit.CanRead instead.
// It describes the store as o would write it and unlocks no key. The error is that of the
// password source.
func (k *Keystore) Inspect(o trustkeep.SaveOptions) (inspect.Store, error) {
	given, err := storefile.Reveal(o.Password)
	if err != nil {
		return inspect.Store{}, &trustkeep.Error{Op: "keystore: inspect", Path: k.Path(), Err: err}
	}
	defer given.Wipe()
	var i inspect.Store
	k.look(func(s *state) {
		i.Format, i.Profile = o.Format, o.Profile
		if i.Format == "" {
			i.Format = s.format
		}
		if i.Profile == "" && i.Format == s.format {
			i.Profile = s.profile
		}
		password := given
		switch {
		case o.NoPassword || i.Profile == trustkeep.Passwordless:
			password = nil
		case given == nil:
			password = s.password
		}
		i.Protected = password != nil
		i.Printable = !slices.ContainsFunc(password.Bytes(), func(b byte) bool { return b < 0x20 || b > 0x7e })
		i.Era = s.era(i.Format, i.Profile)
	})
	i.Try = func(alias string, candidate []byte, spend limits.Spender) error {
		if candidate == nil {
			_, err := k.identity("keystore: identity", alias, nil, false, spend)
			return err
		}
		secret := redact.NewSecret(candidate)
		defer secret.Wipe()
		_, err := k.identity("keystore: identity", alias, secret, true, spend)
		return err
	}
	i.IsPassword = func(candidate []byte) (is bool) {
		k.look(func(s *state) { is = same(s.password, redact.NewSecret(candidate)) })
		return is
	}
	return i, nil
}

// era sums up what a profile will apply: "PBMAC1", "AES" or "" for what everybody knows.
func (s *state) era(f trustkeep.Format, p trustkeep.Profile) string {
	switch p {
	case trustkeep.Modern2026, trustkeep.Java26, trustkeep.FIPS:
		return "PBMAC1"
	case trustkeep.Modern, trustkeep.Java17, trustkeep.OpenSSL11:
		return "AES"
	case "":
		if f != s.format || s.source == nil {
			return "AES" // trustkeep.Modern
		}
		if source, ok := s.source.(pkcs12.Source); ok {
			return source.Era()
		}
	}
	return ""
}
