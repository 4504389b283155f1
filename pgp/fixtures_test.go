package pgp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fixtureKey(t testing.TB, name string) *Key {
	t.Helper()
	ring := mustParse(t, fixture(t, name))
	if ring.Len() != 1 || len(ring.Skipped()) != 0 {
		t.Fatalf("%s: %d keys, skipped %+v", name, ring.Len(), ring.Skipped())
	}
	return ring.Keys()[0]
}

// TestKeysOfGPG compares keys with the listing that gpg made of them.
func TestKeysOfGPG(t *testing.T) {
	listings, err := filepath.Glob("testdata/*.colons")
	if err != nil || len(listings) == 0 {
		t.Fatal("no listings", err)
	}
	for _, listing := range listings {
		name := strings.TrimSuffix(filepath.Base(listing), ".colons")
		k := fixtureKey(t, name+"_pub.asc")
		info := k.Info(Options{Allow: Legacy})
		var got []string
		line := func(kind, algorithm string, u Usage, created, expires time.Time, expired, revoked bool, fingerprint string) {
			end := ""
			if !expires.IsZero() {
				end = fmt.Sprint(expires.Unix())
			}
			state := "-"
			switch {
			case revoked:
				state = "r"
			case expired:
				state = "e"
			}
			got = append(got, strings.Join([]string{kind, state, algorithm, u.String(), fmt.Sprint(created.Unix()), end, fingerprint}, ":"))
		}
		line("pub", info.Algorithm, info.Usage, info.Created, info.Expires, info.Expired, info.Revoked, info.Fingerprint)
		for _, s := range info.Subkeys {
			line("sub", s.Algorithm, s.Usage, s.Created, s.Expires, s.Expired, s.Revoked, s.Fingerprint)
		}
		var want []string
		var uids []string
		for _, record := range strings.Split(string(fixture(t, filepath.Base(listing))), "\n") {
			f := strings.Split(record, ":")
			switch f[0] {
			case "pub", "sub":
				algorithm := f[16]
				if algorithm == "" {
					algorithm = map[string]string{"1": "rsa", "16": "elg", "17": "dsa"}[f[3]] + f[2]
				}
				state := f[1]
				if state != "r" && state != "e" {
					state = "-"
				}
				want = append(want, strings.Join([]string{f[0], state, algorithm, lowercase(f[11]), f[5], f[6]}, ":"))
			case "fpr":
				want[len(want)-1] += ":" + strings.ToLower(f[9])
			case "uid":
				uids = append(uids, f[9])
			}
		}
		if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
			t.Errorf("%s:\n%s\ngpg:\n%s", name, g, w)
		}
		if len(info.UserIDs) != len(uids) || info.UserIDs[0].ID != uids[0] {
			t.Errorf("%s: user IDs %v, gpg %v", name, info.UserIDs, uids)
		}
		if !bytes.Equal(mustParse(t, mustArmor(t, k)).Keys()[0].Marshal(), k.Marshal()) {
			t.Errorf("%s: changed by writing", name)
		}
	}
}

