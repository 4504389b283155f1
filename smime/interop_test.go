package smime_test

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/smime"
)

// Both ways with openssl cms and openssl smime, which read and write MIME themselves.
func TestInteropOpenSSL(t *testing.T) {
	testtool.Need(t, "openssl")
	testtool.Exchange{Peer: "openssl", Mode: "S/MIME", What: "clear and opaque signatures, sealed, of cms and smime, RSA and EC, both ways"}.Log(t)
	p := newPeople(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, data []byte) string {
		if err := os.WriteFile(path(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	read := func(name string) string {
		data, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	root := write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Root.DER}))
	chain := write("chain.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Intermediate.DER}))
	texts := map[string]string{
		"lines": "Content-Type: text/plain\r\n\r\nHello\r\n\r\nworld\r\n",
		"LF":    "Content-Type: text/plain\n\nHello\n\n--\nworld\n",
		"long":  "Content-Type: text/plain\r\n\r\n" + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 3000),
	}
	for who, id := range map[string]person{"rsa": p.rsa, "ec": p.ec} {
		cert := write(who+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.DER}))
		key := write(who+".key", id.KeyPEM())
		for name, text := range texts {
			in := write("in", []byte(text))
			want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
			for _, command := range []string{"cms", "smime"} {
				if command == "smime" && who == "ec" {
					continue // openssl smime has no key agreement
				}
				// Theirs.
				for _, args := range [][]string{
					{"-sign"}, {"-sign", "-nodetach"}, {"-sign", "-stream"}, {"-sign", "-nodetach", "-stream"}, {"-sign", "-md", "sha512"}, {"-sign", "-crlfeol"},
				} {
					if command == "smime" && args[len(args)-1] == "-crlfeol" {
						continue
					}
					args = append(append([]string{command}, args...), "-in", in, "-out", path("out"), "-signer", cert, "-inkey", key, "-certfile", chain)
					testtool.Run(t, "openssl", args...)
					var got bytes.Buffer
					m, err := p.options().Read(&got, strings.NewReader(read("out")))
					if err != nil || got.String() != want || len(m.Layers) != 1 {
						t.Errorf("%s, %v: %q, %v", name, args, got.String(), err)
					}
				}
				testtool.Run(t, "openssl", command, "-encrypt", "-aes256", "-in", path("out"), "-out", path("sealed"), cert)
				var got bytes.Buffer
				m, err := p.options().Read(&got, strings.NewReader(read("sealed")))
				if err != nil || got.String() != want || len(m.Layers) != 2 {
					t.Errorf("%s, signed and sealed by openssl %s: %+v, %v", name, command, m, err)
				}
				// Ours.
				for what, o := range map[string]smime.SignOptions{"clear": {}, "opaque": {Opaque: true}, "old micalg": {OldMicalg: true, CMS: cms.SignOptions{Hash: crypto.SHA384}}} {
					var signed, sealed bytes.Buffer
					if err := o.Sign(&signed, strings.NewReader(text), id); err != nil {
						t.Fatal(err)
					}
					if err := (smime.SealOptions{}).Seal(&sealed, bytes.NewReader(signed.Bytes()), id.Cert); err != nil {
						t.Fatal(err)
					}
					for form, message := range map[string][]byte{"CRLF": signed.Bytes(), "LF": bytes.ReplaceAll(signed.Bytes(), []byte("\r\n"), []byte("\n"))} {
						testtool.Run(t, "openssl", command, "-verify", "-in", write("signed", message), "-CAfile", root, "-out", path("verified"))
						if got := read("verified"); got != want {
							t.Errorf("%s, %s, %s: openssl %s reads %q", name, what, form, command, got)
						}
					}
					testtool.Run(t, "openssl", command, "-decrypt", "-in", write("sealed", sealed.Bytes()), "-recip", cert, "-inkey", key, "-out", path("opened"))
					if got := read("opened"); got != signed.String() {
						t.Errorf("%s, %s: openssl %s opens something else", name, what, command)
					}
				}
				t.Logf("%s, %s, openssl %s: both ways", who, name, command)
			}
		}
	}
}
