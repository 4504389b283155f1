package main

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// daemon is a real server for a recipe.
type daemon struct {
	tool   string
	recipe recipe
	mode   string
	start  func(*testing.T, place)
}

// place is where a server runs.
type place struct {
	folder, port         string
	certificate, key, ca string         // files; the first holds the chain
	owner                testtool.Owner // of the folder, if tests run as root and the server refuses to
}

func (p place) at(name string) string { return filepath.Join(p.folder, name) }

func (p place) write(t *testing.T, name string, lines ...string) string {
	t.Helper()
	if err := os.WriteFile(p.at(name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.owner.Give(t, p.at(name))
	return p.at(name)
}

func (p place) run(t *testing.T, stdin, tool string, args ...string) {
	t.Helper()
	args = p.owner.Args(t, tool, args...)
	cmd := testtool.Command(t, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = p.folder, strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

var daemons = []daemon{
	{"postgres", overPostgres, "SSLRequest", func(t *testing.T, p place) {
		p.run(t, "", "initdb", "-D", p.at("data"), "-U", "me", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
		p.run(t, "CREATE DATABASE orders;\n", "postgres", "--single", "-D", p.at("data"), "postgres")
		p.write(t, "data/pg_hba.conf", "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca")
		args := p.owner.Args(t, "postgres", "-D", p.at("data"), "-p", p.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
			"-c", "ssl=on", "-c", "ssl_cert_file="+p.certificate, "-c", "ssl_key_file="+p.key, "-c", "ssl_ca_file="+p.ca)
		testtool.Start(t, args[0], args[1:]...).Line("ready to accept connections")
		t.Cleanup(func() { p.run(t, "", "pg_ctl", "stop", "-D", p.at("data"), "-m", "immediate") }) // else its processes outlive it
	}},
	{"mariadbd", overMySQL, "STARTTLS of its own", func(t *testing.T, p place) {
		p.run(t, "", "mariadb-install-db", "--no-defaults", "--datadir="+p.at("data"), "--skip-test-db", "--auth-root-authentication-method=normal")
		args := p.owner.Args(t, "mariadbd", "--no-defaults", "--datadir="+p.at("data"), "--bind-address=127.0.0.1", "--port="+p.port, "--socket="+p.at("socket"), "--skip-name-resolve",
			"--init-file="+p.write(t, "init.sql", "CREATE USER me@'127.0.0.1' REQUIRE X509;"), "--pid-file="+p.at("pid"), "--innodb-buffer-pool-size=8M",
			"--ssl-cert="+p.certificate, "--ssl-key="+p.key, "--ssl-ca="+p.ca, "--require-secure-transport=ON")
		testtool.Start(t, args[0], args[1:]...).Line("ready for connections")
	}},
	{"redis-server", overRedis, "TLS at once", func(t *testing.T, p place) {
		testtool.Start(t, "redis-server", "--port", "0", "--bind", "127.0.0.1", "--tls-port", p.port, "--tls-cert-file", p.certificate, "--tls-key-file", p.key, "--tls-ca-cert-file", p.ca,
			"--tls-auth-clients", "yes", "--save", "", "--dir", p.folder).Line("eady to accept connections")
	}},
	{"mosquitto", overMQTT, "TLS at once", func(t *testing.T, p place) {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		testtool.Start(t, "mosquitto", "-v", "-c", p.write(t, "mosquitto.conf", "listener "+p.port+" 127.0.0.1", "cafile "+p.ca, "certfile "+p.certificate, "keyfile "+p.key,
			"require_certificate true", "allow_anonymous true", "user "+me.Username)).Line(" running")
	}},
	{"slapd", overLDAP, "ldaps", func(t *testing.T, p place) {
		if err := os.Mkdir(p.at("data"), 0o700); err != nil {
			t.Fatal(err)
		}
		conf := p.write(t, "slapd.conf", "include /etc/ldap/schema/core.schema", "modulepath /usr/lib/ldap", "moduleload back_mdb", "pidfile "+p.at("pid"),
			"TLSCACertificateFile "+p.ca, "TLSCertificateFile "+p.certificate, "TLSCertificateKeyFile "+p.key, "TLSVerifyClient demand",
			"database mdb", `suffix "cn=me"`, `rootdn "cn=me"`, "rootpw secret", "directory "+p.at("data"))
		testtool.Start(t, "slapd", "-h", "ldaps://127.0.0.1:"+p.port, "-f", conf, "-d", "conns").Line(": listen=") // one that it selects, and so listens to already
	}},
	{"nats-server", overNATS, "INFO in clear", func(t *testing.T, p place) {
		testtool.Start(t, "nats-server", "-a", "127.0.0.1", "-p", p.port, "--tlsverify", "--tlscert", p.certificate, "--tlskey", p.key, "--tlscacert", p.ca).Line("Server is ready")
	}},
}

// TestInteropDaemons connects the libraries to the servers that people run, by the same recipes as
// to those in this process: they work where A is deployed, are refused where the connection is set
// to B, and end or are refused once A is no longer trusted. Each server wants a certificate by A.
func TestInteropDaemons(t *testing.T) {
	for _, d := range daemons {
		t.Run(d.tool, func(t *testing.T) {
			t.Parallel()
			testtool.Need(t, d.tool)
			testtool.Exchange{Peer: d.tool, Mode: d.mode, What: fmt.Sprintf("commands of %s with client certificates; ended or refused once the trust has gone; set to another trust, refused", d.recipe.library)}.Log(t)
			r := d.recipe
			r.serve = func(s *site) (string, error) {
				folder, err := os.MkdirTemp("", "tk-"+d.tool) // which its owner can enter, as t.TempDir's parents cannot be
				if err != nil {
					return "", err
				}
				t.Cleanup(func() { os.RemoveAll(folder) })
				p := place{folder: folder}
				p.owner = testtool.OwnerInRootsPlace(map[string]string{"postgres": "postgres", "mariadbd": "mysql"}[d.tool])
				p.owner.Give(t, folder)
				store := keystore.New()
				if err := store.SetIdentity("id", s.builder.Identity.(*keystore.Identity)); err != nil {
					return "", err
				}
				both, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
				if err != nil {
					return "", err
				}
				ca, err := s.builder.Trusted.(*truststore.Truststore).Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
				if err != nil {
					return "", err
				}
				p.certificate = p.write(t, "server.pem", string(both))
				p.key, p.ca = p.certificate, p.write(t, "ca.pem", string(ca))
				// Not all of them can choose a free port by themselves.
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return "", err
				}
				address := l.Addr().String()
				l.Close()
				_, p.port, _ = net.SplitHostPort(address)
				d.start(t, p)
				return address, nil
			}
			if ended, err := r.check(t.Context()); err != nil || ended == (r.form == "LiveClient") {
				t.Errorf("ended by Recheck: %v, %v", ended, err)
			}
		})
	}
}
