package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// peerJava is a server on JSSE; see there.
const peerJava = "../../tlsctx/testdata/Peer.java"

// mutual makes the connections that every server that requires a certificate of pki has
// to accept or refuse, in the way that the operator of a product would. Servers are asked
// for name.
func mutual(t *testing.T, peer, address, name string, pki *pkitest.PKI, server *keystore.Identity, refusesAtOnce bool) {
	t.Helper()
	root, cert, strange := written(t, pki.CA.Leaf().Raw), written(t, server.Leaf().Raw), written(t, pkitest.New(t).CA.Leaf().Raw)
	mine := []string{"-identity", pki.KeystoreFile(trustkeep.PKCS12, pki.NewClient("me")), "-identity-password", pkitest.Password}
	for _, version := range []string{"1.2", "1.3"} {
		base := []string{"-addr", address, "-servername", name, "-tls", version}
		for what, c := range map[string]struct {
			rule, code string // a code: refused
			args       []string
		}{
			"chain":             {"chain", "", append([]string{"-trust", root}, mine...)},
			"exact":             {"exact", "", append([]string{"-trusted-cert", cert}, mine...)},
			"pinned":            {"pin", "", append([]string{"-pin", cert}, mine...)},
			"A deployed, B own": {"", "unknown-issuer", append([]string{"-trust", cert, "-trusted-cert", strange}, mine...)},
			"another name":      {"", "name-mismatch", append([]string{"-trust", root, "-servername", "other.example"}, mine...)},
			"without identity":  {"", "*", []string{"-trust", root}},
		} {
			status, r, errs := call(t, append(slices.Clone(base), append(c.args, "-repeat", "2")...)...)
			switch {
			case c.code == "*" && !refusesAtOnce:
			case c.code != "":
				if status != exitRefused || r.Error == nil || c.code != "*" && r.Error.Code != c.code {
					t.Errorf("%s, TLS %s, %s: %d, %+v, %s", peer, version, what, status, r.Error, errs)
				}
			case status != exitAccepted || r.Rule != c.rule || !slices.Equal(r.Resumed, []bool{false, true}):
				t.Errorf("%s, TLS %s, %s: %d, %+v, %+v, %s", peer, version, what, status, r, r.Error, errs)
			}
		}
	}
	t.Logf("%s: accepted, refused and resumed under TLS 1.2 and 1.3, with a client certificate", peer)
}

func TestInteropJavaServers(t *testing.T) {
	for mode, peer := range map[string]string{"server": "SSLServerSocket", "https": "HttpsServer"} {
		pki := pkitest.New(t)
		server := pki.NewServer("localhost")
		keys, trust := keystore.New(), keystore.New()
		if err := errors.Join(keys.SetIdentity("server", server), trust.SetTrusted("ca", pki.CA.Leaf())); err != nil {
			t.Fatal(err)
		}
		o := trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: trustkeep.Password("changeit")}
		java := testtool.Start(t, "java", append(testtool.JavaArgs(t, peerJava), mode, saved(t, keys, o), saved(t, trust, o))...)
		mutual(t, peer, "localhost:"+strings.TrimPrefix(java.Line("PORT "), "PORT "), "localhost", pki, server, true)
	}
}

// saved writes a store for a tool.
func saved(t *testing.T, ks *keystore.Keystore, o trustkeep.SaveOptions) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	if err := ks.Save(path, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInteropNginxServer connects to two servers of nginx, which presents one or the other
// by the name that it is asked for. It cannot choose a free port, so it listens on a socket
// in the file system, and a port leads there.
func TestInteropNginxServer(t *testing.T) {
	testtool.Need(t, "nginx")
	// Not t.TempDir: a socket's name has room for 108 bytes.
	dir, err := os.MkdirTemp("", "tk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	pki := pkitest.New(t)
	servers := map[string]*keystore.Identity{}
	var conf strings.Builder
	fmt.Fprintf(&conf, `daemon off; master_process off; pid %[1]s/pid; error_log stderr info; events {}
		http { access_log off; client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2; fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5;`, dir)
	for _, name := range []string{"a.example", "b.example"} {
		id := pki.NewServer(name)
		ks := keystore.New()
		if err := ks.SetIdentity("server", id); err != nil {
			t.Fatal(err)
		}
		pair := saved(t, ks, trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
		fmt.Fprintf(&conf, `server { listen unix:%s ssl; server_name %s; ssl_certificate %[3]s; ssl_certificate_key %[3]s; ssl_protocols TLSv1.2 TLSv1.3;
			ssl_client_certificate %[4]s; ssl_verify_client on; ssl_verify_depth 3; ssl_session_cache shared:%[2]s:1m; }`, socket, name, pair, written(t, pki.CA.Leaf().Raw))
		servers[name] = id
	}
	conf.WriteString("}")
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Start(t, "nginx", "-e", "stderr", "-c", path).Line("OS: ") // by then, it listens
	address := testnet.Serve(t, func(in net.Conn) {
		out, err := net.Dial("unix", socket)
		if err != nil {
			return
		}
		defer out.Close()
		go io.Copy(out, in)
		io.Copy(in, out)
	})
	for name, id := range servers {
		// Without a certificate, nginx completes the handshake and answers 400.
		mutual(t, "nginx as "+name, address, name, pki, id, false)
	}
}
