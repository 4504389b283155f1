package cms_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// openssl runs `openssl cms`, the input by standard input.
type openssl struct {
	t    *testing.T
	root string
}

func newOpenSSL(t *testing.T, p *people) *openssl {
	testtool.Need(t, "openssl")
	return &openssl{t, writeFile(t, "root.pem", p.Root.ChainPEM())}
}

func (o *openssl) cms(stdin []byte, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := testtool.Command(o.t, "openssl", append([]string{"cms"}, args...)...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("openssl cms %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}

// files are the certificate, key and issuer of a person, for openssl.
type files struct{ cert, key, issuer string }

func filesOf(t *testing.T, p person) files {
	return files{
		writeFile(t, "cert.pem", certPEM(p.Cert)),
		writeFile(t, "key.pem", p.KeyPEM()),
		writeFile(t, "issuer.pem", certPEM(p.Chain[1])),
	}
}

func TestInteropOpenSSLOpensOurs(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(100_000)
	for _, name := range []string{"rsa", "p256", "p384"} {
		id := p.pick(name)[0]
		f := filesOf(t, id)
		for _, cipher := range ciphers {
			for _, transport := range transports {
				if name != "rsa" && transport != cms.PKCS1v15 {
					continue // no matter
				}
				for _, keyIDs := range []bool{false, true} {
					o := cms.SealOptions{Cipher: cipher, KeyTransport: transport, KeyIDs: keyIDs}
					der, err := o.Seal(content, p.rsa2.Cert, id.Cert)
					if err != nil {
						t.Fatal(err)
					}
					ber := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, p.rsa2.Cert, id.Cert) })
					for form, message := range map[string][]byte{"DER": der, "BER": ber} {
						got, err := ssl.cms(message, "-decrypt", "-binary", "-inform", "DER", "-recip", f.cert, "-inkey", f.key)
						if err != nil || !bytes.Equal(got, content) {
							t.Errorf("%s, %v, %v, key IDs %v, %s: %v", name, cipher, transport, keyIDs, form, err)
						}
						changed := bytes.Clone(message)
						changed[len(changed)-40] ^= 1 // in the content's last blocks, or the tag
						if got, err := ssl.cms(changed, "-decrypt", "-binary", "-inform", "DER", "-recip", f.cert, "-inkey", f.key); err == nil && bytes.Equal(got, content) {
							t.Errorf("%s, %v, %s: openssl does not notice a change", name, cipher, form)
						}
					}
					t.Logf("openssl opens %s, %v, %v, key IDs %v, DER and BER", name, cipher, transport, keyIDs)
				}
			}
		}
	}
	protected, err := cms.Protect([]byte("secret"), p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	f := filesOf(t, p.rsa)
	if got, err := ssl.cms(protected, "-decrypt", "-inform", "DER", "-recip", f.cert, "-inkey", f.key); err != nil || string(got) != "secret" {
		t.Errorf("protected: %q, %v", got, err)
	}
}

func TestInteropOpenOpenSSLs(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(100_000)
	other := filesOf(t, p.rsa2)
	for _, cipher := range []string{"-aes-256-cbc", "-aes-192-cbc", "-aes-128-cbc", "-des3", "-aes-256-gcm", "-aes-192-gcm", "-aes-128-gcm"} {
		for _, who := range []struct {
			name string
			args []string
		}{
			{"rsa", nil},
			{"rsa", []string{"-keyopt", "rsa_padding_mode:oaep"}},
			{"rsa", []string{"-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256"}},
			{"rsa", []string{"-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha1"}},
			{"rsa", []string{"-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha512", "-keyopt", "rsa_oaep_label:6c6162656c"}},
			{"p256", nil},
			{"p384", []string{"-keyopt", "ecdh_kdf_md:sha512"}},
			{"p256", []string{"-aes128-wrap"}},
			{"p256", []string{"-keyopt", "ecdh_cofactor_mode:1"}},
		} {
			if cipher == "-des3" && who.name != "rsa" && len(who.args) != 1 {
				continue // openssl would take the 3DES key wrap, which is not read
			}
			id := p.pick(who.name)[0]
			f := filesOf(t, id)
			for _, form := range [][]string{nil, {"-stream"}, {"-keyid"}, {"-outform", "PEM"}} {
				args := append([]string{"-encrypt", "-binary", cipher, "-outform", "DER"}, form...)
				args = append(append(args, "-recip", f.cert), who.args...)
				if strings.Join(who.args, " ") == "" && form == nil {
					args = append(args, other.cert) // a second recipient
				}
				message, err := ssl.cms(content, args...)
				if err != nil {
					t.Fatal(err)
				}
				what := strings.Join(args, " ")
				got, err := cms.Open(message, id)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes, %v", what, len(got), err)
					continue
				}
				if got, err := cms.Open(message, p.ed); !errors.Is(err, trustkeep.ErrNotFound) || got != nil {
					t.Errorf("%s: opened by another: %v", what, err)
				}
				if form == nil || form[0] != "-outform" {
					checkTamperedContent(t, what, message, id, content)
				}
			}
			t.Logf("we open %s, %s %v, DER, -stream, -keyid and PEM", cipher, who.name, who.args)
		}
	}
}

// checkTamperedContent changes the end of the content.
func checkTamperedContent(t *testing.T, what string, message []byte, id trustkeep.Identity, content []byte) {
	t.Helper()
	end := len(bytes.TrimRight(message, "\x00"))
	changed := bytes.Clone(message)
	changed[end-1] ^= 1
	if got, err := cms.Open(changed, id); err == nil && bytes.Equal(got, content) {
		t.Errorf("%s: a change is not noticed", what)
	}
}

