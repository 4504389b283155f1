package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// call runs the command in a folder and returns what it prints.
func call(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// must fails the test unless the command is good.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, out, stderr := call(t, stdin, args...)
	if status != exitGood {
		t.Fatalf("pgp %s: %d\n%s", strings.Join(args, " "), status, stderr)
	}
	return out
}

// files makes two keys in a folder.
func files(t *testing.T) (in func(string) string) {
	t.Helper()
	dir := t.TempDir()
	in = func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"me", "partner"} {
		must(t, "", "generate", "-uid", name+" <"+name+"@example.com>", "-passphrase", "pw", "-out", in(name+"_priv.asc"),
			"-pub", in(name+"_pub.asc"), "-revocation", in(name+"_rev.asc"))
	}
	if err := os.WriteFile(in("order.txt"), []byte("order\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

func parseVerdict(t *testing.T, s string) (v struct {
	OK, Encrypted       bool
	Signature           string
	Signers, Recipients []string
	Error               string
}) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %q", err, s)
	}
	return v
}

func TestEncryptDecrypt(t *testing.T) {
	in := files(t)
	must(t, "", "encrypt", "-to", in("me_pub.asc"), "-sign", in("partner_priv.asc"), "-passphrase", "pw", "-armor", "-out", in("order.asc"), in("order.txt"))
	out := must(t, "", "decrypt", "-key", in("me_priv.asc"), "-passphrase", "pw", "-verify", in("partner_pub.asc"), "-json", "-out", in("got"), in("order.asc"))
	if v := parseVerdict(t, out); !v.OK || !v.Encrypted || v.Signature != "valid" || len(v.Signers) != 1 || len(v.Recipients) != 1 || v.Error != "" {
		t.Errorf("%+v", v)
	}
	if got, _ := os.ReadFile(in("got")); string(got) != "order\n" {
		t.Errorf("%q", got)
	}
	// As a pipe.
	message := must(t, "order\n", "encrypt", "-to", in("me_pub.asc"))
	if got := must(t, message, "decrypt", "-key", in("me_priv.asc"), "-passphrase", "pw"); got != "order\n" {
		t.Errorf("%q", got)
	}
	for name, args := range map[string][]string{
		"wrong signer":     {"-passphrase", "pw", "-verify", in("me_pub.asc")},
		"wrong passphrase": {"-passphrase", "no"},
		"wrong key":        {"-passphrase", "pw", "-key", in("partner_priv.asc")},
	} {
		if name != "wrong key" {
			args = append(args, "-key", in("me_priv.asc"))
		}
		target := in("never")
		status, out, stderr := call(t, "", append(append([]string{"decrypt", "-json", "-out", target}, args...), in("order.asc"))...)
		v := parseVerdict(t, out)
		if status != exitRefused || v.OK || v.Error == "" || !strings.Contains(stderr, v.Error) {
			t.Errorf("%s: %d, %+v, %q", name, status, v, stderr)
		}
		if _, err := os.Stat(target); err == nil {
			t.Errorf("%s: something was written", name)
		}
		want := "none" // as far as can be told without opening it
		if name == "wrong signer" {
			want = "unknown"
		}
		if !v.Encrypted || v.Signature != want || len(v.Recipients) != 1 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	broken := strings.Replace(message, message[len(message)-10:len(message)-9], "\x00", 1)
	if status, out, _ := call(t, broken, "decrypt", "-key", in("me_priv.asc"), "-passphrase", "pw"); status != exitRefused || out != "" {
		t.Errorf("tampered: %d, %q", status, out)
	}
}

func TestSignVerify(t *testing.T) {
	in := files(t)
	for _, kind := range []string{"-detach", "-clear", ""} {
		args := []string{"sign", "-key", in("me_priv.asc"), "-passphrase", "pw", "-out", in("signed"), in("order.txt")}
		check := []string{"verify", "-verify", in("me_pub.asc"), "-json", in("signed")}
		if kind != "" {
			args = append([]string{args[0], kind}, args[1:]...)
		}
		if kind == "-detach" {
			check = []string{"verify", "-verify", in("me_pub.asc"), "-signature", in("signed"), "-json", in("order.txt")}
		}
		must(t, "", args...)
		if v := parseVerdict(t, must(t, "", check...)); !v.OK || v.Encrypted || v.Signature != "valid" {
			t.Errorf("%s: %+v", kind, v)
		}
		check[2] = in("partner_pub.asc")
		status, out, _ := call(t, "", check...)
		if v := parseVerdict(t, out); status != exitRefused || v.OK || v.Signature != "unknown" || len(v.Signers) != 0 {
			t.Errorf("%s: %+v", kind, v)
		}
	}
}

func TestInspectExtendRevoke(t *testing.T) {
	in := files(t)
	var v inspectJSON
	look := func(file string) keyJSON {
		t.Helper()
		if err := json.Unmarshal([]byte(must(t, "", "inspect", "-json", file)), &v); err != nil || len(v.Keys) != 1 {
			t.Fatalf("%v, %+v", err, v)
		}
		return v.Keys[0]
	}
	k := look(in("me_priv.asc"))
	if !k.Secret || k.Expired || k.Revoked || k.Version != 4 || k.UIDs[0] != "me <me@example.com>" || k.Subkeys[0].Usage != "e" || len(v.Skipped) != 0 {
		t.Errorf("%+v", k)
	}
	must(t, "", "extend", "-key", in("me_priv.asc"), "-passphrase", "pw", "-expires", "10y", "-out", in("me_priv.asc"), "-pub", in("me_pub.asc"))
	if got := must(t, "", "inspect", in("me_pub.asc")); !strings.Contains(got, "expires") {
		t.Error(got)
	}
	must(t, "", "revoke", "-key", in("me_pub.asc"), "-certificate", in("me_rev.asc"), "-out", in("gone.asc"))
	if k := look(in("gone.asc")); !k.Revoked || k.Secret || !k.Subkeys[0].Revoked {
		t.Errorf("%+v", k)
	}
	must(t, "", "revoke", "-key", in("partner_priv.asc"), "-passphrase", "pw", "-reason", "compromised", "-out", in("gone.asc"))
	if k := look(in("gone.asc")); !k.Revoked || !k.Secret {
		t.Errorf("%+v", k)
	}
	status, out, _ := call(t, "garbage", "inspect", "-json")
	if status != exitRefused || strings.TrimSpace(out) != `{"keys":[],"skipped":[]}` {
		t.Errorf("%d, %s", status, out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"nothing"}, {"decrypt"}, {"verify", "x"}, {"encrypt", "-to"}, {"generate"}, {"inspect", "a", "b"},
		{"decrypt", "-key", "x", "-policy", "lax"}, {"extend", "-key", "x"}, {"sign", "-nonsense"},
	} {
		if status, _, stderr := call(t, "", args...); status != exitUsage || stderr == "" {
			t.Errorf("%q: %d, %q", args, status, stderr)
		}
	}
}

// TestInteropGPG drives the command against gpg.
func TestInteropGPG(t *testing.T) {
	testtool.Need(t, "gpg")
	in := files(t)
	home, err := os.MkdirTemp("/tmp", "tk")
	if err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "GNUPGHOME="+home)
	t.Cleanup(func() {
		kill := testtool.Command(t, "gpgconf", "--kill", "all")
		kill.Env = env
		kill.Run()
		os.RemoveAll(home)
	})
	gpg := func(stdin string, args ...string) string {
		t.Helper()
		cmd := testtool.Command(t, "gpg", append([]string{"--batch", "--yes", "--trust-model", "always", "--pinentry-mode", "loopback", "--passphrase", "pw"}, args...)...)
		cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v\n%s", args, err, &stderr)
		}
		return string(out)
	}
	gpg("", "--import", in("me_priv.asc"))
	gpg("", "--import", in("partner_pub.asc"))
	message := must(t, "to gpg\n", "encrypt", "-to", in("me_pub.asc"), "-sign", in("partner_priv.asc"), "-passphrase", "pw")
	if got := gpg(message, "--decrypt"); got != "to gpg\n" {
		t.Errorf("%q", got)
	}
	message = gpg("from gpg\n", "-u", "me@example.com", "-r", "partner@example.com", "--sign", "--encrypt")
	if got := must(t, message, "decrypt", "-key", in("partner_priv.asc"), "-passphrase", "pw", "-verify", in("me_pub.asc")); got != "from gpg\n" {
		t.Errorf("%q", got)
	}
	t.Log("encrypted and signed in both directions")
}
