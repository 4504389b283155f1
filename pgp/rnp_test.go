package pgp

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// TestInteropRNP passes keys and messages to rnp and back. rnp 0.16 knows version 4 keys,
// version 1 of encrypted data, and the AEAD packets of the drafts.
func TestInteropRNP(t *testing.T) {
	f := testtool.NewFolder(t, "rnp")
	const content = "text for rnp\n- dash\n"
	f.Write("content", []byte(content))
	rnp := func(args ...string) string {
		t.Helper()
		return f.Run("rnp", append([]string{"--notty", "--homedir", ".", "--overwrite", "--password", "password"}, args...)...)
	}
	// By password, in each way that rnp has: AES-256 of the drafts, both modes.
	for _, args := range [][]string{nil, {"--aead=EAX"}, {"--aead=OCB"}, {"--aead=OCB", "--cipher", "AES128", "--armor"}, {"--zip"}, {"--cipher", "CAST5"}} {
		rnp(append([]string{"-c", "--output", "enc", "content"}, args...)...)
		var out bytes.Buffer
		res, err := Decryption{Passwords: passwords("wrong", "password")}.Decrypt(&out, bytes.NewReader(f.Read("enc")))
		if err != nil || out.String() != content || len(args) > 0 && strings.HasPrefix(args[0], "--aead") != (res.Integrity == "aead") {
			t.Errorf("rnp -c %v: %q, %v", args, out.String(), err)
		}
	}
	for _, cipher := range []string{"BLOWFISH", "TWOFISH", "CAMELLIA256", "IDEA"} {
		rnp("-c", "--cipher", cipher, "--output", "enc", "content")
		_, err := Decryption{Passwords: passwords("password")}.Decrypt(&bytes.Buffer{}, bytes.NewReader(f.Read("enc")))
		if !isSentinel(err, trustkeep.ErrUnsupported) || !strings.Contains(strings.ToUpper(strings.ReplaceAll(err.Error(), "-", "")), cipher) {
			t.Errorf("rnp -c --cipher %s: %v", cipher, err)
		}
	}
	f.Write("message", encrypted(t, Encryption{Passwords: passwords("password"), Cipher: AES128, Compression: ZIP, FileName: "a.txt"}, []byte(content)))
	rnp("--decrypt", "--output", "out", "message")
	if got := string(f.Read("out")); got != content {
		t.Errorf("rnp decrypts to %q", got)
	}
	// Keys of ours in rnp, with every new thing that rnp can read.
	for _, p := range []Preset{PresetGnuPG22, PresetRSA2048, PresetNISTP384, PresetBrainpoolP256} {
		k := newKeyAsIs(t, GenerateOptions{
			Preset: p, UserIDs: []string{string(p) + " <k@example.com>"}, Passphrase: pw("password"),
			Preferences: Preferences{Ciphers: []Cipher{AES192, AES256}},
		})
		locked, err := k.ArmorPrivate()
		if err != nil {
			t.Fatal(err)
		}
		f.Write("key", locked)
		for _, s := range map[string]Signing{
			"plain": {}, "text": {Text: true}, "notation": {Notations: []Notation{{Name: "n@example.com", Value: "v"}}, Lifetime: 1 << 40}, "hash": {Hash: 7}, // SHA-512
		} {
			s.Signers = []*Key{k}
			for _, how := range []string{"message", "cleartext"} {
				f.Write("signed", signed(t, s, how, content))
				rnp("--verify", "--keyfile", "key", "signed")
			}
			f.Write("content.sig", signed(t, s, "detached", content))
			rnp("--verify", "--keyfile", "key", "content.sig")
		}
		f.Write("enc", encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}, Text: true, AllSubkeys: true}, []byte(content)))
		rnp("--decrypt", "--keyfile", "key", "--output", "out", "enc")
		if got := strings.ReplaceAll(string(f.Read("out")), "\r\n", "\n"); got != content {
			t.Errorf("%s: rnp decrypts to %q", p, got)
		}
		// And back.
		rnp("--encrypt", "--sign", "-r", k.KeyID(), "-u", k.KeyID(), "--keyfile", "key", "--output", "enc", "content")
		var out bytes.Buffer
		if _, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(&out, bytes.NewReader(f.Read("enc"))); err != nil || out.String() != content {
			t.Errorf("%s: from rnp %q, %v", p, out.String(), err)
		}
		rnp("--sign", "--detach", "-u", k.KeyID(), "--keyfile", "key", "--output", "sig", "content")
		if _, err := (Verification{Signers: []*Key{k}}).Detached(strings.NewReader(content), bytes.NewReader(f.Read("sig"))); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}
