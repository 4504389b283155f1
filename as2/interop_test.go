package as2_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// libas2Version is that of testdata/libas2/package.json.
const libas2Version = "0.8.2"

// libas2 returns a command that runs the peer in testdata. Its packages are fetched by npm once.
func libas2(t *testing.T, args ...string) []string {
	t.Helper()
	testtool.Need(t, "node", "npm")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "trustkeep-tests", "libas2-"+libas2Version)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "libas2")); err != nil {
		manifest, err := os.ReadFile("testdata/libas2/package.json")
		if err == nil {
			err = os.MkdirAll(dir, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "package.json"), manifest, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		npm := testtool.Command(t, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts")
		npm.Dir = dir
		if out, err := npm.CombinedOutput(); err != nil {
			testtool.Missing(t, "libas2 cannot be fetched: %v\n%s", err, out)
		}
	}
	peer, err := filepath.Abs("testdata/libas2/peer.js")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"-C", dir, "node", peer}, args...)
}

func writePeople(t *testing.T, dir string, us, them person) {
	t.Helper()
	for name, data := range map[string][]byte{
		"us.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: us.DER}), "us.key.pem": us.KeyPEM(),
		"them.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: them.DER}), "them.key.pem": them.KeyPEM(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// We send, libas2 receives and signs the receipt.
func TestInteropLibas2Receives(t *testing.T) {
	testtool.Need(t, "node", "npm")
	testtool.Exchange{Peer: "libas2", Version: libas2Version, Mode: "receives", What: "signed and sealed in binary and base64, old micalg, signed receipts; a stranger refused"}.Log(t)
	p := newPair(t)
	dir := t.TempDir()
	writePeople(t, dir, p.us, p.them)
	peer := testtool.Start(t, "env", libas2(t, dir, "serve")...)
	o := p.partner
	o.URL = strings.TrimPrefix(peer.Line("listening at "), "listening at ")
	o.Sealing.KeyTransport = cms.OAEPSHA256 // node refuses PKCS #1 v1.5
	for name, change := range map[string]func(*as2.Partner){
		"binary":     func(*as2.Partner) {}, // to which libas2 adds a line end
		"base64":     func(o *as2.Partner) { o.Base64 = true },
		"old micalg": func(o *as2.Partner) { o.Base64, o.OldMicalg = true, true },
	} {
		o := o
		change(&o)
		body := "ISA*00*~\r\nGS*PO~\r\n"
		r, err := o.Send(t.Context(), message(body))
		line := peer.Line("received", "error")
		var got []any
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "received ")), &got) != nil || len(got) != 2 {
			t.Fatal(name, line, err)
		}
		t.Logf("%s: %v", name, line)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			if r != nil {
				t.Logf("%s", r.Raw)
			}
			continue
		}
		if !r.Disposition.Processed() || len(r.Signers) != 1 || o.Base64 && got[1] != body {
			t.Errorf("%s: %+v", name, r)
		}
	}
	// A stranger is refused, in a signed receipt.
	o.Identity, o.Base64 = p.stranger, true
	_, err := o.Send(t.Context(), message("x\r\n"))
	t.Log(err)
	if e := refusedWith(t, err); e.Code != as2.CodeNotProcessed {
		t.Error(err)
	}
}

