package bench

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

// size is that of the file that is sent and fetched.
const size = 64 << 20

// peer sends and fetches the file by one client.
type peer struct {
	name      string
	up, down  func() error // down may be nil
	program   bool         // another, whose processor time is not known
	wall, cpu [2][]time.Duration
}

// compare lets the clients take turns, each beginning as often as the others, and reports the
// medians: the rate of the first in MB/s, and its time in relation to that of each other. On a
// shared machine, the relation of this process's processor time says more.
func compare(b *testing.B, peers ...*peer) {
	b.Helper()
	for round := 0; b.Loop(); round++ {
		for i := range peers {
			p := peers[(i+round)%len(peers)]
			for way, do := range []func() error{p.up, p.down} {
				if do == nil {
					continue
				}
				start, used := time.Now(), testcpu.Used()
				if err := do(); err != nil {
					b.Fatalf("%s: %v", p.name, err)
				}
				p.wall[way] = append(p.wall[way], time.Since(start))
				p.cpu[way] = append(p.cpu[way], testcpu.Since(used))
			}
		}
	}
	for way, name := range []string{"up", "down"} {
		if len(peers[0].wall[way]) == 0 {
			continue
		}
		median := func(d []time.Duration) float64 {
			slices.Sort(d)
			return d[len(d)/2].Seconds()
		}
		wall, cpu := median(peers[0].wall[way]), median(peers[0].cpu[way])
		b.ReportMetric(size/1e6/wall, name+"-MB/s")
		for _, p := range peers[1:] {
			b.ReportMetric(wall/median(p.wall[way]), name+"/"+p.name)
			if !p.program {
				b.ReportMetric(cpu/median(p.cpu[way]), name+"-cpu/"+p.name)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // says nothing
}

// endless is content that costs nothing to make, behind no more methods than Read.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

func content() io.Reader { return struct{ io.Reader }{io.LimitReader(endless{}, size)} }

// whole checks that all of the content came.
func whole(n int64, err error) error {
	if err == nil && n != size {
		err = fmt.Errorf("%d of %d bytes", n, size)
	}
	return err
}

// command is a peer that is another program: its start and its login count too.
func command(b *testing.B, name string, up, down []string) *peer {
	run := func(args []string) func() error {
		return func() error {
			if out, err := testtool.Command(b, args[0], args[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}
	}
	return &peer{name: name, up: run(up), down: run(down), program: true}
}

func write(b *testing.B, path, text string) string {
	b.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// local is a file with the content.
func local(b *testing.B, folder string) string {
	b.Helper()
	path := filepath.Join(folder, "local")
	f, err := os.Create(path)
	if err == nil {
		_, err = io.Copy(f, content())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkFTPS sends and fetches 64 MiB by github.com/jlaffaye/ftp at vsftpd, which demands that
// data connections resume the session: with a Session of tlsctx/ftps, with a tls.Config by hand, and
// by curl. It is TLS 1.2, since under 1.3 uploads by hand are cut: the connection is closed while the
// server's ticket is unread.
func BenchmarkFTPS(b *testing.B) {
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		b.Skip("vsftpd changes its user, which needs root")
	}
	ca, err := issue.New(issue.Options{DNSNames: []string{"ca.example"}, Purposes: issue.ForCA})
	check(err)
	id, err := issue.New(issue.Options{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, Issuer: ca, Purposes: issue.ForServer})
	check(err)
	folder := b.TempDir()
	store := keystore.New()
	check(store.SetIdentity("id", id))
	both, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	check(err)
	file := write(b, filepath.Join(folder, "server.pem"), string(both))
	root := write(b, filepath.Join(folder, "root.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Leaf().Raw})))
	served, err := os.MkdirTemp("", "tk-ftp")
	check(err)
	defer os.RemoveAll(served)
	check(errors.Join(os.Chmod(served, 0o755), os.Mkdir(filepath.Join(served, "up"), 0o777), os.Chmod(filepath.Join(served, "up"), 0o777), os.Mkdir(filepath.Join(folder, "empty"), 0o755)))
	address := testtool.Inetd(b, "vsftpd", write(b, filepath.Join(folder, "vsftpd.conf"), strings.Join([]string{
		"listen=NO", "background=NO", "anonymous_enable=YES", "local_enable=NO", "write_enable=YES", "anon_root=" + served, "anon_upload_enable=YES", "anon_other_write_enable=YES",
		"anon_umask=022", "no_anon_password=YES", "secure_chroot_dir=" + filepath.Join(folder, "empty"), "seccomp_sandbox=NO", "ssl_enable=YES", "allow_anon_ssl=YES",
		"force_anon_data_ssl=YES", "force_anon_logins_ssl=YES", "require_ssl_reuse=YES", "rsa_cert_file=" + file, "ssl_ciphers=HIGH", "connect_from_port_20=NO", "",
	}, "\n")))

	client := func(name string, connect func() (*ftp.ServerConn, error)) *peer {
		c, err := connect()
		check(err)
		b.Cleanup(func() { c.Quit() })
		check(errors.Join(c.Login("anonymous", "p"), c.ChangeDir("up")))
		return &peer{name: name,
			up: func() error { return c.Stor(name, content()) },
			down: func() error {
				r, err := c.Retr(name)
				if err != nil {
					return err
				}
				n, err := io.Copy(io.Discard, r)
				return whole(n, errors.Join(err, r.Close()))
			}}
	}
	ours := client("ours", func() (*ftp.ServerConn, error) {
		s, err := ftps.New(tlsctx.Builder{Trusted: truststore.New(ca.Leaf()), MaxVersion: tls.VersionTLS12}, address)
		check(err)
		return ftp.Dial(address, ftp.DialWithDialFunc(s.DialFunc(context.Background())), ftp.DialWithExplicitTLS(s.Config()))
	})
	byHand := client("by-hand", func() (*ftp.ServerConn, error) {
		pool := x509.NewCertPool()
		pool.AddCert(ca.Leaf())
		return ftp.Dial(address, ftp.DialWithExplicitTLS(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(10)}))
	})
	url := "ftp://" + address + "/up/curl"
	curl := command(b, "curl", []string{"curl", "-sS", "--ssl-reqd", "--tls-max", "1.2", "--cacert", root, "-T", local(b, folder), url},
		[]string{"curl", "-sS", "--ssl-reqd", "--tls-max", "1.2", "--cacert", root, "-o", os.DevNull, url})
	compare(b, ours, byHand, curl)
}

// BenchmarkSFTP sends and fetches 64 MiB by github.com/pkg/sftp at sshd: with what sshctx makes,
// with a ssh.ClientConfig by hand, and by OpenSSH's sftp.
func BenchmarkSFTP(b *testing.B) {
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	me, err := user.Current()
	check(err)
	if os.Geteuid() == 0 {
		os.MkdirAll("/run/sshd", 0o755) // sshd wants it for privilege separation, as root
	}
	folder := testtool.NewFolder(b, "ssh-keygen")
	at := func(name string) string { return filepath.Join(folder.Dir, name) }
	for _, name := range []string{"host", "me"} {
		folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)
	}
	check(os.Mkdir(at("served"), 0o700))
	config := write(b, at("sshd_config"), fmt.Sprintf("UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nStrictModes no\nPidFile none\nHostKey %s\nAuthorizedKeysFile %s\nSubsystem sftp internal-sftp -d %s\n",
		at("host"), at("me.pub"), at("served")))
	address := testtool.Inetd(b, "sshd", "-i", "-f", config)
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey(folder.Read("host.pub"))
	check(err)
	signer, err := ssh.ParsePrivateKey(folder.Read("me"))
	check(err)
	raw, err := ssh.ParseRawPrivateKey(folder.Read("me"))
	check(err)

	client := func(name string, connect func() (*ssh.Client, error)) *peer {
		conn, err := connect()
		check(err)
		c, err := sftp.NewClient(conn)
		check(err)
		b.Cleanup(func() { c.Close(); conn.Close() })
		return &peer{name: name,
			up: func() error {
				f, err := c.Create(name)
				if err != nil {
					return err
				}
				n, err := f.ReadFromWithConcurrency(content(), 64)
				return whole(n, errors.Join(err, f.Close()))
			},
			down: func() error {
				f, err := c.Open(name)
				if err != nil {
					return err
				}
				n, err := f.WriteTo(io.Discard)
				return whole(n, errors.Join(err, f.Close()))
			}}
	}
	ours := client("ours", func() (*ssh.Client, error) {
		d, err := sshctx.Builder{Trusted: sshctx.Pinned(sshctx.PinKey(hostKey)), User: me.Username, Identities: []sshctx.Identity{sshctx.FromSigner(raw.(crypto.Signer))}}.Dialer()
		check(err)
		return d.DialContext(context.Background(), "tcp", address)
	})
	byHand := client("by-hand", func() (*ssh.Client, error) {
		return ssh.Dial("tcp", address, &ssh.ClientConfig{User: me.Username, HostKeyCallback: ssh.FixedHostKey(hostKey), Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}})
	})
	host, port, err := net.SplitHostPort(address)
	check(err)
	login := []string{"sftp", "-q", "-F", "none", "-i", at("me"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + at("known"), "-P", port}
	put := write(b, at("put"), "put "+local(b, folder.Dir)+" sftp\n")
	get := write(b, at("get"), "get sftp "+os.DevNull+"\n")
	target := me.Username + "@" + host
	command := command(b, "sftp", append(slices.Clone(login), "-b", put, target), append(slices.Clone(login), "-b", get, target))
	compare(b, ours, byHand, command)
}
