package pgp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/pgp/internal/s2kcost"
)

// newKey makes a key for a test, unlocked and without passphrase unless one is
// given.
func newKey(t testing.TB, o GenerateOptions, c Options) *Key {
	t.Helper()
	if o.UserIDs == nil {
		o.UserIDs = []string{"Test <test@example.com>"}
	}
	o.Options = cheap(t, c)
	return newKeyAsIs(t, o)
}

func newKeyAsIs(t testing.TB, o GenerateOptions) *Key {
	t.Helper()
	k, _, err := Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestGenerateProfiles(t *testing.T) {
	want := map[Preset]struct {
		version            int
		primary, encrypter string
	}{
		PresetGnuPG22:         {4, "ed25519", "cv25519"},
		PresetRSA2048:         {4, "rsa2048", "rsa2048"},
		PresetRSA3072:         {4, "rsa3072", "rsa3072"},
		PresetRSA4096:         {4, "rsa4096", "rsa4096"},
		PresetNISTP256:        {4, "nistp256", "nistp256"},
		PresetNISTP384:        {4, "nistp384", "nistp384"},
		PresetNISTP521:        {4, "nistp521", "nistp521"},
		PresetBrainpoolP256:   {4, "brainpoolP256r1", "brainpoolP256r1"},
		PresetBrainpoolP384:   {4, "brainpoolP384r1", "brainpoolP384r1"},
		PresetBrainpoolP512:   {4, "brainpoolP512r1", "brainpoolP512r1"},
		PresetRFC9580:         {6, "ed25519", "x25519"},
		PresetEd448:           {6, "ed448", "x448"},
		PresetPostQuantum:     {6, "mldsa65+ed25519", "mlkem768+x25519"},
		PresetPostQuantumHigh: {6, "mldsa87+ed448", "mlkem1024+x448"},
	}
	for _, p := range Presets() {
		t.Run(string(p), func(t *testing.T) {
			if (p == PresetRSA3072 || p == PresetRSA4096) && (raceEnabled || !testtool.Long()) {
				t.Skip("in the long form: making the keys takes seconds")
			}
			w := want[p]
			expires := time.Now().Add(24 * time.Hour).Truncate(time.Second).UTC()
			k, revocation, err := Generate(GenerateOptions{
				Options: quick,
				UserIDs: []string{"A <a@example.com>", "B <b@example.com>"}, Preset: p,
				Expires: expires, SigningSubkey: true, Passphrase: trustkeep.Password("secret"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if k.IsLocked() {
				t.Error("the new key is locked")
			}
			data, err := k.ArmorPrivate()
			if err != nil {
				t.Fatal(err)
			}
			ring, err := Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if ring.Len() != 1 || len(ring.Skipped()) != 0 {
				t.Fatalf("%d keys, skipped %v", ring.Len(), ring.Skipped())
			}
			back := ring.Keys()[0]
			if !back.IsLocked() || !back.IsPrivate() {
				t.Error("the key is written unlocked")
			}
			info := back.Info(Options{})
			if info.Problem != nil || len(info.Findings) != 0 {
				t.Errorf("problem %v, findings %v", info.Problem, info.Findings)
			}
			if info.Version != w.version || info.Algorithm != w.primary || info.Usage != UsageSign|UsageCertify {
				t.Errorf("version %d, %s, %s", info.Version, info.Algorithm, info.Usage)
			}
			if !info.Expires.Equal(expires) || !back.NotAfter().Equal(expires) || info.Expired || info.Revoked {
				t.Errorf("expires %s, want %s", info.Expires, expires)
			}
			if len(info.UserIDs) != 2 || !info.UserIDs[0].Primary || !info.UserIDs[1].Valid || info.UserIDs[1].Primary {
				t.Errorf("user IDs %+v", info.UserIDs)
			}
			if len(info.Subkeys) != 2 || info.Subkeys[0].Algorithm != w.encrypter || info.Subkeys[0].Usage != UsageEncrypt ||
				info.Subkeys[1].Usage != UsageSign || info.Subkeys[0].Secret != SecretLocked {
				t.Errorf("subkeys %+v", info.Subkeys)
			}
			revoked, err := back.Public().ApplyRevocation(revocation)
			if err != nil {
				t.Fatal(err)
			}
			if !revoked.Revoked() || !revoked.Info(Options{}).Revoked || back.Revoked() {
				t.Error("the revocation certificate does not revoke")
			}
		})
	}
}

func TestGenerateRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		o    GenerateOptions
		want error
	}{
		"no user ID":        {GenerateOptions{}, trustkeep.ErrInvalid},
		"empty passphrase":  {GenerateOptions{UserIDs: []string{"a"}, Passphrase: pw("")}, trustkeep.ErrInvalid},
		"control character": {GenerateOptions{UserIDs: []string{"a\x1b[1m"}}, trustkeep.ErrInvalid},
		"not UTF-8":         {GenerateOptions{UserIDs: []string{"a\xff"}}, trustkeep.ErrInvalid},
		"unknown preset":    {GenerateOptions{UserIDs: []string{"a"}, Preset: "rsa1024"}, trustkeep.ErrInvalid},
		"expiry in the past": {GenerateOptions{UserIDs: []string{"a"}, Expires: time.Unix(1, 0)},
			trustkeep.ErrInvalid},
		"expiry too late": {GenerateOptions{UserIDs: []string{"a"}, Expires: time.Now().AddDate(200, 0, 0)},
			trustkeep.ErrUnsupported},
	} {
		if _, _, err := Generate(tt.o); !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "pgp: ") {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestUserID(t *testing.T) {
	id, err := UserID("Jane Doe", "EDI", "edi@example.com")
	if err != nil || id != "Jane Doe (EDI) <edi@example.com>" {
		t.Errorf("%q, %v", id, err)
	}
	if _, err := UserID("a<b", "", ""); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestInteropGenerateGPG(t *testing.T) {
	g := newGPG(t)
	for _, p := range []Preset{PresetGnuPG22, PresetRSA3072, PresetNISTP256, PresetNISTP384, PresetNISTP521} {
		t.Run(string(p), func(t *testing.T) {
			k := newKey(t, GenerateOptions{
				UserIDs: []string{"Müller <m@example.com>", "Second <s@example.com>"}, Preset: p, SigningSubkey: true,
				Expires: time.Now().Add(1000 * time.Hour), Passphrase: trustkeep.Password("sésame"),
			}, Options{})
			data, err := k.ArmorPrivate()
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range specsOf(t, k) {
				if s.Mode != s2kcost.Iterated || s.Count != 0xFF {
					t.Errorf("not locked as in production: %+v", s)
				}
			}
			g.run(data, "--passphrase", "sésame", "--import")
			compareWithGPG(t, g, k, Options{})
			// gpg can use the private part with the passphrase.
			g.run([]byte("x"), "--passphrase", "sésame", "-u", k.Fingerprint(), "--detach-sign")
			t.Logf("%s: imported, listed alike, signs", p)
		})
	}
}
