package sshctx

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

// What is not understood stays in the file, hides nothing and is reported.
func TestKnownHostsKeepsWhatItDoesNotUnderstand(t *testing.T) {
	pub := public(t, newEd25519(t))
	text := strings.Join([]string{
		"# a comment", "", keyLine("a.example.com", pub) + " of the operator", "\tb.example.com\t" + keyText(pub) + "\r",
		"c.example.com ssh-new AAAAB3NzaC1uZXc=", "d.example.com ssh-ed25519 %%%", "@unknown * " + keyText(pub), "|2|x|y " + keyText(pub),
		"e.example.com 1024 35 1234567890", "f.example.com", "g.example.com ssh-rsa " + strings.Fields(keyText(pub))[1],
	}, "\n") + "\n"
	k, err := ParseKnownHosts([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(k.Findings()); n != 7 {
		t.Errorf("%d findings: %v", n, k.Findings())
	}
	hosts := k.current().hosts
	for _, name := range []string{"a.example.com", "b.example.com"} {
		if _, err := hosts.Verify(name, pub, VerifyOptions{Time: testTime}); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"c.example.com", "g.example.com", "h.example.com"} {
		if _, err := hosts.Verify(name, pub, VerifyOptions{Time: testTime}); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Error(err)
		}
	}
	if out, err := k.Encode(trustkeep.SaveOptions{}); err != nil || string(out) != text {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := (Options{Strict: true}).ParseKnownHosts([]byte(text)); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "line 5") {
		t.Error(err)
	}
	for bad, want := range map[string]error{"a\x00b": trustkeep.ErrCorrupt, strings.Repeat("\n", 300): trustkeep.ErrLimit, strings.Repeat("#", 5000): trustkeep.ErrLimit} {
		o := Options{Limits: trustkeep.Limits{MaxEntries: 100, MaxSize: 4000}}
		if _, err := o.ParseKnownHosts([]byte(bad)); !errors.Is(err, want) {
			t.Errorf("%.10q: %v", bad, err)
		}
		if _, err := o.ReadKnownHosts(strings.NewReader(bad)); !errors.Is(err, want) {
			t.Errorf("%.10q: %v", bad, err)
		}
	}
	if _, err := ParseKnownHosts([]byte("a ssh-ed25519 " + strings.Repeat("A", maxLine))); err != nil {
		t.Error(err) // a finding
	}
}

func TestEditKnownHosts(t *testing.T) {
	a, b, ec, ca := public(t, newEd25519(t)), public(t, newEd25519(t)), public(t, newECDSA(t)), public(t, newEd25519(t))
	k := known(t, "# top", keyLine("x,y.example.com,!z", a)+" note", keyLine("*.example.com", b))
	check := func(when, name string, key ssh.PublicKey, want error) {
		t.Helper()
		hosts, err := k.Snapshot()
		if err == nil {
			_, err = hosts.Verify(name, key, VerifyOptions{Time: testTime})
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	no := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	no(k.Add("new:2222", a, ec), nil)
	check("added", "new:2222", ec, nil)
	check("added for one port", "new", ec, trustkeep.ErrNotFound)
	no(k.Add("new:2222", a), nil)
	no(k.Add("new:2222", b), trustkeep.ErrExists)
	no(k.Replace("new:2222", b), nil)
	check("replaced", "new:2222", b, nil)
	check("replaced", "new:2222", a, trustkeep.ErrKeyMismatch)
	check("replaced all types", "new:2222", ec, trustkeep.ErrKeyMismatch)
	no(k.Remove("x"), nil)
	check("removed", "x", a, trustkeep.ErrNotFound)
	check("another name of the line", "y.example.com", a, nil)
	no(k.Remove("x"), trustkeep.ErrNotFound)
	no(k.Remove("q.example.com"), trustkeep.ErrNotFound) // by a wildcard alone
	no(k.AddAuthority("*.example.org,!no.example.org", ca), nil)
	no(k.AddAuthority("*.example.org,!no.example.org", ca), nil)
	no(k.AddAuthority("a b", ca), trustkeep.ErrInvalid)
	no(k.AddAuthority("", ca), trustkeep.ErrInvalid)
	no(k.AddAuthority("a\n*", ca), trustkeep.ErrInvalid)
	no(k.Revoke(b), nil)
	check("revoked", "new:2222", b, trustkeep.ErrRevoked)
	no(k.Add("other", b), trustkeep.ErrRevoked)
	no(k.Replace("other", b), trustkeep.ErrRevoked)
	no(k.AddAuthority("*", b), trustkeep.ErrRevoked)
	no(k.Add("other"), nil)
	no(k.Add("other", nil), trustkeep.ErrInvalid)
	no(k.Add("", a), trustkeep.ErrInvalid)
	no(k.Add("a*", a), trustkeep.ErrInvalid)
	no((*KnownHosts)(nil).Add("a", a), trustkeep.ErrInvalid)
	no((*KnownHosts)(nil).Save("x", trustkeep.SaveOptions{}), trustkeep.ErrInvalid)

	want := strings.Join([]string{
		"# top", "y.example.com,!z " + keyText(a) + " note", keyLine("*.example.com", b), keyLine("[new]:2222", b),
		"@cert-authority *.example.org,!no.example.org " + keyText(ca), "@revoked * " + keyText(b),
	}, "\n") + "\n"
	got, err := k.Encode(trustkeep.SaveOptions{})
	if err != nil || string(got) != want {
		t.Errorf("%s\n%s\n%v", got, want, err)
	}
	again, err := Options{Strict: true}.ParseKnownHosts(got)
	if err != nil || len(again.current().hosts.lines) != 6 {
		t.Error(err)
	}
}

func TestHashedNames(t *testing.T) {
	pub := public(t, newEd25519(t))
	k, err := Options{HashNames: true, Rand: bytes.NewReader(make([]byte, 20))}.ParseKnownHosts(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Add("secret.example.com:2222", pub); err != nil {
		t.Fatal(err)
	}
	out, err := k.Encode(trustkeep.SaveOptions{})
	if err != nil || strings.Contains(string(out), "secret") {
		t.Errorf("%s, %v", out, err)
	}
	again := known(t, strings.TrimSpace(string(out)))
	if _, err := again.current().hosts.Verify("secret.example.com:2222", pub, VerifyOptions{Time: testTime}); err != nil {
		t.Error(err)
	}
	if err := again.Remove("secret.example.com:2222"); err != nil {
		t.Error(err)
	}
	if err := k.Add("b", pub); err == nil {
		t.Error("a salt out of nothing")
	}
}

func TestSaveKnownHosts(t *testing.T) {
	a, b := public(t, newEd25519(t)), public(t, newEd25519(t))
	path := filepath.Join(t.TempDir(), "known_hosts")
	add := func(name string, key ssh.PublicKey) func(*KnownHosts) error {
		return func(k *KnownHosts) error { return k.Add(name, key) }
	}
	if err := UpdateKnownHosts(path, trustkeep.SaveOptions{}, add("a", a)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	k, err := LoadKnownHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := UpdateKnownHosts(path, trustkeep.SaveOptions{}, add("b", b)); err != nil {
		t.Fatal(err)
	}
	if err := k.Add("c", a); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrConflict) || !strings.Contains(err.Error(), "UpdateKnownHosts") {
		t.Error(err)
	}
	before, _ := os.ReadFile(path)
	broken := errors.New("second thoughts")
	if err := UpdateKnownHosts(path, trustkeep.SaveOptions{}, func(*KnownHosts) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := UpdateKnownHosts(path, trustkeep.SaveOptions{Check: func(e trustkeep.Encoded) error { return broken }}, add("d", a)); !errors.Is(err, broken) {
		t.Error(err)
	}
	for _, o := range []trustkeep.SaveOptions{{Format: trustkeep.PEM}, {Profile: trustkeep.Modern}, {Password: trustkeep.Password("x")}} {
		if err := k.Save(path, o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Error(err)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}
	fresh, err := LoadKnownHosts(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Add("e", a); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := fresh.Save(path, trustkeep.SaveOptions{}); err != nil {
			t.Error(err)
		}
	}
	if _, err := LoadKnownHosts(path + ".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWatchKnownHosts(t *testing.T) {
	a, b := public(t, newEd25519(t)), public(t, newEd25519(t))
	path := filepath.Join(t.TempDir(), "known_hosts")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keyLine("a", a))
	var changes []trustkeep.Change
	w, err := Options{ticks: make(chan struct{})}.WatchKnownHosts(path, trustkeep.WatchOptions{OnChange: func(c trustkeep.Change) { changes = append(changes, c) }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	reload := func() error { return w.Reload(t.Context()) }
	verify := func(name string, key ssh.PublicKey) error {
		hosts, err := w.Snapshot()
		if err != nil {
			return err
		}
		_, err = hosts.Verify(name, key, VerifyOptions{Time: testTime})
		return err
	}
	write("# moved down", keyLine("a", a))
	if err := reload(); err != nil || len(changes) != 0 {
		t.Error(err, changes)
	}
	write(keyLine("a", b), "@revoked * "+keyText(a))
	if err := reload(); err != nil || len(changes) != 1 || len(changes[0].Added) != 2 || len(changes[0].Removed) != 1 {
		t.Error(err, changes)
	}
	if err := verify("a", b); err != nil {
		t.Error(err)
	}
	if err := verify("a", a); !errors.Is(err, trustkeep.ErrRevoked) {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte{0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reload(); !errors.Is(err, trustkeep.ErrCorrupt) || w.Err() == nil || verify("a", b) != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := reload(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
}