func TestMessagesOfGPG(t *testing.T) {
	me, rsa, dsa := fixtureKey(t, "gpg-ed25519_priv.asc"), fixtureKey(t, "gpg-rsa_pub.asc"), fixtureKey(t, "gpg-dsa_pub.asc")
	for _, name := range []string{"gpg-to-ed25519.gpg", "gpg-to-rsa.gpg", "gpg-to-nistp256.gpg", "gpg-to-brainpool.gpg", "gpg-to-dsa.gpg", "gpg-bzip2.gpg", "gpg-both.msg.asc"} {
		var out bytes.Buffer
		d := Decryption{Keys: []*Key{me}}
		if name == "gpg-both.msg.asc" {
			d.Signers = []*Key{rsa}
		}
		res, err := d.Decrypt(&out, bytes.NewReader(fixture(t, name)))
		if err != nil || out.String() != "hello\n" || res.Integrity != "mdc" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
	var out bytes.Buffer
	if _, err := (Decryption{Passwords: passwords("password")}).Decrypt(&out, bytes.NewReader(fixture(t, "gpg-symmetric.gpg"))); err != nil || out.String() != "hello\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	var policy *WeaknessError
	if _, err := (Decryption{Keys: []*Key{me}}).Decrypt(&out, bytes.NewReader(fixture(t, "gpg-no-mdc.gpg"))); !asError(err, &policy) || policy.Needs != LegacyMissingMDC {
		t.Errorf("%v", err)
	}
	for _, tt := range []struct {
		signature string
		signer    *Key
		policy    Relaxations
		want      SignatureState
	}{
		{"gpg-ed25519.sig", me, Strict, SignatureValid},
		{"gpg-ed25519.sig.asc", me, Strict, SignatureValid},
		{"gpg-rsa.sig", rsa, Strict, SignatureValid},
		{"gpg-rsa.sig", me, Strict, SignatureUnknown},
		{"gpg-dsa.sig", dsa, Strict, SignatureWeak},
		{"gpg-dsa.sig", dsa, Legacy, SignatureValid},
		{"gpg-sha1.sig", fixtureKey(t, "gpg-sha1_pub.asc"), Strict, SignatureWeak},
		{"gpg-sha1.sig", fixtureKey(t, "gpg-sha1_pub.asc"), Legacy, SignatureValid},
		{"gpg-expired.sig", fixtureKey(t, "gpg-expired_pub.asc"), Strict, SignatureExpired},
	} {
		v := Verification{Options: Options{Allow: tt.policy}, Signers: []*Key{tt.signer}}
		res, err := v.Detached(strings.NewReader("hello\n"), bytes.NewReader(fixture(t, tt.signature)))
		if res == nil || res.Signature != tt.want || (err == nil) != (tt.want == SignatureValid) {
			t.Errorf("%s under %s: %v, %+v", tt.signature, tt.policy, err, res)
		}
	}
	for _, name := range []string{"gpg-ed25519-clear.msg.asc", "gpg-signed.gpg"} {
		if _, got, err := verified(Verification{Signers: []*Key{me}}, "message", "", fixture(t, name)); err != nil || got != "hello\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestRFC9580 reads the samples of RFC 9580 appendix A.
func TestRFC9580(t *testing.T) {
	public, private := fixtureKey(t, "rfc9580-a3_pub.asc"), fixtureKey(t, "rfc9580-a4_priv.asc")
	const fingerprint = "cb186c4f0609a697e4d52dfa6c722b0c1f1e27c18a56708f6525ec27bad9acc9"
	for _, k := range []*Key{public, private, fixtureKey(t, "rfc9580-a5_priv.asc")} {
		info := k.Info(Options{})
		if k.Fingerprint() != fingerprint || info.Version != 6 || info.Algorithm != "ed25519" || info.Usage != UsageSign|UsageCertify ||
			len(info.Subkeys) != 1 || info.Subkeys[0].Usage != UsageEncrypt || info.Subkeys[0].Algorithm != "x25519" || info.Problem != nil ||
			info.Subkeys[0].Fingerprint != "12c83f1e706f6308fe151a417743a1f033790e93e9978488d1db378da9930885" {
			t.Errorf("%+v", info)
		}
	}
	if !bytes.Equal(private.Marshal(), public.Marshal()) {
		t.Error("A.4 without its private parts is not A.3")
	}
	// A.5 is locked by Argon2 in 2 GiB: over the default limit, before any is allocated.
	if _, err := fixtureKey(t, "rfc9580-a5_priv.asc").Unlock(pw("correct horse battery staple"), Options{}); !isSentinel(err, trustkeep.ErrLimit) {
		t.Errorf("A.5: %v", err)
	}
	const grocery = "What we need from the grocery store:\n\n- tofu\n- vegetables\n- noodles\n"
	v := Verification{Signers: []*Key{public}}
	for _, name := range []string{"rfc9580-a6.msg.asc", "rfc9580-a7.msg.asc"} {
		res, got, err := verified(v, "message", "", fixture(t, name))
		want := grocery
		if name == "rfc9580-a6.msg.asc" {
			want += "\n" // the line ending before the signature is handed out, too, as GnuPG does
		}
		if err != nil || got != want || res.Signature != SignatureValid {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, d := range map[string]Decryption{
		"rfc9580-a8.msg.asc":  {Keys: []*Key{private}},
		"rfc9580-a9.msg.asc":  {Passwords: passwords("password")},
		"rfc9580-a10.msg.asc": {Passwords: passwords("password")},
		"rfc9580-a11.msg.asc": {Passwords: passwords("password")},
	} {
		var out bytes.Buffer
		res, err := d.Decrypt(&out, bytes.NewReader(fixture(t, name)))
		if err != nil || out.String() != "Hello, world!" || res.Integrity != "aead" {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
	d := Decryption{Passwords: passwords("password")}
	if _, err := d.Decrypt(&bytes.Buffer{}, bytes.NewReader(fixture(t, "rfc9580-a12-1.msg.asc"))); !isSentinel(err, trustkeep.ErrLimit) {
		t.Errorf("A.12.1: %v", err)
	}
}

// TestRFC9980 reads the samples of RFC 9980 for ML-DSA-65+Ed25519.
func TestRFC9980(t *testing.T) {
	public, private := fixtureKey(t, "rfc9980-mldsa65_pub.asc"), fixtureKey(t, "rfc9980-mldsa65_priv.asc")
	if info := public.Info(Options{}); info.Algorithm != "mldsa65+ed25519" || info.Problem != nil || public.Fingerprint() != private.Fingerprint() {
		t.Errorf("%+v", info)
	}
	var out bytes.Buffer
	res, err := Decryption{Keys: []*Key{private}, Signers: []*Key{public}}.Decrypt(&out, bytes.NewReader(fixture(t, "rfc9980-mldsa65.msg.asc")))
	if err != nil || out.String() != "Testing\n" || res.Signature != SignatureValid {
		t.Errorf("%q, %v", out.String(), err)
	}
}
