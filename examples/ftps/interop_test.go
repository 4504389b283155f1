package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// ftpd is a real server, one process for each session, which gets the control connection as a
// socket, so that no port is fixed.
type ftpd struct {
	name     string
	implicit bool // can speak it
	// args writes what the server needs into the folder and returns its arguments.
	args func(t *testing.T, at place) []string
}

// place is where a server's files are.
type place struct {
	folder, root             string // of the configuration, of what clients see
	chain, key, both, client string // PEM files: the server's, and the authority of clients
	version                  uint16
	implicit                 bool
}

func (p place) write(t *testing.T, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(p.folder, name)
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var ftpds = []ftpd{
	{"vsftpd", true, func(t *testing.T, p place) []string {
		yes := func(on bool) string {
			if on {
				return "YES"
			}
			return "NO"
		}
		empty := filepath.Join(p.folder, "empty")
		if err := os.Mkdir(empty, 0o755); err != nil {
			t.Fatal(err)
		}
		return []string{p.write(t, "vsftpd.conf", "listen=NO", "background=NO", "anonymous_enable=YES", "local_enable=NO", "write_enable=YES",
			"anon_root="+p.root, "anon_upload_enable=YES", "anon_other_write_enable=YES", "anon_umask=022", "no_anon_password=YES",
			"secure_chroot_dir="+empty, "seccomp_sandbox=NO", "ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_data_ssl=YES", "force_anon_logins_ssl=YES",
			"require_ssl_reuse=YES", "ssl_request_cert=YES", "require_cert=YES", "validate_cert=YES", "ca_certs_file="+p.client, "rsa_cert_file="+p.chain,
			"rsa_private_key_file="+p.key, "ssl_ciphers=HIGH", "implicit_ssl="+yes(p.implicit), "connect_from_port_20=NO")}
	}},
	{"proftpd", true, func(t *testing.T, p place) []string {
		implicit := ""
		if p.implicit {
			implicit = "TLSOptions UseImplicitSSL"
		}
		lines := []string{"ServerName test", "ServerType inetd", "DefaultAddress 127.0.0.1", "UseIPv6 off", "UseReverseDNS off", "User nobody", "Group nogroup", "RequireValidShell off",
			"UseFtpUsers off", "AllowOverwrite on", "AllowStoreRestart on", "ScoreboardFile none", "SystemLog none", "TransferLog none", "WtmpLog off", "DefaultRoot " + p.root,
			"<Anonymous " + p.root + ">", "User nobody", "Group nogroup", "UserAlias anonymous nobody", "RequireValidShell off", "AnonRequirePassword off", "</Anonymous>",
			"TLSEngine on", "TLSRSACertificateFile " + p.chain, "TLSRSACertificateKeyFile " + p.key, "TLSCACertificateFile " + p.client, "TLSVerifyClient on", "TLSRequired on", implicit}
		if path := testtool.Find(t, "proftpd"); strings.HasPrefix(path, "/opt/") {
			lines = append([]string{"ModulePath " + filepath.Join(filepath.Dir(path), "../lib/proftpd")}, lines...)
		}
		lines = append([]string{lines[0], "LoadModule mod_tls.c"}, lines[1:]...)
		return []string{"-n", "-q", "-c", p.write(t, "proftpd.conf", lines...)}
	}},
	{"pure-ftpd", false, func(t *testing.T, p place) []string {
		path := testtool.Find(t, "pure-ftpd")
		users, db := p.write(t, "users"), filepath.Join(p.folder, "users.pdb")
		add := testtool.Command(t, filepath.Join(filepath.Dir(path), "../bin/pure-pw"), "useradd", "anonymous", "-f", users, "-F", db, "-m", "-u", "65534", "-g", "65534", "-d", p.root)
		add.Stdin = strings.NewReader("p\np\n")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return []string{"-Y", "3", "-2", p.both, "-J", "HIGH", "-l", "puredb:" + db, "-u", "1", "-E", "-H", "-A"}
	}},
}

// TestInteropFTPServers uses jlaffaye/ftp with the servers that people run.
func TestInteropFTPServers(t *testing.T) {
	if os.Getenv("TRUSTKEEP_INTEROP") == "1" && os.Geteuid() != 0 {
		t.Skip("FTP servers change their user, which needs root")
	}
	for _, server := range ftpds {
		for _, version := range versions {
			for _, implicit := range []bool{false, true} {
				if implicit && !server.implicit {
					continue
				}
				t.Run(fmt.Sprintf("%s %s implicit=%v", server.name, strings.ReplaceAll(tls.VersionName(version), " ", ""), implicit), func(t *testing.T) {
					t.Parallel() // pure-ftpd takes a break with each data connection
					tryFTPD(t, server, version, implicit)
				})
			}
		}
	}
}

func tryFTPD(t *testing.T, server ftpd, version uint16, implicit bool) {
	// An aborted download leaves the session usable. pure-ftpd 1.0.50 often sends no reply to one,
	// whichever way it is ended, so that a client waits for ever.
	aborts, aborted := 3, "3 aborted downloads"
	if server.name == "pure-ftpd" {
		aborts, aborted = 0, "no aborted download (its reply is often missing)"
	}
	mode := tls.VersionName(version) + " explicit"
	if implicit {
		mode = tls.VersionName(version) + " implicit"
	}
	testtool.Exchange{Peer: server.name, Mode: mode, What: "0 B, 50 kB, 100 kB and 64 MB up and down, compared on its disk; 50 data connections in a row in each of two sessions, then two at once; " +
		aborted + ", a refused and a broken upload; another trust refused"}.Log(t)
	pki := pkitest.Options{Now: time.Now()}.New(t)
	p := place{folder: t.TempDir(), version: version, implicit: implicit}
	// What clients see is nobody's, in a folder that nobody may enter.
	root, err := os.MkdirTemp("", "tk-ftp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	p.root = root
	up := filepath.Join(root, "up")
	if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(up, 0o777), os.Chmod(up, 0o777)); err != nil {
		t.Fatal(err)
	}
	identity := pki.NewServer("127.0.0.1")
	p.chain, p.key, p.both = pemFiles(t, p.folder, identity)
	if server.name == "pure-ftpd" { // it takes the authorities of clients from the file of its own
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.CA.Leaf().Raw})
		both, err := os.ReadFile(p.both)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.both, append(both, ca...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.client = filepath.Join(p.folder, "ca.pem")
	var authorities []byte
	for _, ca := range []*keystore.Identity{pki.CA, pki.Intermediate} {
		authorities = append(authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf().Raw})...)
	}
	if err := os.WriteFile(p.client, authorities, 0o600); err != nil {
		t.Fatal(err)
	}
	args := server.args(t, p)
	address := testtool.Inetd(t, server.name, args...)
	b := tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.NewClient("partner"), MaxVersion: version}
	stored := func(file string, content []byte) error {
		got, err := os.ReadFile(filepath.Join(up, file))
		if err == nil && !bytes.Equal(got, content) {
			err = fmt.Errorf("on disk are %d of %d bytes", len(got), len(content))
		}
		return err
	}
	login := func() *ftp.ServerConn {
		t.Helper()
		c, _, err := connect(t.Context(), b, address, ftps.Options{Implicit: implicit})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Login("anonymous", "p"), c.ChangeDir("up")); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c, second := login(), login()
	for i := range 50 { // data connections in a row, of two sessions by turns
		content := bytes.Repeat([]byte{byte(i)}, i%3*50_000)
		file := fmt.Sprintf("file-%d", i)
		if err := errors.Join(c.Stor(file, bytes.NewReader(content)), stored(file, content)); err != nil {
			t.Fatalf("upload %d: %v", i, err)
		}
		r, err := second.Retr(file)
		if err != nil {
			t.Fatalf("download %d: %v", i, err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("download %d: %d of %d bytes, %v", i, len(got), len(content), err)
		}
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	if err := errors.Join(c.Stor("large", bytes.NewReader(large)), stored("large", large)); err != nil {
		t.Fatalf("large upload: %v", err)
	}
	// Both sessions at once: one sends while the other fetches.
	var both sync.WaitGroup
	both.Go(func() {
		if err := errors.Join(c.Stor("again", bytes.NewReader(large)), stored("again", large)); err != nil {
			t.Errorf("large upload beside a download: %v", err)
		}
	})
	both.Go(func() {
		sum := sha256.New()
		r, err := second.Retr("large")
		if err != nil {
			t.Errorf("large download: %v", err)
			return
		}
		n, err := io.Copy(sum, r)
		if want := sha256.Sum256(large); errors.Join(err, r.Close()) != nil || !bytes.Equal(sum.Sum(nil), want[:]) {
			t.Errorf("large download beside an upload: %d bytes, %v", n, err)
		}
	})
	both.Wait()
	for range aborts {
		r, err := c.Retr("large")
		if err != nil {
			t.Fatalf("download to abort: %v", err)
		}
		if _, err := io.ReadFull(r, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		r.Close() // the server's reply tells of the abort, as an error
	}
	if err := c.NoOp(); err != nil {
		t.Errorf("after an aborted download: %v", err)
	}
	// A refused command costs no time and no session.
	began := time.Now()
	if err := c.Stor("no/such/folder", strings.NewReader("x")); err == nil {
		t.Error("stored in a folder that does not exist")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a refused upload took %v", took)
	}
	// A source that fails is an error by the server too.
	broken := errors.New("disk is gone")
	if err := c.Stor("half", io.MultiReader(bytes.NewReader(large[:1<<20]), failing{broken})); !errors.Is(err, broken) || !isReply(err) {
		t.Errorf("half an upload: %v", err)
	}
	if err := errors.Join(c.Stor("last", strings.NewReader("x")), stored("last", []byte("x"))); err != nil {
		t.Errorf("after half an upload: %v", err)
	}
	if err := errors.Join(c.Quit(), second.Quit()); err != nil {
		t.Log(err)
	}

	other := pkitest.Options{Now: time.Now()}.New(t)
	b.Global, b.Trusted = pki.Trust(), other.Trust()
	if c, _, err := connect(t.Context(), b, address, ftps.Options{Implicit: implicit}); err == nil {
		if err = c.Login("anonymous", "p"); err == nil {
			t.Error("the connection's own trust does not count")
		}
	}
}

// isReply reports whether an error holds a reply of the server that refuses.
func isReply(err error) bool {
	return strings.Contains(err.Error(), "426") || strings.Contains(err.Error(), "451") || strings.Contains(err.Error(), "425")
}

// pemFiles writes an identity for servers that want PEM.
func pemFiles(t *testing.T, folder string, id *keystore.Identity) (chain, key, both string) {
	t.Helper()
	store := keystore.New()
	if err := store.SetIdentity("id", id); err != nil {
		t.Fatal(err)
	}
	data, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	var certificates, keys []byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Headers = nil; block.Type == "CERTIFICATE" {
			certificates = append(certificates, pem.EncodeToMemory(block)...)
		} else {
			keys = append(keys, pem.EncodeToMemory(block)...)
		}
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("chain.pem", certificates), write("key.pem", keys), write("both.pem", slices.Concat(keys, certificates))
}
