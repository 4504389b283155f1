package main

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
)

// TestInteropSSHD uses the command with OpenSSH's server: a host that is met for the first time,
// keys out of PKCS#12, small and large files compared on the disk, two sessions at once, one that
// is broken off, and another host's trust.
func TestInteropSSHD(t *testing.T) {
	testtool.Need(t, "sshd", "ssh-keygen")
	testtool.Exchange{Peer: "sshd", Mode: "files", What: "0 B, 100 kB and 64 MB up and down with RSA, EC and Ed25519 keys out of PKCS#12, compared on its disk; 50 files in a row in each of two sessions by turns; " +
		"first use by fingerprint; a broken upload and an aborted download; another trust refused"}.Log(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // sshd wants it for privilege separation, as root
	}
	folder := testtool.NewFolder(t, "ssh-keygen")
	at := func(name string) string { return filepath.Join(folder.Dir, name) }
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host")
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other")
	for _, name := range []string{"served", "fetched"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("STORE_PASSWORD", "changeit")
	store := keystore.New()
	var lines []string
	for alias, kind := range map[string]issue.KeyType{"rsa": issue.RSA3072, "ec": issue.ECP256, "ed25519": issue.Ed25519} {
		id, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: alias}, Key: kind})
		if err != nil {
			t.Fatal(err)
		}
		own, err := sshctx.AuthorizedLines(sshctx.FromIdentity(id))
		if err := errors.Join(err, store.SetIdentity(alias, id)); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, own...)
	}
	if err := store.Save(at("me.p12"), trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("STORE_PASSWORD")}); err != nil {
		t.Fatal(err)
	}
	folder.Write("authorized_keys", []byte(strings.Join(lines, "\n")+"\n"))
	folder.Write("sshd_config", fmt.Appendf(nil, "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nStrictModes no\nPidFile none\nHostKey %s\nAuthorizedKeysFile %s\nSubsystem sftp internal-sftp -d %s\n",
		at("host"), at("authorized_keys"), at("served")))
	s := settings{
		address: testtool.Inetd(t, "sshd", "-i", "-e", "-f", at("sshd_config")), user: me.Username,
		knownHosts: at("known"), identity: at("me.p12"), identityEnv: "STORE_PASSWORD", alias: "ec", to: at("fetched"),
	}
	first := s
	first.accept = strings.Fields(folder.Run("ssh-keygen", "-l", "-f", "host.pub"))[1]
	if err := first.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for alias, size := range map[string]int64{"rsa": 0, "ec": 100_000, "ed25519": 64 << 20} {
		for name, size := range map[string]int64{alias: 100_000, alias + "-large": size} {
			s := s
			s.alias, s.put, s.get, s.list = alias, at(name), name, "."
			content := strings.NewReader(strings.Repeat("0123456789abcdef", int(size)/16+1)[:size])
			f, err := os.Create(s.put)
			if err == nil {
				_, err = io.Copy(f, content)
				err = errors.Join(err, f.Close())
			}
			if err := errors.Join(err, s.run(t.Context())); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if want := hash(t, s.put); hash(t, at("served/"+name)) != want || hash(t, at("fetched/"+name)) != want {
				t.Errorf("%s has changed on the way", name)
			}
		}
	}

	b, err := s.builder()
	if err != nil {
		t.Fatal(err)
	}
	var sessions []connection
	for range 2 {
		c, err := connect(t.Context(), b, s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sessions = append(sessions, c)
	}
	for i := range 100 {
		name, content := fmt.Sprintf("file-%d", i), strings.Repeat(string(rune('a'+i%26)), i%3*50_000)
		f, err := sessions[i%2].Create(name)
		if err == nil {
			_, err = f.ReadFrom(strings.NewReader(content))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
		if got := string(folder.Read("served/" + name)); got != content {
			t.Errorf("upload %d: on disk are %d of %d bytes", i, len(got), len(content))
		}
		if f, err = sessions[(i+1)%2].Open(name); err != nil {
			t.Fatalf("download %d: %v", i, err)
		}
		got, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil || string(got) != content {
			t.Fatalf("download %d: %d of %d bytes, %v", i, len(got), len(content), err)
		}
	}
	// A source that fails is an error; a download that is broken off leaves the session usable.
	broken := errors.New("disk is gone")
	f, err := sessions[0].Create("half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadFrom(io.MultiReader(strings.NewReader("half"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("half an upload: %v", err)
	}
	f.Close()
	for range 3 {
		f, err := sessions[0].Open("ed25519-large")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(f, make([]byte, 10_000)); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if _, err := sessions[0].Stat("half"); err != nil {
		t.Errorf("after an aborted download: %v", err)
	}

	s.pin = strings.Fields(folder.Run("ssh-keygen", "-l", "-f", "other.pub"))[1]
	var refused *sshctx.HandshakeError
	if err := s.run(t.Context()); !errors.As(err, &refused) || refused.Code != sshctx.CodePinMismatch {
		t.Errorf("the host is known, the connection is set to another: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func hash(t *testing.T, path string) (sum [32]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return sum
	}
	return sha256.Sum256(data)
}
