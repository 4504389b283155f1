package tlsctx_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// pemFiles writes an identity for tools that want PEM.
func pemFiles(t *testing.T, dir, name string, id *testpki.Identity) (chain, key string) {
	t.Helper()
	chain, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, data := range map[string][]byte{chain: id.ChainPEM(), key: id.KeyPEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

// TestInteropNginx talks to nginx by sockets in the file system, since it cannot choose
// a free port.
func TestInteropNginx(t *testing.T) {
	testtool.Need(t, "nginx")
	testtool.Exchange{Peer: "nginx", Mode: "TLS 1.2 and 1.3", What: "requests to two names with client certificates by route, pinned, resumed; another trust refused"}.Log(t)
	pki, other := testpki.New(t, testpki.Options{Now: time.Now()}), testpki.New(t, testpki.Options{Name: "Other", Now: time.Now()})
	// Not t.TempDir: a socket's name has room for 108 bytes.
	dir, err := os.MkdirTemp("", "tk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	root := filepath.Join(dir, "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.Root.DER}), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := pki.Server("a.example"), pki.Server("b.example")
	var servers strings.Builder
	for name, id := range map[string]*testpki.Identity{"a": a, "b": b} {
		chain, key := pemFiles(t, dir, name, id)
		fmt.Fprintf(&servers, `server { listen unix:%s/s ssl; server_name %s.example; ssl_certificate %s; ssl_certificate_key %s;
			ssl_protocols TLSv1.2 TLSv1.3; ssl_client_certificate %s; ssl_verify_client on; ssl_verify_depth 3; ssl_session_cache shared:%s:1m;
			location / { return 200 "$ssl_server_name $ssl_client_s_dn_legacy $ssl_session_reused\n"; } }`, dir, name, chain, key, root, name)
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr info; events {}
		http { access_log off; client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2; fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5; %[2]s }`, dir, servers.String())
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Start(t, "nginx", "-e", "stderr", "-c", conf).Line("OS: ") // by then, it listens

	routes := new(tlsctx.Routes)
	for _, name := range []string{"a", "b"} {
		if err := routes.Set(name+".example", identity(pki.Client("for "+name))); err != nil {
			t.Fatal(err)
		}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "s"))
	}
	get := func(b tlsctx.Builder, name string) (string, error) {
		t.Helper()
		b.NextProtos = []string{"http/1.1"}
		transport, err := b.Transport(&http.Transport{DialContext: dial, DisableKeepAlives: true})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		var last string
		for range 2 { // in full, and where it can, resumed
			r, err := client.Get("https://" + name + "/")
			if err != nil {
				return "", err
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if err != nil {
				return "", err
			}
			last = fmt.Sprint(r.StatusCode, " ", strings.TrimSpace(string(body)))
		}
		return last, nil
	}
	for _, v := range versions {
		for _, name := range []string{"a", "b"} {
			for what, b := range map[string]tlsctx.Builder{"chain": {}, "pinned": {Pins: []truststore.Pin{truststore.PinKey(map[string]*testpki.Identity{"a": a, "b": b}[name].Cert)}}} {
				b.Trusted, b.Routes, b.MaxVersion = store(pki.Root), routes, v
				got, err := get(b, name+".example")
				if err != nil || !strings.HasPrefix(got, "200 "+name+".example ") || !strings.Contains(got, "CN=for "+name) || !strings.HasSuffix(got, " r") {
					t.Errorf("%s, %s, %s: %q, %v", tls.VersionName(v), name, what, got, err)
				}
			}
		}
		if got, err := get(tlsctx.Builder{Global: store(pki.Root), Trusted: store(other.Root), Routes: routes, MaxVersion: v}, "a.example"); err == nil {
			t.Errorf("%s: not trusted: %q", tls.VersionName(v), got)
		}
		// nginx completes the handshake and answers 400.
		if got, err := get(tlsctx.Builder{Trusted: store(pki.Root), MaxVersion: v}, "a.example"); err != nil || !strings.HasPrefix(got, "400") {
			t.Errorf("%s: without identity: %q, %v", tls.VersionName(v), got, err)
		}
	}
}

// TestInteropOpenSSLClient has openssl s_client connect to servers of Builder.Server.
func TestInteropOpenSSLClient(t *testing.T) {
	testtool.Need(t, "openssl")
	testtool.Exchange{Peer: "openssl", Mode: "TLS client", What: "s_client with client certificates by RSA, ECDSA and Ed25519, TLS 1.2 and 1.3, resumed; strangers refused"}.Log(t)
	for name, keyType := range map[string]testpki.KeyType{"RSA": testpki.RSA2048, "ECDSA": testpki.P256, "Ed25519": testpki.Ed25519} {
		pki := testpki.New(t, testpki.Options{KeyType: keyType, Now: time.Now()})
		dir := t.TempDir()
		root, _ := pemFiles(t, dir, "root", pki.Root)
		chain, key := pemFiles(t, dir, "client", pki.Client("me"))
		strange, strangeKey := pemFiles(t, dir, "stranger", pki.SelfSigned("stranger"))
		for _, version := range versions {
			for _, conceal := range []bool{false, true} {
				e := (&echo{hangsUp: true}).start(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), ConcealCAs: conceal, MaxVersion: version}))
				run := func(args ...string) (string, error) {
					cmd := testtool.Command(t, "openssl", append([]string{"s_client", "-connect", e.address, "-servername", host, "-verify_hostname", host, "-verify_return_error", "-CAfile", root, "-ign_eof"}, args...)...)
					cmd.Stdin = strings.NewReader("")
					out, err := cmd.CombinedOutput()
					return string(out), err
				}
				session := filepath.Join(dir, "session")
				os.Remove(session)
				out, err := run("-cert", chain, "-key", key, "-cert_chain", chain, "-sess_out", session)
				if !strings.Contains(out, "!") || e.last.Load() == nil || e.last.Load().PeerCertificates[0].Subject.CommonName != "me" {
					t.Errorf("%s, %s: %v: %s", name, tls.VersionName(version), err, out)
				}
				out, _ = run("-cert", chain, "-key", key, "-cert_chain", chain, "-sess_in", session)
				if !strings.Contains(out, "Reused, ") {
					t.Errorf("%s, %s: not resumed: %s", name, tls.VersionName(version), out)
				}
				if out, _ := run(); strings.Contains(out, "!") || !strings.Contains(out, "alert") {
					t.Errorf("%s, %s: without a certificate: %s", name, tls.VersionName(version), out)
				}
				if out, _ := run("-cert", strange, "-key", strangeKey); !strings.Contains(out, "alert") {
					t.Errorf("%s, %s: a stranger: %s", name, tls.VersionName(version), out)
				}
			}
		}
		t.Logf("openssl s_client with %s: client certificates, concealed authorities, resumption, TLS 1.2 and 1.3", name)
	}
}
