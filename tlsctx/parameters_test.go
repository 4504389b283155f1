package tlsctx_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// TestCipherSuitesAndCurves: what is set is what handshakes use, on both sides and in every way
// in, and what crypto/tls would silently ignore is a wrong call.
func TestCipherSuitesAndCurves(t *testing.T) {
	pki := testpki.New(t, testpki.Options{KeyType: testpki.RSA2048})
	const gcm, other = tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	client := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now}
	server := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now}

	narrow := client
	narrow.CipherSuites, narrow.CurvePreferences = []uint16{other}, []tls.CurveID{tls.CurveP384}
	narrowServer := server
	narrowServer.CipherSuites, narrowServer.CurvePreferences = []uint16{gcm}, []tls.CurveID{tls.CurveP521}
	for _, version := range versions {
		b := narrow
		b.MaxVersion = version
		for _, cfg := range []*tls.Config{mustClient(t, b), asLive["LiveClient"](t, b)} {
			o := accept(t, cfg, mustServer(t, server), false)
			if o.client.CurveID != tls.CurveP384 || version == tls.VersionTLS12 && o.client.CipherSuite != other {
				t.Errorf("client, %s: %s, %s", tls.VersionName(version), tls.CipherSuiteName(o.client.CipherSuite), o.client.CurveID)
			}
		}
		d := mustDialer(t, b)
		if s, err := newEcho(t, mustServer(t, server)).dial(t, d, host+":443"); err != nil || s.CurveID != tls.CurveP384 {
			t.Errorf("Dialer: %v", err)
		}
		b = client
		b.MaxVersion = version
		o := accept(t, mustClient(t, b), mustServer(t, narrowServer), false)
		if o.client.CurveID != tls.CurveP521 || version == tls.VersionTLS12 && o.client.CipherSuite != gcm {
			t.Errorf("server, %s: %s, %s", tls.VersionName(version), tls.CipherSuiteName(o.client.CipherSuite), o.client.CurveID)
		}
	}
	narrow.MaxVersion = tls.VersionTLS12
	narrow.CurvePreferences = nil
	o := refuse(t, mustClient(t, narrow), mustServer(t, narrowServer))
	if e := explained(t, narrow.ExplainError(o.clientErr)); e.Code != tlsctx.CodeNothingInCommon {
		t.Errorf("client: %v", e)
	}
	if e := explained(t, narrowServer.ExplainServerError(o.serverErr)); e.Code != tlsctx.CodeNothingInCommon {
		t.Errorf("server: %v", e)
	}

	legacy := server
	legacy.LegacyCipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
	old := &tls.Config{RootCAs: pki.Roots(), ServerName: host, Time: pki.Now, MaxVersion: tls.VersionTLS12, CipherSuites: legacy.LegacyCipherSuites}
	refuse(t, old, mustServer(t, server))
	if o := connect(t, old, mustServer(t, legacy)); o.ok() == fips.Enabled() { // where crypto/tls has no such suite
		t.Errorf("a legacy suite: %v, %v", o.clientErr, o.serverErr)
	}
	if o := accept(t, mustClient(t, client), mustServer(t, legacy), false); o.client.Version != tls.VersionTLS13 {
		t.Error("the other suites are gone")
	}

	// What is set is shown, and what was built keeps it.
	shown := client
	shown.CipherSuites, shown.LegacyCipherSuites, shown.CurvePreferences = []uint16{gcm}, legacy.LegacyCipherSuites, []tls.CurveID{tls.X25519MLKEM768}
	e := shown.Explain()
	for _, want := range []string{"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_128_CBC_SHA is not safe", "X25519MLKEM768", "TLS 1.2"} {
		if !strings.Contains(e.String(), want) || !strings.Contains(e.LogValue().String(), strings.Fields(want)[0]) {
			t.Errorf("Explain does not say %s:\n%s", want, e)
		}
	}
	cfg := mustClient(t, shown)
	shown.CipherSuites[0], shown.CurvePreferences[0] = 0, 0
	if !slices.Equal(cfg.CipherSuites, []uint16{gcm, tls.TLS_RSA_WITH_AES_128_CBC_SHA}) || cfg.CurvePreferences[0] != tls.X25519MLKEM768 {
		t.Errorf("%v, %v", cfg.CipherSuites, cfg.CurvePreferences)
	}

	for name, more := range map[string]func(*tlsctx.Builder){
		"unknown suite":             func(b *tlsctx.Builder) { b.CipherSuites = []uint16{0x1234} },
		"unsafe suite":              func(b *tlsctx.Builder) { b.CipherSuites = []uint16{gcm, tls.TLS_RSA_WITH_RC4_128_SHA} },
		"suite of TLS 1.3":          func(b *tlsctx.Builder) { b.CipherSuites = []uint16{tls.TLS_AES_128_GCM_SHA256} },
		"legacy suite that is safe": func(b *tlsctx.Builder) { b.LegacyCipherSuites = []uint16{gcm} },
		"unknown legacy suite":      func(b *tlsctx.Builder) { b.LegacyCipherSuites = []uint16{0x1234} },
		"unknown curve":             func(b *tlsctx.Builder) { b.CurvePreferences = []tls.CurveID{7} },
		"nil key log":               func(b *tlsctx.Builder) { b.InsecureKeyLog = (*os.File)(nil) },
	} {
		b := client
		b.Identity = server.Identity
		more(&b)
		_, clientErr := b.Client()
		_, liveErr := b.LiveClient()
		_, dialerErr := b.Dialer()
		_, serverErr := b.Server()
		for _, err := range []error{clientErr, liveErr, dialerErr, serverErr} {
			if !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if len(b.Explain().Errors) == 0 {
			t.Errorf("%s: not explained", name)
		}
	}
}

// TestInsecureKeyLog: the log is written, warned of, and not printed with what it is set on.
func TestInsecureKeyLog(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, version := range versions {
		var clientLog, serverLog bytes.Buffer
		client := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, MaxVersion: version, InsecureKeyLog: &clientLog}
		server := tlsctx.Builder{Identity: identity(pki.Server(host)), Clock: pki.Now, InsecureKeyLog: &serverLog}
		c, s := mustClient(t, client), mustServer(t, server)
		accept(t, c, s, false)
		fields := strings.Fields(clientLog.String())
		if len(fields) < 3 || !strings.Contains(serverLog.String(), fields[2]) {
			t.Fatalf("%s: client %q, server %q", tls.VersionName(version), clientLog.String(), serverLog.String())
		}
		chosen, err := s.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
		must(t, err)
		for _, v := range []any{c, s, chosen, mustDialer(t, client), client.Explain(), client.ExplainError(io.EOF)} {
			testleak.Check(t, v, []byte(fields[2]))
		}
		// A Builder within another value shows what its fields point to, whatever they are.
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(format, client); strings.Contains(text, fields[2]) {
				t.Errorf("%s prints the key", format)
			}
		}
		if text := client.Explain().String(); !strings.Contains(text, "warning: ") || !strings.Contains(text, "InsecureKeyLog") {
			t.Errorf("no warning:\n%s", text)
		}
		if !strings.Contains(client.String(), "InsecureKeyLog") {
			t.Errorf("%s", client)
		}
	}
}