func TestInteropOpenSSLVerifiesOurs(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(10_000)
	contentFile := writeFile(t, "content", content)
	changedFile := writeFile(t, "changed", append(bytes.Clone(content), '!'))
	for _, names := range []string{"rsa", "p256", "p384", "rsa rsa2 p256"} {
		who := idsOf(p.pick(strings.Fields(names)...))
		for _, hash := range sha2 {
			for _, pss := range []bool{false, true} {
				for _, keyIDs := range []bool{false, true} {
					o := cms.SignOptions{Hash: hash, PSS: pss, KeyIDs: keyIDs}
					if keyIDs {
						o.Attributes = []cms.Attribute{{Type: "1.3.6.1.4.1.99999.1", Values: [][]byte{{0x0c, 1, 'x'}, {0x02, 1, 5}}}}
					}
					what := fmt.Sprintf("%s, %v, PSS %v, key IDs %v", names, hash, pss, keyIDs)
					der, err := o.Sign(content, who...)
					if err != nil {
						t.Fatal(err)
					}
					ber := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, who...) })
					for form, message := range map[string][]byte{"DER": der, "BER": ber} {
						args := []string{"-verify", "-binary", "-inform", "DER", "-CAfile", ssl.root, "-purpose", "smimesign"}
						if got, err := ssl.cms(message, args...); err != nil || !bytes.Equal(got, content) {
							t.Errorf("%s, %s: %v", what, form, err)
						}
						changed := bytes.Replace(message, content[100:110], []byte("0123456789"), 1)
						if _, err := ssl.cms(changed, args...); err == nil {
							t.Errorf("%s, %s: openssl does not notice a change", what, form)
						}
					}
					detached, err := o.SignDetached(bytes.NewReader(content), who...)
					if err != nil {
						t.Fatal(err)
					}
					args := []string{"-verify", "-binary", "-inform", "DER", "-CAfile", ssl.root, "-content"}
					if _, err := ssl.cms(detached, append(args, contentFile)...); err != nil {
						t.Errorf("%s, detached: %v", what, err)
					}
					if _, err := ssl.cms(detached, append(args, changedFile)...); err == nil {
						t.Errorf("%s, detached: openssl does not notice a change", what)
					}
					t.Logf("openssl verifies %s: DER, BER and detached", what)
				}
			}
		}
	}
}

// smimeCapabilities is an attribute that openssl signs unless told otherwise.
const smimeCapabilities = "1.2.840.113549.1.9.15"

func TestInteropVerifyOpenSSLs(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(10_000)
	changed := append(bytes.Clone(content), '!')
	second := filesOf(t, p.rsa2)
	for _, name := range []string{"rsa", "p256", "p384"} {
		id := p.pick(name)[0]
		f := filesOf(t, id)
		for _, extra := range [][]string{
			{"-md", "sha256"}, {"-md", "sha384"}, {"-md", "sha512"}, {"-md", "sha224"}, {"-md", "sha1"},
			{"-keyopt", "rsa_padding_mode:pss"},
			{"-md", "sha512", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20"},
			{"-noattr"}, {"-keyid"}, {"-nocerts"}, {"-cades"}, {"-signer", second.cert, "-inkey", second.key},
		} {
			if strings.Contains(fmt.Sprint(extra), "rsa_") && name != "rsa" {
				continue
			}
			o := cms.VerifyOptions{Trust: p.trust, AllowSHA1: extra[len(extra)-1] == "sha1"}
			if extra[0] == "-nocerts" {
				o.Certificates = id.Chain
			}
			signers := 1
			if extra[0] == "-signer" {
				signers = 2
			}
			base := append([]string{"-sign", "-binary", "-outform", "DER", "-certfile", f.issuer, "-signer", f.cert, "-inkey", f.key}, extra...)
			for _, form := range [][]string{{"-nodetach"}, {"-nodetach", "-stream"}, {"-nodetach", "-outform", "PEM"}} {
				if len(form) == 2 && strings.Contains(fmt.Sprint(extra), "pss") {
					continue // openssl 3.0 fails to write it: "illegal zero content"
				}
				args := append(append([]string{}, base...), form...)
				message, err := ssl.cms(content, args...)
				if err != nil {
					t.Fatal(err)
				}
				got, err := o.Verify(message)
				if err != nil || !bytes.Equal(got.Content, content) || len(got.Signers) != signers {
					t.Errorf("%s: %v", strings.Join(args, " "), err)
				} else if capable := slices.ContainsFunc(got.Signers[0].Attributes, func(a cms.Attribute) bool { return a.Type == smimeCapabilities }); capable != (extra[0] != "-noattr") {
					t.Errorf("%s: %+v", strings.Join(args, " "), got.Signers[0].Attributes)
				}
				if len(form) == 3 {
					continue
				}
				tampered := bytes.Replace(message, content[100:110], []byte("0123456789"), 1)
				if _, err := o.Verify(tampered); !errors.Is(err, trustkeep.ErrCorrupt) {
					t.Errorf("%s: changed: %v", strings.Join(args, " "), err)
				}
			}
			detached, err := ssl.cms(content, base...)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := o.VerifyDetached(detached, bytes.NewReader(content)); err != nil || len(got.Signers) != signers {
				t.Errorf("%v, detached: %v", extra, err)
			}
			if _, err := o.VerifyDetached(detached, bytes.NewReader(changed)); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%v, detached, changed: %v", extra, err)
			}
			t.Logf("we verify %s %v: DER, -stream, PEM and detached", name, extra)
		}
	}
}
