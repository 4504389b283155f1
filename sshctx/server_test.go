package sshctx

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

// Who may log in, by every option of a line and of a certificate.
func TestLogin(t *testing.T) {
	hostKey, user, other, ca := newEd25519(t), newEd25519(t), newEd25519(t), newECDSA(t)
	pub := public(t, user)
	cert := func(change func(*ssh.Certificate), principals ...string) ssh.PublicKey {
		return certify(t, ca, pub, ssh.UserCert, change, principals...)
	}
	line := func(options string, key ssh.PublicKey) string { return strings.TrimSpace(options + " " + keyText(key)) }
	caLine := line("cert-authority", public(t, ca))
	forced := func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "x"} }
	for name, c := range map[string]struct {
		lines  []string
		show   ssh.PublicKey // a certificate; nil for the plain key
		forces bool
		ok     bool
	}{
		"plain":                           {lines: []string{line("", pub)}, ok: true},
		"with a comment":                  {lines: []string{"# x", line("", public(t, other)), line("", pub) + " me, \"myself"}, ok: true},
		"another key":                     {lines: []string{line("", public(t, other))}},
		"none":                            {lines: []string{""}},
		"restrict":                        {lines: []string{line("restrict,pty", pub)}, ok: true},
		"from here":                       {lines: []string{line(`from="127.0.0.0/8,10.*"`, pub)}, ok: true},
		"from a pattern":                  {lines: []string{line(`from="127.*"`, pub)}, ok: true},
		"from elsewhere":                  {lines: []string{line(`from="192.0.2.0/24,2001:db8::/32"`, pub)}},
		"from anywhere but here":          {lines: []string{line(`from="*,!127.0.0.1"`, pub)}},
		"from a name":                     {lines: []string{line(`from="localhost"`, pub)}},
		"until tomorrow":                  {lines: []string{line(`expiry-time="20260603Z"`, pub)}, ok: true},
		"until yesterday":                 {lines: []string{line(`expiry-time="20260531Z"`, pub)}},
		"until the first of two":          {lines: []string{line(`expiry-time="20260603Z",expiry-time="20260531Z"`, pub)}},
		"bad date":                        {lines: []string{line(`expiry-time="never"`, pub)}},
		"for a command":                   {lines: []string{line(`command="echo \"a, b\""`, pub)}},
		"for a command, forced":           {lines: []string{line(`command="echo \"a, b\""`, pub)}, forces: true, ok: true},
		"tunnel":                          {lines: []string{line(`tunnel="0"`, pub)}},
		"unknown option":                  {lines: []string{line(`verify-required`, pub)}},
		"open quote":                      {lines: []string{line(`from="127.0.0.1`, pub)}},
		"unquoted":                        {lines: []string{line(`from=127.0.0.1`, pub)}},
		"empty from":                      {lines: []string{line(`from=""`, pub)}},
		"option without value":            {lines: []string{line(`from`, pub)}},
		"flag with value":                 {lines: []string{line(`cert-authority="no"`, pub)}},
		"principals of a plain key":       {lines: []string{line(`principals="u"`, pub)}},
		"the authority's line, plain key": {lines: []string{line("cert-authority", pub)}},
		"certificate":                     {lines: []string{caLine}, show: cert(nil, "u"), ok: true},
		"certificate of another user":     {lines: []string{caLine}, show: cert(nil, "v")},
		"certificate for no user":         {lines: []string{caLine}, show: cert(nil)},
		"certificate for a role":          {lines: []string{line(`cert-authority,principals="ops,dev"`, public(t, ca))}, show: cert(nil, "dev"), ok: true},
		"certificate for another role":    {lines: []string{line(`cert-authority,principals="ops,dev"`, public(t, ca))}, show: cert(nil, "u")},
		"certificate expired":             {lines: []string{caLine}, show: cert(func(c *ssh.Certificate) { c.ValidBefore = uint64(testTime.Unix()) }, "u")},
		"certificate for hosts":           {lines: []string{caLine}, show: certify(t, ca, pub, ssh.HostCert, nil, "u")},
		"certificate, no authority":       {lines: []string{line("", public(t, ca))}, show: cert(nil, "u")},
		"certificate, its key is known":   {lines: []string{line("", pub)}, show: cert(nil, "u")},
		"certificate with an option":      {lines: []string{caLine}, show: cert(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": ""} }, "u")},
		"certificate for a command":       {lines: []string{caLine}, show: cert(forced, "u")},
		"certificate, forced":             {lines: []string{caLine}, show: cert(forced, "u"), forces: true, ok: true},
		"two commands":                    {lines: []string{line(`cert-authority,command="y"`, public(t, ca))}, show: cert(forced, "u"), forces: true},
		"certificate from elsewhere":      {lines: []string{caLine}, show: cert(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "192.0.2.0/24"} }, "u")},
		"certificate from here":           {lines: []string{caLine}, show: cert(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "127.0.0.0/8"} }, "u"), ok: true},
	} {
		keys, err := ParseAuthorizedKeys([]byte(strings.Join(c.lines, "\n")))
		if err != nil {
			t.Fatal(name, err)
		}
		config, err := Builder{Identities: []Identity{FromSigner(hostKey)}, Authorized: keys, ForcesCommands: c.forces, Clock: clock}.Server()
		if err != nil {
			t.Fatal(err)
		}
		var reasons []error
		config.AuthLogCallback = func(_ ssh.ConnMetadata, _ string, err error) { reasons = append(reasons, err) }
		s := serve(t, config)
		id := FromSigner(user)
		if c.show != nil {
			signer, err := ssh.NewCertSigner(c.show.(*ssh.Certificate), signer(t, user))
			if err != nil {
				t.Fatal(err)
			}
			id = FromAgent(agentOf{signer})
		}
		err = dial(t, Builder{Trusted: Pinned(PinKey(public(t, hostKey))), User: "u", Identities: []Identity{id}, Clock: clock}, s.address)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v, %v, %v", name, err, reasons, keys.Findings())
		}
	}
}

