package keystore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// The matrix of real writers by this reader, and of this writer by real readers.
//
//	TRUSTKEEP_INTEROP=1 go test -run Matrix -v ./keystore
//
// prints it. What a file holds is what the tool that wrote it says it holds.

// view is what a tool says of a store, one line for each entry: kind, alias in
// lower case, length of the chain, SHA-256 of the first certificate. What a tool
// does not tell is left out, and kept out of the comparison by viewOf.
type view []string

func line(kind, alias string, chain int, leaf string) string {
	return fmt.Sprintf("%s %s %d %s", kind, strings.ToLower(alias), chain, leaf)
}

// viewOf is the view of this library, after each key has been unlocked and found
// to belong to its certificate.
func viewOf(t *testing.T, ks *keystore.Keystore) (v view) {
	t.Helper()
	for _, e := range ks.Entries() {
		leaf := ""
		if len(e.RawChain) > 0 {
			leaf = fingerprint(e.RawChain[0])
		}
		if e.Kind == keystore.KeyEntry || e.Kind == keystore.SecretEntry {
			if info, err := ks.CheckKey(e.Alias); err != nil || e.Kind == keystore.KeyEntry && len(e.RawChain) > 0 && !info.Matched && info.Usable {
				t.Errorf("%q: %+v, %v", e.Alias, info, err)
			}
		}
		v = append(v, line(e.Kind.String(), e.Alias, len(e.RawChain), leaf))
	}
	slices.Sort(v)
	return v
}

// matrix collects the rows that are printed.
type matrix struct {
	t    *testing.T
	dir  string
	rows [][]string
}

func newMatrix(t *testing.T) *matrix {
	m := &matrix{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		var b bytes.Buffer
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, r := range m.rows {
			fmt.Fprintln(w, strings.Join(r, "\t"))
		}
		w.Flush()
		t.Logf("%d combinations\n%s", len(m.rows), b.String())
	})
	return m
}

func (m *matrix) row(cells ...string) { m.rows = append(m.rows, cells) }

func (m *matrix) at(name string) string { return filepath.Join(m.dir, name) }

// run runs a tool and returns what it prints.
func (m *matrix) run(name string, args ...string) string {
	m.t.Helper()
	return testtool.Output(m.t, name, args...)
}

// read compares a file with what its writer says of it.
func (m *matrix) read(writer, shape, path string, password trustkeep.PasswordSource, want view) {
	m.t.Helper()
	ks, err := keystore.Load(path, password)
	if err != nil {
		m.t.Errorf("%s, %s: %v", writer, shape, err)
		return
	}
	slices.Sort(want)
	if got := viewOf(m.t, ks); !slices.Equal(got, want) || len(want) == 0 {
		m.t.Errorf("%s, %s:\n got %s\nwant %s", writer, shape, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		return
	}
	m.row(writer, string(ks.Format()), shape, fmt.Sprintf("%d entries", ks.Len()), "read")
}

// pki makes keys and certificates with openssl: leaf-ALGORITHM.key and .pem, each
// signed by ca.pem.
func (m *matrix) pki(algorithms map[string][]string) {
	m.t.Helper()
	m.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Matrix CA", "-days", "3650", "-keyout", m.at("ca.key"), "-out", m.at("ca.pem"))
	for name, args := range algorithms {
		m.run("openssl", append([]string{"req", "-new", "-nodes", "-subj", "/CN=" + name, "-keyout", m.at(name + ".key"), "-out", m.at(name + ".csr"), "-newkey"}, args...)...)
		m.run("openssl", "x509", "-req", "-in", m.at(name+".csr"), "-CA", m.at("ca.pem"), "-CAkey", m.at("ca.key"), "-CAcreateserial", "-days", "3650", "-out", m.at(name+".pem"))
	}
}

var rsaAndEC = map[string][]string{"rsa": {"rsa:2048"}, "ec": {"ec", "-pkeyopt", "ec_paramgen_curve:P-256"}}

// certificateOf is the fingerprint of the first certificate in PEM text.
func certificateOf(text string) string {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			sum := sha256.Sum256(block.Bytes)
			return hex.EncodeToString(sum[:])
		}
	}
	return ""
}

func plainHex(s string) string { return strings.ToLower(strings.ReplaceAll(s, ":", "")) }

var (
	keytoolAlias = regexp.MustCompile(`(?m)^Alias name: (.*)$`)
	keytoolKind  = regexp.MustCompile(`(?m)^Entry type: (\w+)`)
	keytoolChain = regexp.MustCompile(`(?m)^Certificate chain length: (\d+)`)
	keytoolSHA   = regexp.MustCompile(`(?m)^\s*SHA256: ([0-9A-F:]+)`)
)

// keytoolView reads keytool -list -v.
func keytoolView(t *testing.T, listed string) (v view) {
	t.Helper()
	for _, at := range keytoolAlias.FindAllStringSubmatchIndex(listed, -1) {
		entry := listed[at[0]:]
		if end := strings.Index(entry, "\n*****"); end >= 0 {
			entry = entry[:end]
		}
		kind := keytoolKind.FindStringSubmatch(entry)
		if kind == nil {
			t.Fatalf("keytool: %s", entry)
		}
		leaf, chain := "", 0
		if sha := keytoolSHA.FindStringSubmatch(entry); sha != nil {
			leaf, chain = plainHex(sha[1]), 1
		}
		if n := keytoolChain.FindStringSubmatch(entry); n != nil {
			fmt.Sscan(n[1], &chain)
		}
		names := map[string]string{"PrivateKeyEntry": "key", "trustedCertEntry": "trusted", "SecretKeyEntry": "secret"}
		v = append(v, line(names[kind[1]], listed[at[2]:at[3]], chain, leaf))
	}
	return v
}
