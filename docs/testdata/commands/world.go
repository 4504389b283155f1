// Command commands runs the rows of a page, which a test puts beside this file.
package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/bridge"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/sshctx"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// What rows use.
var (
	ctx                              = context.Background()
	pw                               = trustkeep.Password("changeit")
	address, sshAddress, fingerprint string
	ca                               *keystore.Identity
)

type row struct {
	name string
	run  func()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

type tb struct{ dir string }

func (tb) Helper()                      {}
func (tb) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (t tb) TempDir() string            { return t.dir }

// main makes the files in the folder world, and runs each row in a copy of it.
func main() {
	check(os.Mkdir("world", 0o755))
	home := must(os.Getwd())
	check(os.Chdir("world"))
	makeWorld()
	check(os.Chdir(home))
	failed := false
	for _, r := range rows {
		dir := strings.ReplaceAll(r.name, ":", "-")
		check(os.CopyFS(dir, os.DirFS("world")))
		check(os.Chdir(dir))
		func() {
			defer func() {
				if problem := recover(); problem != nil {
					failed = true
					fmt.Fprintf(os.Stderr, "%s: %v\n", r.name, problem)
				}
			}()
			r.run()
		}()
		check(os.Chdir(home))
	}
	if failed {
		os.Exit(1)
	}
}

func askCA(_ context.Context, request []byte) ([]byte, error) {
	return issue.Sign(ca, request, issue.Options{DNSNames: []string{"localhost"}})
}

func makeWorld() {
	pki := pkitest.Options{Now: time.Now()}.New(tb{must(os.MkdirTemp("", "world"))})
	server, me, other := pki.NewServer("localhost", "127.0.0.1"), pki.NewEmail("me@example.org"), pki.NewClient("other")
	ca = pki.CA
	store := func(path, alias string, id *keystore.Identity, o trustkeep.SaveOptions) {
		ks := keystore.New()
		check(ks.SetIdentity(alias, id))
		check(ks.Save(path, o))
	}
	for path, x := range map[string]struct {
		alias string
		id    *keystore.Identity
	}{"server.p12": {"server", server}, "ca.p12": {"ca", ca}, "other.p12": {"other", other}} {
		store(path, x.alias, x.id, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: pw})
	}
	store("server.jks", "server", server, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: pw})
	for name, id := range map[string]*keystore.Identity{"server": server, "me": me, "ca": ca} {
		private, _, _, err := bridge.ToPKCS12(id)
		check(err)
		key := must(x509.MarshalPKCS8PrivateKey(private))
		check(os.WriteFile(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
		certificates(name+".crt", id.Leaf())
	}
	certificates("chain.pem", server.Chain()...)
	certificates("partner.crt", pki.SelfSigned("partner").Leaf())
	trust := truststore.New()
	check(trust.Add("root", ca.Leaf()))
	check(trust.Save("cacerts", trustkeep.SaveOptions{Format: trustkeep.JKS, Password: pw}))

	check(trust.Save("trust.p12", trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: pw}))

	request := must(issue.Request(server, issue.Options{}))
	check(os.WriteFile("request.csr", request, 0o644))
	reply := must(askCA(ctx, request))
	replied := must(truststore.Parse(reply, nil)).Certificates()
	check(os.WriteFile("server-reply.p7b", must(cms.MarshalCertificates(append(replied, ca.Leaf())...)), 0o644))
	list := must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}, ca.Leaf(), ca.Signer()))
	check(os.WriteFile("ca.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list}), 0o644))

	message := []byte("hello\n")
	check(os.WriteFile("message.txt", message, 0o644))
	check(os.WriteFile("sealed.p7m", must(cms.Seal(message, me.Leaf())), 0o644))
	check(os.WriteFile("signed.p7m", must(cms.Sign(message, me)), 0o644))

	mine, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{"Me <me@example.org>"}, Passphrase: pw})
	check(err)
	partner, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{"Partner <partner@example.org>"}})
	check(err)
	check(os.WriteFile("me.asc", must(mine.ArmorPrivate()), 0o600))
	check(os.WriteFile("partner.asc", must(partner.Armor()), 0o644))
	check(pgp.Encryption{To: []*pgp.Key{mine}, Signers: []*pgp.Key{partner}, Armor: true}.EncryptFile("sealed.asc", strings.NewReader("hello\n")))
	signature := must(os.Create("message.sig"))
	check(pgp.Signing{Signers: []*pgp.Key{partner}, Armor: true}.Detached(signature, strings.NewReader("hello\n")))
	check(signature.Close())

	https := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	https.TLS = must(tlsctx.Builder{Identity: server}.Server())
	https.StartTLS()
	address = "localhost:" + port(https.Listener)

	serveSSH(server)
}

func port(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	check(err)
	return port
}

func certificates(path string, list ...*x509.Certificate) {
	var text []byte
	for _, c := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	check(os.WriteFile(path, text, 0o644))
}

func serveSSH(host *keystore.Identity) {
	id := sshctx.FromIdentity(host)
	lines := must(sshctx.AuthorizedLines(id))
	authorized := must(sshctx.ParseAuthorizedKeys([]byte(strings.Join(lines, "\n"))))
	config := must(sshctx.Builder{Identities: []sshctx.Identity{id}, Authorized: authorized}.Server())
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	sshAddress = "127.0.0.1:" + port(l)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if served, channels, requests, err := ssh.NewServerConn(conn, config); err == nil {
					go ssh.DiscardRequests(requests)
					for c := range channels {
						c.Reject(ssh.Prohibited, "")
					}
					served.Close()
				}
			}()
		}
	}()
	key := must(ssh.NewPublicKey(host.Leaf().PublicKey))
	fingerprint = sshctx.Fingerprint(key)
	check(os.WriteFile("id.pub", ssh.MarshalAuthorizedKey(key), 0o644))
	known := must(sshctx.ParseKnownHosts(nil))
	check(known.Add(sshAddress, key))
	check(known.Save("server_hosts", trustkeep.SaveOptions{}))
	check(os.WriteFile("known_hosts", append([]byte("old.example "), ssh.MarshalAuthorizedKey(key)...), 0o644))
}
