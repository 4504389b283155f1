package sshctx

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// Whatever is in the file: it is kept, and it is written as it was read.
func FuzzKnownHosts(f *testing.F) {
	pub := public(f, newEd25519(f))
	f.Add([]byte(keyLine("a", pub)+"\n@revoked * "+keyText(pub)+"\n"), "a:22")
	f.Add([]byte("|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA= "+keyText(pub)), "b")
	f.Add([]byte("@cert-authority *.example.com,!x "+keyText(pub)+"\r\n# c\n\n"), "[::1]:2")
	f.Fuzz(func(t *testing.T, data []byte, address string) {
		k, err := ParseKnownHosts(data)
		if err != nil {
			return
		}
		k.Findings()
		hosts, err := k.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		out, err := k.Encode(trustkeep.SaveOptions{})
		if err != nil || !bytes.Equal(bytes.TrimSuffix(out, []byte("\n")), bytes.TrimSuffix(data, []byte("\n"))) {
			t.Fatalf("%q became %q: %v", data, out, err)
		}
		if _, err := hosts.Verify(address, pub, VerifyOptions{Time: testTime}); err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b") {
			t.Fatalf("%q", err)
		}
		if k.Add(address, pub) != nil {
			return
		}
		hosts, _ = k.Snapshot()
		if _, err := hosts.Verify(address, pub, VerifyOptions{Time: testTime}); err != nil {
			t.Fatalf("added, and %v", err)
		}
		if err := k.Remove(address); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzAuthorizedKeys(f *testing.F) {
	pub := public(f, newEd25519(f))
	f.Add([]byte(`restrict,from="127.*",command="a \"b\"" ` + keyText(pub) + " me\n# c\n" + keyText(pub)))
	f.Add([]byte(`cert-authority,principals="a,b",expiry-time="20300101" ` + keyText(pub)))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseAuthorizedKeys(data)
		if err != nil {
			return
		}
		keys.Findings()
		p, err := Builder{Authorized: keys, Clock: clock}.login(connection{}, pub)
		if err == nil && p.CriticalOptions[forceCommand] != "" {
			t.Fatalf("%q lets in for a command", data)
		}
	})
}
