package pgp

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// gpg is a GnuPG home of its own.
type gpg struct {
	t    testing.TB
	home string
}

func newGPG(t testing.TB) *gpg {
	t.Helper()
	testtool.Need(t, "gpg")
	// Not t.TempDir: the agent's socket must fit into 108 bytes.
	home, err := os.MkdirTemp("/tmp", "tk")
	if err != nil {
		t.Fatal(err)
	}
	// Else the agent measures for each key how much hashing takes 0.1 s.
	if err := os.WriteFile(home+"/gpg-agent.conf", []byte("s2k-count 65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gpg{t, home}
	t.Cleanup(func() {
		kill := testtool.Command(t, "gpgconf", "--kill", "all")
		kill.Env = g.env()
		kill.Run()
		os.RemoveAll(home)
	})
	return g
}

func (g *gpg) env() []string { return append(os.Environ(), "GNUPGHOME="+g.home, "LC_ALL=C") }

// try runs gpg and returns its standard output, standard error and exit error.
func (g *gpg) try(stdin []byte, args ...string) (string, string, error) {
	g.t.Helper()
	cmd := testtool.Command(g.t, "gpg", append([]string{
		"--batch", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--trust-model", "always",
	}, args...)...)
	cmd.Env = g.env()
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), stderr.String(), err
}

func (g *gpg) run(stdin []byte, args ...string) string {
	g.t.Helper()
	out, stderr, err := g.try(stdin, args...)
	if err != nil {
		g.t.Fatalf("gpg %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return out
}

// gpgKey is a record of gpg --with-colons, of type pub, sec, sub or ssb.
type gpgKey struct {
	kind, validity, bits, algorithm, keyID, created, expires, usage, curve string
	fingerprint                                                            string
}

// list returns gpg's view of a key: the primary key first, then its subkeys.
func (g *gpg) list(fingerprint string) (keys []gpgKey, uids []string) {
	g.t.Helper()
	out := g.run(nil, "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-keys", fingerprint)
	for _, line := range strings.Split(out, "\n") {
		f := strings.Split(line, ":")
		switch f[0] {
		case "pub", "sub":
			keys = append(keys, gpgKey{
				kind: f[0], validity: f[1], bits: f[2], algorithm: f[3], keyID: f[4],
				created: f[5], expires: f[6], usage: f[11], curve: f[16],
			})
		case "fpr":
			if len(keys) > 0 {
				keys[len(keys)-1].fingerprint = strings.ToLower(f[9])
			}
		case "uid":
			uids = append(uids, f[1]+" "+strings.ReplaceAll(f[9], `\x3a`, ":"))
		}
	}
	return keys, uids
}

// lowercase keeps the letters of gpg's usage field that concern this very key.
func lowercase(usage string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, usage)
}

// compareWithGPG checks that gpg sees a key as Info does.
func compareWithGPG(t *testing.T, g *gpg, k *Key, c Options) {
	t.Helper()
	info := k.Info(c)
	keys, uids := g.list(k.Fingerprint())
	if len(keys) != 1+len(info.Subkeys) {
		t.Fatalf("gpg sees %d keys, Info %d", len(keys), 1+len(info.Subkeys))
	}
	check := func(got gpgKey, fingerprint, algorithm string, u Usage, expires string, expired, revoked bool) {
		t.Helper()
		if got.fingerprint != fingerprint {
			t.Errorf("fingerprint %s, gpg %s", fingerprint, got.fingerprint)
		}
		if lowercase(got.usage) != u.String() {
			t.Errorf("%s: usage %s, gpg %s", algorithm, u, lowercase(got.usage))
		}
		if got.expires != expires {
			t.Errorf("%s: expires %s, gpg %s", algorithm, expires, got.expires)
		}
		want := ""
		switch {
		case revoked:
			want = "r"
		case expired:
			want = "e"
		}
		switch got.validity {
		case "r", "e":
			if got.validity != want {
				t.Errorf("%s: validity %q, gpg %q", algorithm, want, got.validity)
			}
		default:
			if want != "" {
				t.Errorf("%s: validity %q, gpg %q", algorithm, want, got.validity)
			}
		}
		if got.curve != "" && got.curve != algorithm {
			t.Errorf("algorithm %s, gpg %s", algorithm, got.curve)
		}
		if got.curve == "" && !strings.HasSuffix(algorithm, got.bits) {
			t.Errorf("algorithm %s, gpg %s bits", algorithm, got.bits)
		}
	}
	unix := func(sub bool, i int) string {
		t := info.Expires
		if sub {
			t = info.Subkeys[i].Expires
			if t.IsZero() || !info.Expires.IsZero() && info.Expires.Before(t) {
				t = info.Expires // gpg shows when the subkey really ends
			}
		}
		if t.IsZero() {
			return ""
		}
		return fmt.Sprint(t.Unix())
	}
	check(keys[0], info.Fingerprint, info.Algorithm, info.Usage, unix(false, 0), info.Expired, info.Revoked)
	for i, s := range info.Subkeys {
		got := keys[1+i]
		expires := unix(true, i)
		if s.Expires.IsZero() && got.expires == "" {
			expires = ""
		}
		check(got, s.Fingerprint, s.Algorithm, s.Usage, expires, s.Expired, s.Revoked)
	}
	if len(uids) != len(info.UserIDs) {
		t.Fatalf("gpg sees %d user IDs, Info %d", len(uids), len(info.UserIDs))
	}
	for _, u := range info.UserIDs {
		found := false
		for _, line := range uids {
			validity, text, _ := strings.Cut(line, " ")
			if text == u.ID {
				found = true
				if (validity == "r") != (u.Revoked || info.Revoked) {
					t.Errorf("user ID %q: revoked %v, gpg %q", u.ID, u.Revoked, validity)
				}
			}
		}
		if !found {
			t.Errorf("gpg does not see user ID %q but %q", u.ID, uids)
		}
	}
}
