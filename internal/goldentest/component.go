package goldentest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// What of this package depends on how components and keys are spelled in Go.

func versionsOf(c *component.Component) (out []Version) {
	for _, v := range c.Versions() {
		out = append(out, Version{v.Number, v.Replaced.UTC(), v.Fingerprint()})
	}
	return out
}

func subjectsOf(c *component.Component) (out []string) {
	for _, cert := range c.Describe() {
		out = append(out, cert.Subject)
	}
	return out
}

// opens opens the private key of a component.
func opens(t testing.TB, c *component.Component, password trustkeep.PasswordSource) string {
	t.Helper()
	if key := pgp.KeyOf(c); key != nil {
		return unlocked(t, key, password)
	}
	return publicKeyOf(check(keystore.IdentityOf(c, password))(t).Leaf().Raw)
}

func sealers(t testing.TB, folder string) map[string]environment.Sealer {
	ks := check(keystore.Load(filepath.Join(folder, "identity.p12"), trustkeep.Password("golden")))(t)
	key := filepath.Join(t.TempDir(), "key") // with the mode of a secret
	if err := os.WriteFile(key, check(os.ReadFile(filepath.Join(folder, "key")))(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]environment.Sealer{
		"password": environment.PasswordSealer(trustkeep.Password("golden")),
		"file":     environment.FileSealer(key),
		"identity": environment.IdentitySealer(check(ks.Identity(""))(t)),
	}
}
