package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// call runs the command with -json.
func call(t *testing.T, args ...string) (int, *result, string) {
	t.Helper()
	var out, errs bytes.Buffer
	status := run(t.Context(), append([]string{"-json", "-timeout", "20s"}, args...), &out, &errs)
	r := new(result)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), r); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return status, r, errs.String()
}

// listen accepts connections until the test ends. before, if set, speaks before TLS.
func listen(t *testing.T, b tlsctx.Builder, before func(net.Conn) bool) (address string) {
	t.Helper()
	cfg, err := b.Server()
	if err != nil {
		t.Fatal(err)
	}
	return testnet.Serve(t, func(raw net.Conn) {
		if before != nil && !before(raw) {
			return
		}
		conn := tls.Server(raw, cfg)
		if conn.Handshake() == nil {
			conn.Write([]byte("!"))
		}
		conn.Close()
	})
}

// written puts certificates into a PEM file.
func written(t *testing.T, ders ...[]byte) string {
	t.Helper()
	var data []byte
	for _, der := range ders {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerdicts(t *testing.T) {
	pki, other := pkitest.New(t), pkitest.New(t)
	a, b := pki.NewServer("127.0.0.1"), other.NewServer("127.0.0.1")
	root, strange := written(t, pki.CA.Leaf().Raw), written(t, other.CA.Leaf().Raw)
	certA, certB := written(t, a.Leaf().Raw), written(t, b.Leaf().Raw)
	address := listen(t, tlsctx.Builder{Identity: a}, nil)
	pin := truststore.PinKey(a.Leaf()).String()
	for _, c := range []struct {
		name, rule, code string // a code: refused
		args             []string
	}{
		{"its authority is deployed", "chain", "", []string{"-trust", root}},
		{"another is", "", "unknown-issuer", []string{"-trust", strange}},
		{"one of several is", "chain", "", []string{"-trust", strange, "-trust", root}},
		{"A runs, A is deployed, B is the connection's own", "", "unknown-issuer", []string{"-trust", certA, "-trust", root, "-trusted-cert", certB}},
		{"A is the connection's own", "exact", "", []string{"-trust", strange, "-trusted-cert", certA}},
		{"pinned", "pin", "", []string{"-pin", certA}},
		{"pinned in words", "pin", "", []string{"-pin", pin}},
		{"another is pinned", "", "unknown-issuer", []string{"-pin", certB}},
		{"its authority is pinned", "", "unknown-issuer", []string{"-pin", root}},
		{"trusted, and pinned", "chain", "", []string{"-trust", root, "-pin", certA}},
		{"trusted, and another pinned", "", "pin-mismatch", []string{"-trust", root, "-pin", certB}},
		{"another name", "", "name-mismatch", []string{"-trust", root, "-servername", "other.example"}},
		{"another name, allowed for exact certificates", "", "name-mismatch", []string{"-trust", root, "-servername", "other.example", "-allow", "any-name"}},
		{"another name, allowed and exact", "exact", "", []string{"-trusted-cert", certA, "-servername", "other.example", "-allow", "expired,any-name"}},
	} {
		for _, version := range []string{"1.2", "1.3"} {
			status, r, errs := call(t, append([]string{"-addr", address, "-tls", version, "-repeat", "3"}, c.args...)...)
			if len(r.Peer) != 3 || r.Peer[0].SHA256 != trustkeep.DescribeCertificate(a.Leaf()).SHA256 {
				t.Errorf("%s: peer %+v", c.name, r.Peer)
			}
			if c.code != "" {
				if status != exitRefused || r.Accepted || r.Error == nil || r.Error.Code != c.code || r.Error.Text == "" || r.Rule != "" || r.Anchor != nil {
					t.Errorf("%s: %d, %+v, %+v, %s", c.name, status, r, r.Error, errs)
				}
				continue
			}
			if status != exitAccepted || !r.Accepted || r.Error != nil || r.Rule != c.rule || r.Anchor == nil || r.Version != "TLS "+version || r.CipherSuite == "" {
				t.Errorf("%s: %d, %+v, %+v, %s", c.name, status, r, r.Error, errs)
			}
			if !slices.Equal(r.Resumed, []bool{false, true, true}) {
				t.Errorf("%s: resumed %v", c.name, r.Resumed)
			}
			if relaxed := strings.Contains(c.name, "allowed and"); relaxed != slices.Equal(r.Relaxations, []truststore.Relaxation{truststore.AllowAnyName}) {
				t.Errorf("%s: relaxations %v", c.name, r.Relaxations)
			}
		}
	}
}

func TestIdentity(t *testing.T) {
	pki := pkitest.New(t)
	root := written(t, pki.CA.Leaf().Raw)
	address := listen(t, tlsctx.Builder{Identity: pki.NewServer("127.0.0.1"), ClientAuth: tlsctx.RequireClientAuth, Trusted: truststore.New(pki.CA.Leaf())}, nil)
	mine := pki.KeystoreFile(trustkeep.PKCS12, pki.NewClient("me"))
	for _, version := range []string{"1.2", "1.3"} {
		if status, r, errs := call(t, "-addr", address, "-trust", root, "-tls", version, "-identity", mine, "-identity-password", pkitest.Password); status != exitAccepted {
			t.Errorf("TLS %s: %d, %+v, %s", version, status, r.Error, errs)
		}
		if status, r, _ := call(t, "-addr", address, "-trust", root, "-tls", version); status != exitRefused || r.Error == nil || !strings.Contains(r.Error.Remedy, "dentity") {
			t.Errorf("TLS %s without: %d, %+v", version, status, r.Error)
		}
	}
}

func TestStartTLS(t *testing.T) {
	pki := pkitest.New(t)
	root := written(t, pki.CA.Leaf().Raw)
	ftp := func(answer string) func(net.Conn) bool {
		return func(c net.Conn) bool {
			io.WriteString(c, "220-hello\r\n220 there\r\n")
			line, err := bufio.NewReader(c).ReadString('\n')
			io.WriteString(c, answer)
			return err == nil && line == "AUTH TLS\r\n" && strings.HasPrefix(answer, "234")
		}
	}
	b := tlsctx.Builder{Identity: pki.NewServer("127.0.0.1")}
	if status, r, errs := call(t, "-addr", listen(t, b, ftp("234 go on\r\n")), "-trust", root, "-starttls", "ftp", "-repeat", "2"); status != exitAccepted || !slices.Equal(r.Resumed, []bool{false, true}) {
		t.Errorf("%d, %+v, %s", status, r.Error, errs)
	}
	if status, r, _ := call(t, "-addr", listen(t, b, ftp("502 no\r\n")), "-trust", root, "-starttls", "ftp"); status != exitRefused || r.Error.Code != "starttls" {
		t.Errorf("%d, %+v", status, r.Error)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-addr", "host"}, {"-addr", "h:1", "x"}, {"-addr", "h:1", "-tls", "1.1"}, {"-addr", "h:1", "-starttls", "xmpp"}, {"-addr", "h:1", "-allow", "anything"},
		{"-addr", "h:1", "-repeat", "0"}, {"-addr", "h:1", "-alias", "a"}, {"-addr", "h:1", "-trust-password", "p"}, {"-bogus"},
	} {
		if status, _, errs := call(t, args...); status != exitUsage || !strings.Contains(errs, "usage: connect") {
			t.Errorf("%q: %d, %q", args, status, errs)
		}
	}
	var out, errs bytes.Buffer
	if status := run(context.Background(), []string{"-h"}, &out, &errs); status != exitAccepted {
		t.Errorf("-h: %d", status)
	}
	if status, r, errs := call(t, "-addr", "127.0.0.1:1", "-trust", "missing"); status != exitRefused || !strings.Contains(errs, "missing") || r.Accepted || r.Error == nil || r.Error.Code != "setup" {
		t.Errorf("%d, %q, %+v", status, errs, r)
	}
}

// What -json prints has these fields, whatever the outcome.
func TestJSONFields(t *testing.T) {
	pki := pkitest.New(t)
	root := written(t, pki.CA.Leaf().Raw)
	address := listen(t, tlsctx.Builder{Identity: pki.NewServer("127.0.0.1")}, nil)
	for _, args := range [][]string{
		{"-addr", address, "-trust", root, "-repeat", "2"},
		{"-addr", address, "-trust", root, "-servername", "other.example"},
		{"-addr", address, "-trust", "missing"},
		{"-addr", "127.0.0.1:1", "-trust", root},
	} {
		var out bytes.Buffer
		run(t.Context(), append(args, "-json"), &out, io.Discard)
		got := map[string]json.RawMessage{}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
		want := []string{"accepted", "anchor", "cipherSuite", "error", "peer", "relaxations", "resumed", "rule", "version"}
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
			t.Errorf("%q", keys)
		}
		for _, list := range []string{"peer", "relaxations", "resumed"} {
			if !bytes.HasPrefix(got[list], []byte("[")) {
				t.Errorf("%s is %s", list, got[list])
			}
		}
		if accepted := string(got["accepted"]) == "true"; accepted != (string(got["error"]) == "null") {
			t.Errorf("%s", &out)
		} else if why := (map[string]string{}); !accepted {
			if err := json.Unmarshal(got["error"], &why); err != nil || len(why) != 3 || why["code"] == "" || why["text"] == "" {
				t.Errorf("%s, %v", got["error"], err)
			}
		}
	}
}

// openssl s_server in its versions and with its keys.
func TestInteropOpenSSLServer(t *testing.T) {
	testtool.Need(t, "openssl")
	testtool.Exchange{Peer: "openssl", Mode: "TLS server", What: "s_server with RSA, ECDSA and Ed25519 keys, TLS 1.2 and 1.3, resumed; a wrong name refused"}.Log(t)
	dir := t.TempDir()
	for name, newKey := range map[string][]string{"RSA": {"rsa:2048"}, "ECDSA": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}, "Ed25519": {"ed25519"}} {
		key, cert := filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pem")
		args := append([]string{"req", "-x509", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert, "-newkey"}, newKey...)
		testtool.Run(t, "openssl", args...)
		address := sServer(t, "-cert", cert, "-key", key)
		for _, version := range []string{"1.2", "1.3"} {
			status, r, errs := call(t, "-addr", address, "-tls", version, "-repeat", "2", "-trusted-cert", cert, "-allow", "any-name")
			if status != exitAccepted || r.Rule != "exact" || !slices.Equal(r.Resumed, []bool{false, true}) {
				t.Errorf("%s, TLS %s: %d, %+v, %+v, %s", name, version, status, r, r.Error, errs)
			}
			if status, r, _ := call(t, "-addr", address, "-tls", version, "-trusted-cert", cert); status != exitRefused || r.Error.Code == "" {
				t.Errorf("%s, TLS %s, no name allowed: %d, %+v", name, version, status, r)
			}
			t.Logf("openssl s_server with %s: accepted and resumed under TLS %s", name, version)
		}
	}
}

// sServer starts openssl s_server on a free port, which it prints.
func sServer(t *testing.T, args ...string) (address string) {
	t.Helper()
	s := testtool.Start(t, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0"}, args...)...)
	return strings.TrimPrefix(s.Line("ACCEPT "), "ACCEPT ")
}
