package cms_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestInteropBouncyCastle(t *testing.T) {
	var jars []string
	for _, name := range []string{"bcprov", "bcutil", "bcpkix"} {
		jars = append(jars, testtool.File(t, "/usr/share/java/"+name+".jar", "libbcpkix-java"))
	}

	p := newPeople(t)
	dir, content := t.TempDir(), random(100_000)
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write("content", content)
	for _, name := range []string{"rsa", "p256", "ed"} {
		id := p.pick(name)[0]
		write(name+".crt", id.DER)
		write(name+".key", id.PKCS8())
	}
	var ours []string
	for _, name := range []string{"rsa", "p256"} {
		to := p.pick(name)[0].Cert
		for _, cipher := range ciphers {
			if name != "rsa" && cipher >= cms.AES256GCM {
				continue // version 1.72 does not read the two together
			}
			for _, transport := range transports {
				for _, keyIDs := range []bool{false, true} {
					o := cms.SealOptions{Cipher: cipher, KeyTransport: transport, KeyIDs: keyIDs}
					label := fmt.Sprintf("%s.%v-%v-%v", name, cipher, transport, keyIDs)
					der, err := o.Seal(content, to)
					if err != nil {
						t.Fatal(err)
					}
					write(label+".sealed", der)
					write(label+"-stream.sealed", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, to) }))
					ours = append(ours, label+".sealed", label+"-stream.sealed")
				}
			}
		}
	}
	for _, name := range []string{"rsa", "p256", "ed"} {
		id := p.pick(name)[0]
		for _, pss := range []bool{false, true} {
			o := cms.SignOptions{PSS: pss}
			label := fmt.Sprintf("%s.PSS-%v", name, pss)
			der, err := o.Sign(content, id)
			if err != nil {
				t.Fatal(err)
			}
			write(label+".signed", der)
			write(label+"-stream.signed", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, id) }))
			detached, err := o.SignDetached(bytes.NewReader(content), id)
			if err != nil {
				t.Fatal(err)
			}
			write(label+"-detached.signed", detached)
			ours = append(ours, label+".signed", label+"-stream.signed", label+"-detached.signed")
		}
	}

	t.Log(strings.TrimSpace(testtool.Java(t, "testdata/BouncyCastle.java", jars, dir)))
	for _, name := range ours {
		if !bytes.Equal(read(name+".out"), content) {
			t.Errorf("%s: BouncyCastle read something else", name)
		}
		t.Logf("BouncyCastle reads our %s", name)
	}

	theirs, err := filepath.Glob(filepath.Join(dir, "*.theirs-*"))
	if err != nil || len(theirs) < 20 {
		t.Fatalf("BouncyCastle wrote %d messages, %v", len(theirs), err)
	}
	for _, path := range theirs {
		name := filepath.Base(path)
		id := p.pick(strings.Split(name, ".")[0])[0]
		message := read(name)
		switch {
		case strings.HasSuffix(name, "-sealed"):
			if got, err := cms.Open(message, id); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			checkTamperedContent(t, name, message, id, content)
		case strings.Contains(name, "-detached"):
			if _, err := cms.VerifyDetached(message, bytes.NewReader(content), truststore.New(id.Cert)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if got, err := cms.Verify(message, truststore.New(id.Cert)); err != nil || !bytes.Equal(got.Content, content) {
				t.Errorf("%s: %v", name, err)
			}
		}
		t.Logf("we read BouncyCastle's %s", strings.TrimSuffix(strings.TrimSuffix(name, "-sealed"), "-signed"))
	}
}
