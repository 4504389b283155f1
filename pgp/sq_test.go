package pgp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// TestInteropSequoia passes keys and messages to sq and back. sq 0.27 knows
// version 4 keys and version 1 of encrypted data.
func TestInteropSequoia(t *testing.T) {
	testtool.Need(t, "sq")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) string {
		t.Helper()
		if err := os.WriteFile(in(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return in(name)
	}
	try := func(args ...string) (string, error) {
		t.Helper()
		cmd := testtool.Command(t, "sq", append([]string{"--force"}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	sq := func(args ...string) string {
		t.Helper()
		out, err := try(args...)
		if err != nil {
			t.Fatalf("sq %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	const content = "text for sequoia\n- dash\n"
	write("content", []byte(content))
	for _, suite := range []string{"cv25519", "rsa3k"} {
		sq("key", "generate", "--cipher-suite", suite, "--userid", "sq <sq@example.com>", "--expires-in", "2y", "--export", in("sq.key"), "--rev-cert", in("sq.rev"))
		data, err := os.ReadFile(in("sq.key"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := mustParse(t, data).Keys()[0]
		info := theirs.Info(Options{})
		if info.Problem != nil || info.Expires.IsZero() || len(info.Subkeys) < 2 {
			t.Errorf("%s: %+v", suite, info)
		}
		for _, p := range []Preset{PresetGnuPG22, PresetRSA3072, PresetNISTP256, PresetNISTP521} {
			ours := testKeys()[p]
			cert := write("ours.pgp", mustArmor(t, ours))
			// Ours to sq. The private part of sq's key is without passphrase.
			message := write("message", encrypted(t, Encryption{To: []*Key{theirs}, Signers: []*Key{ours}, Compression: ZIP}, []byte(content)))
			sq("decrypt", "--recipient-key", in("sq.key"), "--signer-cert", cert, "--output", in("out"), message)
			if got, _ := os.ReadFile(in("out")); string(got) != content {
				t.Errorf("%s, %s: sq decrypts to %q", suite, p, got)
			}
			signature := write("sig", signed(t, Signing{Signers: []*Key{ours}, Armor: true}, "detached", content))
			sq("verify", "--signer-cert", cert, "--detached", signature, in("content"))
			if out, err := try("verify", "--signer-cert", cert, "--detached", signature, in("sq.key")); err == nil {
				t.Errorf("sq verifies other content: %s", out)
			}
			for _, how := range []string{"message", "cleartext"} {
				sq("verify", "--signer-cert", cert, "--output", in("out"), write("signed", signed(t, Signing{Signers: []*Key{ours}}, how, content)))
			}
			// sq's to us.
			sq("encrypt", "--recipient-cert", cert, "--signer-key", in("sq.key"), "--output", in("enc"), in("content"))
			data, err := os.ReadFile(in("enc"))
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			res, err := Decryption{Keys: []*Key{ours}, Signers: []*Key{theirs}}.Decrypt(&out, bytes.NewReader(data))
			if err != nil || out.String() != content || res.Signature != SignatureValid {
				t.Errorf("%s, %s: %q, %v", suite, p, out.String(), err)
			}
		}
		v := Verification{Signers: []*Key{theirs.Public()}}
		for how, args := range map[string][]string{"message": nil, "detached": {"--detached"}, "cleartext": {"--cleartext-signature"}} {
			sq(append(append([]string{"sign"}, args...), "--signer-key", in("sq.key"), "--output", in("signed"), in("content"))...)
			data, err := os.ReadFile(in("signed"))
			if err != nil {
				t.Fatal(err)
			}
			if _, got, err := verified(v, how, content, data); err != nil || got != content {
				t.Errorf("%s, %s: %q, %v", suite, how, got, err)
			}
		}
		t.Logf("%s: 4 of our profiles, encrypted, signed, detached and cleartext in both directions", suite)
	}
	// What becomes of a key here, sq sees too. It does not encrypt to an expired
	// key; it does to a revoked one, of GnuPG's as well, but says what it is.
	base := newKey(t, GenerateOptions{}, Options{})
	revoked, err := base.Revoke(ReasonCompromised, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	past := Options{Clock: func() time.Time { return time.Now().Add(-48 * time.Hour) }}
	expired := newKey(t, GenerateOptions{Expires: time.Now().Add(-24 * time.Hour)}, past)
	extended, err := expired.SetExpiry(time.Now().Add(24*time.Hour), Options{Clock: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key *Key
		ok  bool
	}{"good": {base, true}, "revoked": {revoked, true}, "expired": {expired, false}, "extended": {extended, true}} {
		out, err := try("encrypt", "--recipient-cert", write("k", mustArmor(t, tt.key)), "--output", in("enc"), in("content"))
		if (err == nil) != tt.ok {
			t.Errorf("%s: sq encrypts: %v\n%s", name, err, out)
		}
		if got := strings.Contains(sq("inspect", in("k")), "Revoked:"); got != (name == "revoked") {
			t.Errorf("%s: sq says that it is revoked: %v", name, got)
		}
	}
	t.Log("good, revoked, expired and extended keys are what sq takes them for")
}
