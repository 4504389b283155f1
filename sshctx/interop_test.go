package sshctx_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
)

// sshd is a configuration of OpenSSH's server, which is started for each connection.
type sshd struct {
	folder testtool.Folder
	user   string
}

func newSSHD(t *testing.T) sshd {
	t.Helper()
	testtool.Need(t, "sshd", "ssh-keygen")
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // sshd wants it for privilege separation, as root
	}
	s := sshd{testtool.NewFolder(t, "ssh-keygen"), u.Username}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		s.folder.Run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", "host_"+kind)
	}
	for _, ca := range []string{"host_ca", "user_ca"} {
		s.folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ca)
	}
	return s
}

func (s sshd) file(name string) string { return filepath.Join(s.folder.Dir, name) }

// dial connects a client to a new process of sshd, by a socket that the process gets.
func (s sshd) dial(t *testing.T, extra ...string) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	config := fmt.Sprintf("UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nStrictModes no\nPidFile none\nAuthorizedKeysFile %s\nTrustedUserCAKeys %s\nSubsystem sftp internal-sftp\n%s\n",
		s.file("authorized_keys"), s.file("user_ca.pub"), strings.Join(extra, "\n"))
	file, err := os.CreateTemp(t.TempDir(), "sshd")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(config); err != nil {
		t.Fatal(err)
	}
	file.Close()
	address := testtool.Inetd(t, "sshd", "-i", "-e", "-f", file.Name())
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func (s sshd) hostKeys(kinds ...string) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, "HostKey "+s.file("host_"+k))
	}
	return out
}

