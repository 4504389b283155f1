package environment_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// inDirectory is a world whose storage is a directory.
func inDirectory(t *testing.T) (w *world, dir string) {
	t.Helper()
	dir = t.TempDir()
	d := check(dirstore.Open(dir, dirstore.Options{}))(t)
	t.Cleanup(func() { d.Close() })
	w = &world{t: t, clock: newClock(), storage: d}
	w.Registry = check(environment.Open(t.Context(), d, environment.Options{
		Sealer: environment.PasswordSealer(trustkeep.Password("of the registry")),
	}))(t)
	w.test = check(w.CreateEnvironment(t.Context(), "test"))(t)
	return w, dir
}

func names(t *testing.T, folder string) string {
	t.Helper()
	var out []string
	for _, e := range check(os.ReadDir(folder))(t) {
		if !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return strings.Join(out, " ")
}

// TestInteropToolsOpenTheFilesOfADirectory: what is kept can be looked at and used
// without this library, and goes with its component.
func TestInteropToolsOpenTheFilesOfADirectory(t *testing.T) {
	testtool.Find(t, "keytool")
	w, dir := inDirectory(t)
	x := w.identity("x")
	w.public(x, "public")
	p := w.pgpKey("p")
	folder := func(id string) string { return filepath.Join(dir, "components", id) }
	for id, want := range map[string]string{"x": "record.json x.cer x.p12", "public": "public.cer record.json", "p": "p_priv.asc p_pub.asc record.json"} {
		if got := names(t, folder(id)); got != want {
			t.Errorf("%s: files %q, not %q", id, got, want)
		}
	}

	listed := testtool.Run(t, "keytool", "-list", "-v", "-keystore", filepath.Join(folder("x"), "x.p12"), "-storepass", "secret-x")
	colons := strings.ToLower(strings.ReplaceAll(listed, ":", ""))
	if !strings.Contains(colons, x.Fingerprint()) || !strings.Contains(listed, "PrivateKeyEntry") {
		t.Errorf("keytool lists something else:\n%s", listed)
	}
	testtool.Run(t, "openssl", "pkcs12", "-in", filepath.Join(folder("x"), "x.p12"), "-passin", "pass:secret-x", "-nodes")
	shown := testtool.Run(t, "openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", filepath.Join(folder("public"), "public.cer"))
	if !strings.Contains(strings.ToLower(strings.ReplaceAll(shown, ":", "")), x.Fingerprint()) {
		t.Errorf("openssl shows another certificate: %s", shown)
	}
	keys := testtool.Run(t, "gpg", "--homedir", t.TempDir(), "--batch", "--show-keys", "--with-colons", filepath.Join(folder("p"), "p_priv.asc"))
	if !strings.Contains(strings.ToLower(keys), p.Fingerprint()) || !strings.Contains(keys, "sec:") {
		t.Errorf("gpg shows another key:\n%s", keys)
	}

	check(w.Rename(t.Context(), "x", "another"))(t)
	if got := names(t, folder("x")); got != "another.cer another.p12 record.json" {
		t.Errorf("after the renaming: %q", got)
	}
	check(w.ChangePassword(t.Context(), "x", trustkeep.Password("secret-x"), trustkeep.Password("next")))(t)
	testtool.Run(t, "openssl", "pkcs12", "-in", filepath.Join(folder("x"), "another.p12"), "-passin", "pass:next", "-nodes")
	must(t, w.Delete(t.Context(), "x"))
	if _, err := os.Stat(filepath.Join(folder("x"), "another.p12")); !os.IsNotExist(err) {
		t.Errorf("the key of a deleted component is still there: %v", err)
	}
	t.Log("keytool, openssl and gpg opened a private and a public component and a PGP key")
}

// TestInteropFilesOfToolsAreImported: the content decides on the kind.
func TestInteropFilesOfToolsAreImported(t *testing.T) {
	testtool.Find(t, "keytool")
	w, _ := inDirectory(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	testtool.Run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", at("key.pem"), "-out", at("cert.pem"), "-subj", "/CN=openssl", "-days", "30")
	testtool.Run(t, "openssl", "pkcs12", "-export", "-inkey", at("key.pem"), "-in", at("cert.pem"), "-out", at("store.p12"), "-passout", "pass:changeit")
	testtool.Run(t, "keytool", "-genkeypair", "-keystore", at("store.jks"), "-storetype", "JKS", "-storepass", "changeit", "-keypass", "changeit", "-alias", "a", "-keyalg", "RSA", "-dname", "CN=keytool")
	home := filepath.Join(dir, "gpg")
	must(t, os.Mkdir(home, 0o700))
	gpg := func(args ...string) string {
		return testtool.Run(t, "gpg", append([]string{"--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "changeit"}, args...)...)
	}
	t.Cleanup(func() { testtool.Command(t, "gpgconf", "--homedir", home, "--kill", "gpg-agent").Run() })
	gpg("--quick-gen-key", "gpg@example.com", "rsa2048", "default", "never")
	gpg("--armor", "--output", at("pub.asc"), "--export", "gpg@example.com")
	gpg("--output", at("priv.gpg"), "--export-secret-keys", "gpg@example.com")

	for file, want := range map[string]string{
		"cert.pem": "public X.509", "store.p12": "private X.509", "store.jks": "private X.509",
		"pub.asc": "public PGP", "priv.gpg": "private PGP",
	} {
		data := check(os.ReadFile(at(file)))(t)
		c, err := w.Import(t.Context(), file, data, environment.ComponentOptions{Password: trustkeep.Password("changeit")})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if got := c.Visibility().String() + " " + c.Kind().String(); got != want {
			t.Errorf("%s became %s, not %s", file, got, want)
		}
		t.Logf("%s: %v", file, c)
	}
}