func TestPermissions(t *testing.T) {
	user := public(t, newEd25519(t))
	keys, err := ParseAuthorizedKeys([]byte("\n" + `restrict,no-pty,command="run \"it\"" ` + keyText(user)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Builder{Authorized: keys, ForcesCommands: true, Clock: clock}.login(connection{}, user)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(p.CriticalOptions["force-command"], "|", p.Extensions[ExtensionLine], "|", p.Extensions[ExtensionLimits], "|", p.Extensions[ExtensionFingerprint] == Fingerprint(user))
	if got != `run "it"|line 2|restrict,no-pty|true` {
		t.Error(got)
	}
}

func TestServerWrongCalls(t *testing.T) {
	id := []Identity{FromSigner(newEd25519(t))}
	keys, err := ParseAuthorizedKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]Builder{
		"no keys": {Identities: id}, "nil keys": {Identities: id, Authorized: (*AuthorizedKeys)(nil)}, "nil watched": {Identities: id, Authorized: (*WatchedAuthorized)(nil)},
		"no host key": {Authorized: keys}, "nil host key": {Authorized: keys, Identities: []Identity{nil}}, "algorithm": {Authorized: keys, Identities: id, Legacy: []string{"x"}},
	} {
		if _, err := b.Server(); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthorizedFolder(t *testing.T) {
	folder := t.TempDir()
	pub := public(t, newEd25519(t))
	if err := os.WriteFile(filepath.Join(folder, "u"), []byte(keyText(pub)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".hidden"), []byte(keyText(pub)), 0o600); err != nil {
		t.Fatal(err)
	}
	source := AuthorizedFolder(filepath.Join(folder))
	keys, err := source.AuthorizedFor("u")
	if err != nil || len(keys.lines) != 1 {
		t.Error(err)
	}
	for _, user := range []string{"", "v", ".", "..", ".hidden", "../" + filepath.Base(folder) + "/u", "a/b", `a\b`, "c:", "u\x00", "/etc/passwd"} {
		if _, err := source.AuthorizedFor(user); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%q: %v", user, err)
		}
	}
}

func TestWatchAuthorizedKeys(t *testing.T) {
	a, b := public(t, newEd25519(t)), public(t, newEd25519(t))
	path := filepath.Join(t.TempDir(), "authorized_keys")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keyText(a))
	var changes []trustkeep.Change
	w, err := Options{ticks: make(chan struct{})}.WatchAuthorizedKeys(path, trustkeep.WatchOptions{OnChange: func(c trustkeep.Change) { changes = append(changes, c) }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	login := func(key ssh.PublicKey) error {
		return second(Builder{Authorized: w, Clock: clock}.login(connection{}, key))
	}
	if login(a) != nil || login(b) == nil {
		t.Error("the first state")
	}
	write(keyText(b))
	if err := w.Reload(t.Context()); err != nil || login(a) == nil || login(b) != nil || len(changes) != 1 {
		t.Error(err, changes)
	}
	// The same key with other options is no other key, and yet another state.
	write(`expiry-time="20200101Z" ` + keyText(b))
	if err := w.Reload(t.Context()); err != nil || login(b) == nil {
		t.Error(err)
	}
}

func TestParseExpiry(t *testing.T) {
	for text, want := range map[string]string{"20260601Z": "2026-06-01T00:00:00Z", "202606011230Z": "2026-06-01T12:30:00Z", "20260601123045Z": "2026-06-01T12:30:45Z"} {
		got, err := parseExpiry(text)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "Z", "2026", "20261301", "2026060112", "20260601Zx"} {
		if got, err := parseExpiry(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
