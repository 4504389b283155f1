package trustkeep_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// b is the certificate of a partner, and check ends the program; the README
// says as little about them as a reader needs.
var b *x509.Certificate

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func Example() {
	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
	check(err)
	id, err := ks.Identity("as2-client")
	check(err)
	global, err := truststore.Load("cacerts", trustkeep.Password("changeit"))
	check(err)

	// Trust what is deployed for all connections, prove ourselves as "as2-client".
	cfg, err := tlsctx.Builder{Global: global, Identity: id}.Client()
	check(err)

	// A connection with a trusted certificate of its own: Global no longer counts.
	cfg, err = tlsctx.Builder{Global: global, Trusted: truststore.New(b)}.Client()
	check(err)

	fmt.Println(cfg.RootCAs != nil)
}

// The example has files to load only here, so it runs only here.
func TestExampleRuns(t *testing.T) {
	pki := pkitest.New(t)
	t.Chdir(t.TempDir())
	t.Setenv("P12_PASSWORD", "secret")

	ks := keystore.New()
	if err := ks.SetIdentity("as2-client", pki.NewClient("as2-client")); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save("partner.p12", trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("P12_PASSWORD")}); err != nil {
		t.Fatal(err)
	}
	cacerts := trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("changeit")}
	if err := truststore.New(pki.CA.Leaf()).Save("cacerts", cacerts); err != nil {
		t.Fatal(err)
	}
	b = pki.SelfSigned("b.example").Leaf()
	defer func() { b = nil }()
	Example() // panics on any error
}

// The program in the README is the one above, line for line.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, found := strings.Cut(string(readme), "```go\n")
	program, _, closed := strings.Cut(program, "```")
	if !found || !closed {
		t.Fatal("no Go program in README.md")
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(unindented(string(source)), unindented(program)) {
		t.Error("the program in README.md is not in Example")
	}
}

func unindented(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n")
}
