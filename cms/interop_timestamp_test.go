package cms_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// opensslTSA is a time-stamp authority of openssl with that key.
func opensslTSA(t testing.TB, id *testpki.Identity, settings string) cms.TimeStampFunc {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("tsa.cnf", []byte(`[tsa]
default_tsa = tsa1
[tsa1]
serial = `+write("serial", []byte("01\n"))+`
crypto_device = builtin
signer_cert = `+write("cert.pem", certPEM(id.Cert))+`
certs = `+write("chain.pem", certPEM(id.Chain[1]))+`
signer_key = `+write("key.pem", id.KeyPEM())+`
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.5
digests = sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
tsa_name = yes
ess_cert_id_chain = no
`+settings))
	return func(_ context.Context, request []byte) ([]byte, error) {
		query, reply := write("query.tsq", request), filepath.Join(dir, "reply.tsr")
		testtool.Run(t, "openssl", "ts", "-reply", "-config", config, "-section", "tsa1", "-queryfile", query, "-out", reply)
		return os.ReadFile(reply)
	}
}

// openssl stamps what we ask for, we verify it, and openssl verifies what we made of it.
func TestInteropOpenSSLTimeStamps(t *testing.T) {
	p := newStampedPKI(t, nil)
	ssl := newOpenSSL(t, p.people)
	stampsRoot := writeFile(t, "stamps.pem", certPEM(p.stamps.Root.Cert))
	between := writeFile(t, "between.pem", certPEM(p.stamps.Intermediate.Cert))
	content := random(10_000)
	for name, test := range map[string]struct {
		settings, policy string
		o                cms.SignOptions
		kind             testpki.KeyType
	}{
		"EC":             {"ess_cert_id_alg = sha256\n", "", cms.SignOptions{}, testpki.P256},
		"RSA, ESSCertID": {"ess_cert_id_alg = sha1\n", "1.2.3.4.5", cms.SignOptions{Hash: sha2[1]}, testpki.RSA2048},
		"RSA, SHA-512":   {"ess_cert_id_alg = sha512\n", "", cms.SignOptions{Hash: sha2[2], PSS: true}, testpki.RSA2048},
	} {
		tsa := p.stamps.Issue(testpki.Request{CommonName: "TSA", Edit: usage(t, true, timeStamping), KeyType: test.kind})
		for _, who := range p.pick("rsa", "p256") {
			o := test.o
			o.TimeStamp, o.TimeStampPolicy = opensslTSA(t, tsa, test.settings), test.policy
			message, err := o.Sign(content, who)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			verify := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(p.Now().AddDate(0, 1, 0))}
			got, err := verify.Verify(message)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			s := got.Signers[0].TimeStamp
			if d := time.Since(s.Time); d < -time.Minute || d > time.Minute || s.Accuracy != 1500*time.Millisecond+100*time.Microsecond || test.policy != "" && s.Policy != test.policy {
				t.Errorf("%s: %+v", name, s)
			}
			if got, err := ssl.cms(message, "-verify", "-binary", "-inform", "DER", "-CAfile", ssl.root, "-purpose", "smimesign"); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: openssl cms: %v", name, err)
			}
			// The token, and the signature that it is for.
			fields := children(t, children(t, children(t, message)[1])[0])
			signer := children(t, children(t, fields[len(fields)-1])[0])
			token := children(t, children(t, children(t, signer[6])[0])[1])[0]
			testtool.Run(t, "openssl", "ts", "-verify", "-token_in", "-in", writeFile(t, "token", token),
				"-data", writeFile(t, "signature", value(t, signer[5])), "-CAfile", stampsRoot, "-untrusted", between)
			t.Logf("time stamp of openssl, %s: verified by both", name)
		}
	}
	// openssl refuses.
	o := cms.SignOptions{TimeStamp: opensslTSA(t, p.tsa.id, "ess_cert_id_alg = sha256\n"), TimeStampPolicy: "1.2.3.4.77"}
	if _, err := o.Sign(content, p.rsa); err == nil || !strings.Contains(err.Error(), "policy not supported") {
		t.Errorf("a policy that openssl does not have: %v", err)
	}
	// openssl's own signature, stamped by openssl's own answer to our authority's form.
	f := filesOf(t, p.signer)
	theirs, err := ssl.cms(content, "-sign", "-binary", "-nodetach", "-outform", "DER", "-certfile", f.issuer, "-signer", f.cert, "-inkey", f.key)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := opensslTSA(t, p.tsa.id, "ess_cert_id_alg = sha256\n")(context.Background(), request(t, theirs))
	if err != nil {
		t.Fatal(err)
	}
	message := withUnsigned(t, theirs, attributeDER(t, timeStampToken, children(t, reply)[1]))
	if got, err := (cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(p.Now().AddDate(0, 1, 0))}).Verify(message); err != nil || !bytes.Equal(got.Content, content) {
		t.Errorf("openssl's signature and time stamp: %v", err)
	}
}
