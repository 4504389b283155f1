package sshctx

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

func TestPatterns(t *testing.T) {
	hash, err := hashName(host{"hidden.example.com", 2222}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field, address string
		want           bool
	}{
		{"a.example.com", "a.example.com", true},
		{"a.example.com", "A.Example.COM:22", true},
		{"a.example.com", "a.example.com.:22", true}, // as dialled
		{"A.EXAMPLE.com", "a.example.com", true},
		{"a.example.com", "a.example.com:2222", false},
		{"[a.example.com]:2222", "a.example.com:2222", true},
		{"[a.example.com]:2222", "a.example.com", false},
		{"*.example.com", "a.example.com", true},
		{"*.example.com", "example.com", false},
		{"*.example.com", "a.example.com:2222", false}, // the port is part of the name
		{"[*.example.com]:2222", "a.example.com:2222", true},
		{"*", "a.example.com:2222", true},
		{"?.example.com", "a.example.com", true},
		{"?.example.com", "ab.example.com", false},
		{"*.example.com,!b.example.com", "a.example.com", true},
		{"*.example.com,!b.example.com", "b.example.com", false},
		{"!b.example.com,*.example.com", "b.example.com", false},
		{"!b.example.com", "a.example.com", false}, // a negation alone matches nothing
		{"::1", "[::1]:22", true},
		{"::1", "0:0::1", true},
		{"[::1]:2222", "[0:0:0::1]:2222", true},
		{"192.0.2.*", "192.0.2.7", true},
		{hash, "hidden.example.com:2222", true},
		{hash, "HIDDEN.example.com:2222", true},
		{hash, "hidden.example.com", false},
	} {
		p, err := parsePatterns(c.field)
		if err != nil {
			t.Fatal(c.field, err)
		}
		at, err := parseHost(c.address)
		if err != nil {
			t.Fatal(c.address, err)
		}
		if got := p.match(at); got != c.want {
			t.Errorf("%s matches %s: %v", c.field, c.address, got)
		}
	}
	for _, bad := range []string{"", "a,,b", "!", "|1|x|y", "|1|", "a,|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA="} {
		if _, err := parsePatterns(bad); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", ":22", "a:0", "a:65536", "a:b", "a b", "a,b", "*", "[a", "a]", "a\nb", strings.Repeat("a", 2000), "|x"} {
		if _, err := parseHost(bad); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestWildcardIsBounded(t *testing.T) {
	// Exponential matchers need minutes for this.
	if wildcard(strings.Repeat("*a", 500)+"b", strings.Repeat("a", maxHost)) {
		t.Error("matches")
	}
}

// Every reason to accept or refuse a host key.
func TestVerify(t *testing.T) {
	key, other, ec, ca, otherCA := newEd25519(t), newEd25519(t), newECDSA(t), newEd25519(t), newECDSA(t)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	const name = "a.example.com"
	pub := public(t, key)
	certified := func(change func(*ssh.Certificate), principals ...string) ssh.PublicKey {
		return certify(t, ca, pub, ssh.HostCert, change, principals...)
	}
	authorityLine := "@cert-authority *.example.com " + keyText(public(t, ca))
	oldSignature := certify(t, ca, pub, ssh.HostCert, nil, name)
	oldSignature.Signature = &ssh.Signature{Format: ssh.KeyAlgoRSA, Blob: oldSignature.Signature.Blob}
	tampered := certify(t, ca, pub, ssh.HostCert, nil, name)
	tampered.KeyId = "changed"

	for what, c := range map[string]struct {
		lines []string
		pins  []Pin
		key   ssh.PublicKey
		least int
		code  trustkeep.Code // empty: accepted
		err   error
		where string
	}{
		"known":                             {lines: []string{"# comment", keyLine(name, pub)}, key: pub, where: "line 2"},
		"known beside others":               {lines: []string{keyLine(name, public(t, ec)), keyLine(name, public(t, other)), keyLine("*.example.com", pub)}, key: pub, where: "line 3"},
		"unknown":                           {lines: []string{keyLine("b.example.com", public(t, other))}, key: pub, code: CodeUnknownHost, err: trustkeep.ErrNotFound},
		"known elsewhere":                   {lines: []string{keyLine("[a.example.com]:2222", pub)}, key: pub, code: CodeUnknownHost, err: trustkeep.ErrNotFound, where: "line 1"},
		"changed":                           {lines: []string{keyLine(name, public(t, other))}, key: pub, code: CodeChangedKey, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"other algorithm":                   {lines: []string{keyLine(name, public(t, ec))}, key: pub, code: CodeOtherAlgorithm, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"nothing known":                     {lines: []string{"# nothing"}, key: pub, code: CodeNoTrust, err: trustkeep.ErrEmpty},
		"only a revocation":                 {lines: []string{"@revoked * " + keyText(public(t, other))}, key: pub, code: CodeNoTrust, err: trustkeep.ErrEmpty},
		"negated":                           {lines: []string{keyLine("*.example.com,!a.example.com", pub)}, key: pub, code: CodeUnknownHost, err: trustkeep.ErrNotFound, where: "line 1"},
		"revoked":                           {lines: []string{keyLine(name, pub), "@revoked * " + keyText(pub)}, key: pub, code: CodeRevokedKey, err: trustkeep.ErrRevoked, where: "line 2"},
		"revoked for another host":          {lines: []string{keyLine(name, pub), "@revoked b.example.com " + keyText(pub)}, key: pub, code: CodeRevokedKey, err: trustkeep.ErrRevoked, where: "line 2"},
		"revoked and pinned":                {lines: []string{"@revoked * " + keyText(pub)}, pins: []Pin{PinKey(pub)}, key: pub, code: CodeRevokedKey, err: trustkeep.ErrRevoked, where: "line 1"},
		"revoked key in a certificate":      {lines: []string{authorityLine, "@revoked * " + keyText(pub)}, key: certified(nil, name), code: CodeRevokedKey, err: trustkeep.ErrRevoked, where: "line 2"},
		"revoked authority":                 {lines: []string{authorityLine, keyLine(name, pub), "@revoked * " + keyText(public(t, ca))}, key: certified(nil, name), code: CodeRevokedKey, err: trustkeep.ErrRevoked, where: "line 3"},
		"pinned":                            {pins: []Pin{PinKey(public(t, other)), PinKey(pub)}, key: pub},
		"pinned, with a certificate":        {pins: []Pin{PinKey(pub)}, key: certified(nil, name)},
		"not pinned":                        {pins: []Pin{PinKey(public(t, other))}, key: pub, code: CodePinMismatch, err: trustkeep.ErrKeyMismatch},
		"the zero pin":                      {pins: []Pin{{}}, key: pub, code: CodePinMismatch, err: trustkeep.ErrKeyMismatch},
		"certified":                         {lines: []string{authorityLine}, key: certified(nil, name), where: "line 1"},
		"certified among others":            {lines: []string{authorityLine}, key: certified(nil, "b", name), where: "line 1"},
		"certified by wildcard":             {lines: []string{authorityLine}, key: certified(nil, "*.example.com"), code: CodeCertificateName, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"certified for ever":                {lines: []string{authorityLine}, key: certified(func(c *ssh.Certificate) { c.ValidBefore = ssh.CertTimeInfinity }, name), where: "line 1"},
		"certified for another host":        {lines: []string{authorityLine}, key: certified(nil, "b.example.com"), code: CodeCertificateName, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"certified for no host":             {lines: []string{authorityLine}, key: certified(nil), code: CodeCertificateName, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"certified for users":               {lines: []string{authorityLine}, key: certify(t, ca, pub, ssh.UserCert, nil, name), code: CodeBadCertificate, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"certificate expired":               {lines: []string{authorityLine}, key: certified(func(c *ssh.Certificate) { c.ValidBefore = uint64(testTime.Unix()) }, name), code: CodeCertificateTime, err: trustkeep.ErrExpired, where: "line 1"},
		"certificate of tomorrow":           {lines: []string{authorityLine}, key: certified(func(c *ssh.Certificate) { c.ValidAfter = uint64(testTime.Unix()) + 1 }, name), code: CodeCertificateTime, err: trustkeep.ErrExpired, where: "line 1"},
		"certificate after the end of time": {lines: []string{authorityLine}, key: certified(func(c *ssh.Certificate) { c.ValidAfter = 1 << 63 }, name), code: CodeCertificateTime, err: trustkeep.ErrExpired, where: "line 1"},
		"critical option":                   {lines: []string{authorityLine}, key: certified(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": ""} }, name), code: CodeBadCertificate, err: trustkeep.ErrCorrupt, where: "line 1"},
		"certificate signed with SHA-1":     {lines: []string{authorityLine}, key: oldSignature, code: CodeBadCertificate, err: trustkeep.ErrUnsupported, where: "line 1"},
		"certificate changed":               {lines: []string{authorityLine}, key: tampered, code: CodeBadCertificate, err: trustkeep.ErrCorrupt, where: "line 1"},
		"certificate expired, key known":    {lines: []string{authorityLine, keyLine(name, pub)}, key: certified(func(c *ssh.Certificate) { c.ValidBefore = 1 }, name), where: "line 2"},
		"another authority":                 {lines: []string{authorityLine}, key: certify(t, otherCA, pub, ssh.HostCert, nil, name), code: CodeUnknownAuthority, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"authority for other hosts":         {lines: []string{"@cert-authority *.example.org " + keyText(public(t, ca))}, key: certified(nil, name), code: CodeUnknownHost, err: trustkeep.ErrNotFound},
		"no certificate":                    {lines: []string{authorityLine}, key: pub, code: CodeUnknownAuthority, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"the authority's own key":           {lines: []string{authorityLine}, key: public(t, ca), code: CodeUnknownAuthority, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"a host's key as authority":         {lines: []string{keyLine(name, public(t, ca))}, key: certified(nil, name), code: CodeChangedKey, err: trustkeep.ErrKeyMismatch, where: "line 1"},
		"small RSA":                         {lines: []string{keyLine(name, public(t, small))}, key: public(t, small), code: CodeWeakKey, err: trustkeep.ErrUnsupported},
		"small RSA, allowed":                {lines: []string{keyLine(name, public(t, small))}, key: public(t, small), least: 1024, where: "line 1"},
		"certified small RSA":               {lines: []string{authorityLine}, key: certify(t, ca, public(t, small), ssh.HostCert, nil, name), code: CodeWeakKey, err: trustkeep.ErrUnsupported},
		"certified by small RSA":            {lines: []string{"@cert-authority * " + keyText(public(t, small))}, key: certify(t, small, pub, ssh.HostCert, nil, name), code: CodeWeakKey, err: trustkeep.ErrUnsupported, where: "line 1"},
	} {
		hosts, _ := Union(known(t, c.lines...), Pinned(c.pins...)).Snapshot()
		v, err := hosts.Verify(name, c.key, VerifyOptions{Time: testTime, MinRSABits: c.least})
		if c.code == "" {
			if err != nil || v.Line != c.where {
				t.Errorf("%s: %+v, %v", what, v, err)
			}
			continue
		}
		var refused *HostKeyError
		if !errors.As(err, &refused) || refused.Code != c.code || !errors.Is(err, c.err) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if c.where != "" && (len(refused.Lines) == 0 || refused.Lines[0] != c.where) {
			t.Errorf("%s: names %q", what, refused.Lines)
		}
		if refused.Fingerprint != Fingerprint(c.key) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestVerifyWrongCalls(t *testing.T) {
	h := known(t, keyLine("a", public(t, newEd25519(t)))).current().hosts
	for _, err := range []error{
		second(h.Verify("a", nil, VerifyOptions{})),
		second(h.Verify("a", (*ssh.Certificate)(nil), VerifyOptions{})),
		second(h.Verify("", public(t, newEd25519(t)), VerifyOptions{})),
		second((*Hosts)(nil).Verify("a", public(t, newEd25519(t)), VerifyOptions{})),
		second((*KnownHosts)(nil).Snapshot()),
		second((*Hosts)(nil).Snapshot()),
		second((*WatchedHosts)(nil).Snapshot()),
		second(Union(known(t), nil).Snapshot()),
		second(Union((*KnownHosts)(nil)).Snapshot()),
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestParsePin(t *testing.T) {
	pub := public(t, newEd25519(t))
	for _, text := range []string{Fingerprint(pub), " " + Fingerprint(pub) + "=\n", keyText(pub), keyText(pub) + " comment"} {
		p, err := ParsePin(text)
		if err != nil || p.String() != Fingerprint(pub) {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for text, want := range map[string]error{
		"": trustkeep.ErrInvalid, "SHA256:": trustkeep.ErrInvalid, "SHA256:AAAA": trustkeep.ErrInvalid, "sha256": trustkeep.ErrInvalid,
		"MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48": trustkeep.ErrUnsupported,
		"16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48":     trustkeep.ErrUnsupported,
	} {
		if p, err := ParsePin(text); !errors.Is(err, want) || p != (Pin{}) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestZeroTimeIsNow(t *testing.T) {
	ca, pub := newEd25519(t), public(t, newEd25519(t))
	hosts := known(t, "@cert-authority a "+keyText(public(t, ca))).current().hosts
	valid := certify(t, ca, pub, ssh.HostCert, func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 1e9, ssh.CertTimeInfinity }, "a")
	if _, err := hosts.Verify("a", valid, VerifyOptions{}); err != nil {
		t.Error(err)
	}
}
