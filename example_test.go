package trustkeep_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A request with a client certificate, to a server that the connection trusts by
// itself. This is the program of the README.
func Example() {
	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
	check(err)
	id, err := ks.Identity("as2-client")
	check(err)
	deployed, err := truststore.Load("cacerts", trustkeep.Password("changeit"))
	check(err)
	partner, err := truststore.Load("partner.cer", nil)
	check(err)

	// What is deployed counts for each connection that has no trust of its own.
	connection := tlsctx.Builder{Global: deployed, Trusted: partner, Identity: id}
	transport, err := connection.Transport(nil)
	check(err)
	client := http.Client{Transport: transport}
	response, err := client.Get(os.Args[1])
	if err != nil {
		fmt.Println(err) // explained
		return
	}
	fmt.Println(response.Status)
}

// blockOfReadme returns the first fenced block of that language in README.md.
func blockOfReadme(t *testing.T, language string) string {
	t.Helper()
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range parsePage("README.md", string(data)).blocks {
		if b.language == language {
			return b.code
		}
	}
	t.Fatalf("no block of %s in README.md", language)
	return ""
}

// The program in the README is Example, and prints what the README says. Its files
// and its server are there only here.
func TestReadmeShowsTheExample(t *testing.T) {
	readme, printed := blockOfReadme(t, "go"), blockOfReadme(t, "text")
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(source), "func Example() {\n")
	body, _, _ = strings.Cut(body, "\n}\n")
	if !strings.Contains(readme, "func main() {\n"+body+"\n}\n") {
		t.Error("func main of the README is not Example")
	}

	pki, other := pkitest.Options{Name: "Partner"}.New(t), pkitest.New(t)
	t.Chdir(t.TempDir())
	t.Setenv("P12_PASSWORD", "secret")
	ks := keystore.New()
	check(ks.SetIdentity("as2-client", pki.NewClient("as2-client")))
	check(ks.Save("partner.p12", trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("P12_PASSWORD")}))
	jks := trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("changeit")}
	check(truststore.New(pki.CA.Leaf()).Save("cacerts", jks))
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = pki.MutualServerConfig()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()

	for about, c := range map[string]struct {
		partner *keystore.Identity
		want    string
	}{
		"trusted":     {pki.Server, "404 Not Found"},
		"not trusted": {other.Server, printed},
	} {
		check(os.WriteFile("partner.cer", c.partner.Leaf().Raw, 0o600))
		got := output(t, "https://localhost"+server.URL[strings.LastIndex(server.URL, ":"):])
		if plain(got) != plain(c.want) {
			t.Errorf("%s: printed\n%s\nwant\n%s", about, got, c.want)
		}
	}
}

// output runs Example with an argument.
func output(t *testing.T, argument string) string {
	t.Helper()
	args, stdout := os.Args, os.Stdout
	defer func() { os.Args, os.Stdout = args, stdout }()
	r, w, err := os.Pipe()
	check(err)
	defer r.Close()
	os.Args, os.Stdout = []string{"program", argument}, w
	Example() // prints less than a pipe holds
	w.Close()
	out, err := io.ReadAll(r)
	check(err)
	return string(out)
}

// plain leaves line breaks out, and the digits of fingerprints, ports and addresses.
func plain(s string) string {
	return regexp.MustCompile(`\b[0-9a-f]{64}\b|localhost:\d+|port \d+|127\.0\.0\.1:\d+|\[::1\]:\d+`).ReplaceAllString(strings.Join(strings.Fields(s), " "), "")
}