// public returns a public key that ssh-keygen has written.
func (s sshd) public(t *testing.T, name string) ssh.PublicKey {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey(s.folder.Read(name + ".pub"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startSFTP begins the protocol of SFTP, which proves that the login is good for something.
func startSFTP(client *ssh.Client) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return err
	}
	if _, err := in.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil { // SSH_FXP_INIT, version 3
		return err
	}
	var head [9]byte
	if _, err := io.ReadFull(out, head[:]); err != nil {
		return err
	}
	if head[4] != 2 || binary.BigEndian.Uint32(head[5:]) < 3 { // SSH_FXP_VERSION
		return fmt.Errorf("% x is no SFTP", head)
	}
	return nil
}

// RSA, EC and Ed25519 keys out of PKCS#12, JKS, PEM and OpenSSH files log in at sshd.
func TestInteropSSHDIdentities(t *testing.T) {
	s := newSSHD(t)
	testtool.Exchange{Peer: "sshd", Mode: "identities", What: "RSA, EC and Ed25519 keys out of PKCS#12, JKS and PEM, an OpenSSH key, a user certificate, rsa-sha2-512 only; a stranger refused"}.Log(t)
	pki := testpki.New(t, testpki.Options{})
	password := trustkeep.Password("changeit")
	source := keystore.New()
	for alias, kind := range map[string]testpki.KeyType{"rsa": testpki.RSA2048, "ec": testpki.P256, "ed": testpki.Ed25519} {
		own := pki.Issue(testpki.Request{CommonName: alias, KeyType: kind})
		id, err := keystore.NewIdentity(own.Key, own.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := source.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	identities := map[string]sshctx.Identity{}
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM} {
		data, err := source.Encode(trustkeep.SaveOptions{Format: format, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keystore.Parse(data, password)
		if err != nil {
			t.Fatal(err)
		}
		for _, alias := range ks.Aliases() {
			id, err := ks.Identity(alias)
			if err != nil {
				t.Fatal(err)
			}
			identities[string(format)+" "+alias] = sshctx.FromIdentity(id)
		}
	}
	s.folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "changeit", "-f", "user")
	ks, err := keystore.Parse(s.folder.Read("user"), password)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ks.Signer(ks.Aliases()[0])
	if err != nil {
		t.Fatal(err)
	}
	identities["openssh"] = sshctx.FromSigner(key)

	var lines []string
	for _, id := range identities {
		own, err := sshctx.AuthorizedLines(id)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, own...)
	}
	s.folder.Write("authorized_keys", []byte(strings.Join(lines, "\n")+"\n"))
	pinned := sshctx.Pinned(sshctx.PinKey(s.public(t, "host_ed25519")))
	for _, accepted := range []string{"", "PubkeyAcceptedAlgorithms rsa-sha2-512,ecdsa-sha2-nistp256,ssh-ed25519"} {
		dial := s.dial(t, append(s.hostKeys("ed25519"), accepted)...)
		for name, id := range identities {
			if err := connect(t, sshctx.Builder{Trusted: pinned, User: s.user, Identities: []sshctx.Identity{id}}, dial); err != nil {
				t.Errorf("%s with %q: %v", name, accepted, err)
			}
		}
	}
	stranger := sshctx.Builder{Trusted: pinned, User: s.user, Identities: []sshctx.Identity{sshctx.FromSigner(newKey(t))}}
	if err := connect(t, stranger, s.dial(t, s.hostKeys("ed25519")...)); code(err) != sshctx.CodeIdentityRefused {
		t.Error(err)
	}
	// A certificate by ssh-keygen lets a key in that no line has.
	s.folder.Run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", "certified")
	s.folder.Run("ssh-keygen", "-q", "-s", "user_ca", "-I", "test", "-n", s.user, "certified.pub")
	raw, err := ssh.ParseRawPrivateKey(s.folder.Read("certified"))
	if err != nil {
		t.Fatal(err)
	}
	certified, err := sshctx.WithCertificate(sshctx.FromSigner(raw.(crypto.Signer)), s.folder.Read("certified-cert.pub"))
	if err != nil {
		t.Fatal(err)
	}
	stranger.Identities = []sshctx.Identity{certified}
	if err := connect(t, stranger, s.dial(t, s.hostKeys("ed25519")...)); err != nil {
		t.Error(err)
	}
}

func code(err error) trustkeep.Code {
	var failed *sshctx.HandshakeError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return ""
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func connect(t *testing.T, b sshctx.Builder, dial func(context.Context, string, string) (net.Conn, error)) error {
	t.Helper()
	d, err := b.Dialer()
	if err != nil {
		return err
	}
	d.Dial = dial
	client, err := d.DialContext(t.Context(), "tcp", "sftp.example.com:2222")
	if err != nil {
		return err
	}
	defer client.Close()
	return startSFTP(client)
}

// Host keys and host certificates of sshd, known by files that ssh-keygen has hashed or signed.
func TestInteropSSHDHostKeys(t *testing.T) {
	s := newSSHD(t)
	testtool.Exchange{Peer: "sshd", Mode: "host keys", What: "known, hashed, pinned and certified; changed, revoked, other names and expired certificates refused"}.Log(t)
	id := sshctx.FromSigner(newKey(t))
	lines, err := sshctx.AuthorizedLines(id)
	if err != nil {
		t.Fatal(err)
	}
	s.folder.Write("authorized_keys", []byte(lines[0]+"\n"))
	const name = "sftp.example.com:2222"
	write := func(file string, change func(*sshctx.KnownHosts) error) *sshctx.KnownHosts {
		t.Helper()
		if err := sshctx.UpdateKnownHosts(s.file(file), trustkeep.SaveOptions{}, change); err != nil {
			t.Fatal(err)
		}
		k, err := sshctx.LoadKnownHosts(s.file(file))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	kinds := []string{"ed25519", "ecdsa", "rsa"}
	everything := s.dial(t, s.hostKeys(kinds...)...)
	verdict := func(k sshctx.HostSource, dial func(context.Context, string, string) (net.Conn, error)) error {
		t.Helper()
		return connect(t, sshctx.Builder{Trusted: k, User: s.user, Identities: []sshctx.Identity{id}}, dial)
	}
	for _, kind := range kinds {
		file := "known_" + kind
		k := write(file, func(k *sshctx.KnownHosts) error { return k.Add(name, s.public(t, "host_"+kind)) })
		if err := verdict(k, everything); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if found := s.folder.Run("ssh-keygen", "-F", "[sftp.example.com]:2222", "-f", file); !strings.Contains(found, "found: line 1") {
			t.Errorf("ssh-keygen finds %q", found)
		}
		s.folder.Run("ssh-keygen", "-H", "-f", file)
		hashed, err := sshctx.LoadKnownHosts(s.file(file))
		if err != nil {
			t.Fatal(err)
		}
		if err := verdict(hashed, everything); err != nil || bytes.Contains(s.folder.Read(file), []byte("example")) {
			t.Errorf("%s, hashed: %v", kind, err)
		}
		// What is known is of another type than all that the host has.
		other := "ecdsa"
		if kind == other {
			other = "rsa"
		}
		if err := verdict(k, s.dial(t, s.hostKeys(other)...)); code(err) != sshctx.CodeNothingInCommon {
			t.Errorf("%s: %v", kind, err)
		}
		p, err := sshctx.ParsePin(strings.Fields(s.folder.Run("ssh-keygen", "-l", "-f", "host_"+kind+".pub"))[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := verdict(sshctx.Pinned(p), everything); err != nil {
			t.Errorf("%s, by fingerprint: %v", kind, err)
		}
	}
	changed := write("known_changed", func(k *sshctx.KnownHosts) error { return k.Add(name, s.public(t, "user_ca")) })
	if err := verdict(changed, s.dial(t, s.hostKeys("ed25519")...)); code(err) != sshctx.CodeChangedKey {
		t.Error(err)
	}
	revoked := write("known_revoked", func(k *sshctx.KnownHosts) error {
		return errors.Join(k.Add(name, s.public(t, "host_ed25519")), k.Revoke(s.public(t, "host_ed25519")))
	})
	if err := verdict(revoked, everything); code(err) != sshctx.CodeRevokedKey {
		t.Error(err)
	}

	authority := write("known_authority", func(k *sshctx.KnownHosts) error {
		return k.AddAuthority("[*.example.com]:2222", s.public(t, "host_ca"))
	})
	certify := func(args ...string) func(context.Context, string, string) (net.Conn, error) {
		s.folder.Run("ssh-keygen", append(append([]string{"-q", "-s", "host_ca", "-I", "test", "-h"}, args...), "host_ecdsa.pub")...)
		return s.dial(t, append(s.hostKeys(kinds...), "HostCertificate "+s.file("host_ecdsa-cert.pub"))...)
	}
	for _, c := range []struct {
		args []string
		code trustkeep.Code
	}{
		{args: []string{"-n", "sftp.example.com"}}, {[]string{"-n", "*.example.com"}, sshctx.CodeCertificateName},
		{[]string{"-n", "other.example.com"}, sshctx.CodeCertificateName}, {nil, sshctx.CodeCertificateName},
		{[]string{"-n", "sftp.example.com", "-V", "20200101:20200102"}, sshctx.CodeCertificateTime},
	} {
		if err := verdict(authority, certify(c.args...)); code(err) != c.code || c.code == "" && err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
	}
	if err := verdict(authority, everything); code(err) != sshctx.CodeNothingInCommon {
		t.Error(err)
	}

	shown, err := sshctx.FetchHostKeys(t.Context(), name, sshctx.FetchOptions{Dial: certify("-n", "sftp.example.com")})
	if err != nil || len(shown.Keys) != 3 || len(shown.Authorities) != 1 {
		t.Errorf("%v, %v", shown, err)
	}
}

// OpenSSH's client accepts a server of ours by what KnownHosts has written, and logs in by what
// AuthorizedKeys reads.
func TestInteropSSHClient(t *testing.T) {
	testtool.Need(t, "ssh", "ssh-keygen")
	testtool.Exchange{Peer: "ssh", Mode: "client", What: "logs in at a server of ours by known_hosts and authorized_keys; a revoked host key refused"}.Log(t)
	folder := testtool.NewFolder(t, "ssh-keygen")
	folder.Run("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "id")
	hostKey := newKey(t)
	keys, err := sshctx.ParseAuthorizedKeys(append([]byte(`restrict,from="127.0.0.0/8" `), folder.Read("id.pub")...))
	if err != nil {
		t.Fatal(err)
	}
	config, err := sshctx.Builder{Identities: []sshctx.Identity{sshctx.FromSigner(hostKey)}, Authorized: keys}.Server()
	if err != nil {
		t.Fatal(err)
	}
	logins := make(chan string, 10)
	address := testnet.Serve(t, func(raw net.Conn) {
		defer raw.Close()
		conn, channels, requests, err := ssh.NewServerConn(raw, config)
		if err != nil {
			return
		}
		logins <- conn.User()
		go ssh.DiscardRequests(requests)
		for c := range channels {
			c.Reject(ssh.Prohibited, "that is all")
		}
		conn.Close()
	})
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := sshctx.FetchHostKeys(t.Context(), address, sshctx.FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder.Dir, "known")
	run := func() string {
		cmd := testtool.Command(t, "ssh", "-F", "none", "-i", filepath.Join(folder.Dir, "id"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+path,
			"-o", "BatchMode=yes", "-p", port, "partner@"+host, "true")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if err := sshctx.UpdateKnownHosts(path, trustkeep.SaveOptions{}, func(k *sshctx.KnownHosts) error { return k.Add(address, shown.Keys...) }); err != nil {
		t.Fatal(err)
	}
	if out := run(); !strings.Contains(out, "that is all") || <-logins != "partner" {
		t.Error(out)
	}
	if err := sshctx.UpdateKnownHosts(path, trustkeep.SaveOptions{}, func(k *sshctx.KnownHosts) error { return k.Revoke(shown.Keys[0]) }); err != nil {
		t.Fatal(err)
	}
	if out := run(); !strings.Contains(out, "REVOKED") {
		t.Error(out)
	}
}

// exampleKey reads a public key.
func exampleKey(text string) ssh.PublicKey {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		panic(err)
	}
	return key
}