// libas2 sends, in base64, and verifies our receipt.
func TestInteropLibas2Sends(t *testing.T) {
	testtool.Need(t, "node", "npm")
	testtool.Exchange{Peer: "libas2", Version: libas2Version, Mode: "sends", What: "base64, signed and sealed, our signed receipt verified; another trust refused"}.Log(t)
	p := newPair(t)
	dir := t.TempDir()
	// The peer is "them" and sends to "us".
	writePeople(t, dir, p.us, p.them)
	const content = "ISA*00*~\r\nGS*PO~\r\n"
	if err := os.WriteFile(filepath.Join(dir, "content"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	p.handler.Partners = func(_ context.Context, from, to string) (as2.Inbound, error) {
		if from != "them" || to != "us" {
			return as2.Inbound{}, trustkeep.ErrNotFound
		}
		return as2.Inbound{Identities: []trustkeep.Identity{p.us}, Trust: p.them.trust(), Signer: p.us}, nil
	}
	out := testtool.Run(t, "env", libas2(t, dir, "send", p.server.URL+"/")...)
	if !strings.Contains(out, "status 200") || !strings.Contains(out, "verified true") || !strings.Contains(out, "MDN-sent-automatically; processed\r\n") {
		t.Fatalf("%s\n%v", out, p.failures)
	}
	if got := p.last(t); got.body != content || !got.Signed || !got.Sealed || got.FileName != "order.edi" {
		t.Errorf("%+v", got)
	}
	// A stranger trusted instead of the peer.
	p.handler.Partners = func(context.Context, string, string) (as2.Inbound, error) {
		return as2.Inbound{Identities: []trustkeep.Identity{p.us}, Trust: p.stranger.trust(), Signer: p.us}, nil
	}
	if out := testtool.Run(t, "env", libas2(t, dir, "send", p.server.URL+"/")...); !strings.Contains(out, "processed/error: authentication-failed") {
		t.Errorf("%s", out)
	}
	if len(p.delivered) != 1 {
		t.Errorf("%d deliveries", len(p.delivered))
	}
}

// openssl as a second opinion: it opens and verifies what we send, we receive what it makes, and
// it verifies our receipts.
func TestInteropOpenSSL(t *testing.T) {
	p := newPair(t)
	f := testtool.NewFolder(t, "openssl")
	testtool.Exchange{Peer: "openssl", Mode: "AS2", What: "a sealed and signed message and a receipt of ours opened and verified by cms and smime, one of its own received"}.Log(t)
	writePeople(t, f.Dir, p.us, p.them)
	f.Write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.us.Chain[len(p.us.Chain)-1].Raw}))
	const body = "line\nline\r\n\x00\xff"

	// What we send.
	o := p.partner
	o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		f.Write("in", data)
		f.Run("openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "in", "-inkey", "them.key.pem", "-recip", "them.pem", "-out", "opened")
		// It reads multipart/signed as text, so the parts are for it to compare.
		_, rest, _ := bytes.Cut(f.Read("opened"), []byte("boundary=\""))
		boundary, rest, _ := bytes.Cut(rest, []byte("\""))
		parts := bytes.Split(rest, slices.Concat([]byte("\r\n--"), boundary))
		_, signature, _ := bytes.Cut(parts[2], []byte("\r\n\r\n"))
		f.Write("content", parts[1][2:])
		der, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(signature)))
		if err != nil {
			return nil, err
		}
		f.Write("signature", der)
		f.Run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content", "content", "-CAfile", "root.pem", "-out", "verified")
		if got := f.Read("verified"); !bytes.HasSuffix(got, []byte("\r\n\r\n"+body)) {
			t.Errorf("openssl got %q", got)
		}
		w := httptest.NewRecorder()
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(data))
		p.handler.ServeHTTP(w, r)
		return w.Result(), nil
	})
	receipt, err := o.Send(t.Context(), message(body))
	if err != nil {
		t.Fatal(err)
	}
	// Our receipt.
	f.Write("receipt", receipt.Raw)
	for _, command := range []string{"cms", "smime"} {
		if out := f.Run("openssl", command, "-verify", "-in", "receipt", "-CAfile", "root.pem"); !strings.Contains(out, "processed") {
			t.Errorf("%s", out)
		}
	}
	// What it makes.
	f.Write("entity", []byte("Content-Type: application/edi-x12\r\n\r\nISA\r\n"))
	f.Run("openssl", "smime", "-sign", "-in", "entity", "-signer", "us.pem", "-inkey", "us.key.pem", "-out", "signed")
	f.Run("openssl", "smime", "-encrypt", "-aes128", "-in", "signed", "-out", "sealed", "-outform", "DER", "them.pem")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(f.Read("sealed")))
	for k, v := range map[string]string{
		"AS2-From": "us", "AS2-To": "them", "Message-ID": "<1@us>", "Content-Type": "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
		"Disposition-Notification-To": "us",
	} {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), "; processed\r\n") {
		t.Errorf("%s\n%v", w.Body, p.failures)
	}
	if got := p.last(t); got.body != "ISA\r\n" || got.ContentType != "application/edi-x12" {
		t.Errorf("%+v", got)
	}
}
