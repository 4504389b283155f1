package keystore_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestCheckKey(t *testing.T) {
	for _, e := range readTruth(t) {
		if e.kind == "trusted" || e.file == "keytool-20.p12" {
			continue
		}
		o := keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{e.alias: password(e.keyPassword)}}
		ks, err := o.Load(filepath.Join("testdata", e.file), password(e.storePassword))
		if err != nil {
			t.Fatal(err)
		}
		info, err := ks.CheckKey(e.alias)
		isKey := e.kind == "key"
		if err != nil || info.Algorithm == "" || info.Usable != isKey || info.Matched != isKey || strings.HasPrefix(info.SSHFingerprint, "SHA256:") != isKey {
			t.Errorf("%s %s: %+v, %v", e.file, e.alias, info, err)
		}
	}

	ks, err := keystore.Load("testdata/keytool-two.jks", trustkeep.Password("storepass"))
	if err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]error{"first": trustkeep.ErrIncorrectPassword, "ca": trustkeep.ErrNotFound, "nobody": trustkeep.ErrNotFound, "second": nil} {
		if _, err := ks.CheckKey(alias); !errors.Is(err, want) {
			t.Errorf("%s: %v", alias, err)
		}
	}
}

func TestInteropSSHFingerprint(t *testing.T) {
	testtool.Need(t, "ssh-keygen")
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		path := filepath.Join(t.TempDir(), kind)
		testtool.Run(t, "ssh-keygen", "-q", "-t", kind, "-N", "secret", "-f", path)
		out := testtool.Output(t, "ssh-keygen", "-l", "-f", path)
		ks, err := keystore.Load(path, trustkeep.Password("secret"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := ks.CheckKey(ks.Aliases()[0])
		if err != nil || !strings.Contains(out, " "+info.SSHFingerprint+" ") || info.Matched || !info.Usable {
			t.Errorf("%+v, %v; ssh-keygen says %s", info, err, out)
		}
		t.Logf("%s: %s", kind, info.SSHFingerprint)
	}
}
