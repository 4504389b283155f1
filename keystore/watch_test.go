package keystore_test

import (
	"bytes"
	"crypto"
	cryptorand "crypto/rand"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// look lets a watch look n times, and waits for it.
func look(ticks chan<- struct{}, n int) {
	for range n + 1 {
		ticks <- struct{}{}
	}
}

func TestWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.p12")
	save := func(aliases ...string) {
		t.Helper()
		ks := keystore.New()
		for _, a := range aliases {
			generate(t, ks, a, issue.Options{DNSNames: []string{a + ".example"}})
		}
		if err := ks.Save(path, trustkeep.SaveOptions{Password: trustkeep.Password("changeit")}); err != nil {
			t.Fatal(err)
		}
	}
	save("a", "b")
	ticks := make(chan struct{})
	var changes []trustkeep.Change
	var failures []error
	w, err := keystore.Options{}.Ticking(ticks).Watch(path, trustkeep.Password("changeit"), trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) { changes = append(changes, c) }, OnError: func(err error) { failures = append(failures, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.Identity("A")
	if err != nil {
		t.Fatal(err)
	}
	before, err := id.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	save("a", "c")
	look(ticks, 1)
	after, err := id.TLSCertificate()
	if err != nil || bytes.Equal(before.Certificate[0], after.Certificate[0]) {
		t.Errorf("the identity did not follow: %v", err)
	}
	if len(changes) != 1 || changes[0].String() != `generation 2: added "c" (CN=c.example); replaced "a" (CN=a.example); removed "b" (CN=b.example)` {
		t.Errorf("%v", changes)
	}
	// Another password, and the same entries: nothing to tell.
	if err := w.Keystore().Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if look(ticks, 1); len(changes) != 1 {
		t.Errorf("an empty change: %v", changes[1:])
	}
	// A store that has lost what is in use is not taken.
	save("c")
	look(ticks, 3)
	if kept, _ := id.TLSCertificate(); kept != after && !bytes.Equal(kept.Certificate[0], after.Certificate[0]) || len(failures) != 1 || !errors.Is(w.Err(), trustkeep.ErrNotFound) {
		t.Errorf("%v", failures)
	}
	save("a")
	if err := w.Reload(t.Context()); err != nil || w.Keystore().Len() != 1 || len(failures) != 2 {
		t.Errorf("%v, %v", err, failures)
	}
	if _, err := w.Identity("nobody"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWatchPairTakesNoHalf(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path+".next", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
	}
	one, two := pki.Server("one.example"), pki.Server("two.example")
	put(cert, one.ChainPEM())
	put(key, one.KeyPEM())
	ticks := make(chan struct{})
	failures := 0
	w, err := keystore.Options{}.Ticking(ticks).WatchPair(cert, key, nil, trustkeep.WatchOptions{OnError: func(error) { failures++ }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	id, err := w.Identity("")
	if err != nil {
		t.Fatal(err)
	}
	put(cert, two.ChainPEM())
	look(ticks, 3)
	if !id.Identity().Leaf().Equal(one.Cert) || failures != 1 {
		t.Errorf("half a pair was taken, or reported %d times", failures)
	}
	put(key, two.KeyPEM())
	look(ticks, 1)
	if !id.Identity().Leaf().Equal(two.Cert) || failures != 2 || len(id.Identity().Chain()) != 3 {
		t.Errorf("%v, %d failures", id, failures)
	}
	if _, err := keystore.WatchPair(cert, filepath.Join(dir, "missing"), nil, trustkeep.WatchOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	put(key, one.KeyPEM())
	if _, err := keystore.WatchPair(cert, key, nil, trustkeep.WatchOptions{}); err == nil {
		t.Error("a pair that does not belong together")
	}
}

var watchFaults = flag.Int("watch.faults", testtool.Rounds(800, 4_000), "how many random changes a watched pair is put through")

// TestWatchPairUnderFaults writes, renames, cuts, deletes and garbles the files of a
// pair at random: what is in force is always a pair, and one of those that were ever
// written whole.
func TestWatchPairUnderFaults(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	var ids []*testpki.Identity
	for range 8 {
		ids = append(ids, pki.Server("x.example"))
	}
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	content := func(file int, id *testpki.Identity) []byte {
		if file == 0 {
			return id.ChainPEM()
		}
		return id.KeyPEM()
	}
	for i, f := range files {
		if err := os.WriteFile(f, content(i, ids[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ticks := make(chan struct{})
	w, err := keystore.Options{}.Ticking(ticks).WatchPair(files[0], files[1], nil, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	id, err := w.Identity("")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{}
	for range *watchFaults {
		file := random.IntN(2)
		data := content(file, ids[random.IntN(len(ids))])
		switch random.IntN(6) {
		case 0: // whole, by rename
			os.WriteFile(files[file]+".next", data, 0o600)
			os.Rename(files[file]+".next", files[file])
		case 1: // whole, in place
			os.WriteFile(files[file], data, 0o600)
		case 2: // in part
			os.WriteFile(files[file], data[:random.IntN(len(data))], 0o600)
		case 3:
			os.Remove(files[file])
		case 4:
			os.WriteFile(files[file], []byte("-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"), 0o600)
		case 5: // both, as they should be
			both := ids[random.IntN(len(ids))]
			for i, f := range files {
				os.WriteFile(f+".next", content(i, both), 0o600)
				os.Rename(f+".next", f)
			}
		}
		for range random.IntN(3) {
			ticks <- struct{}{}
		}
		now := id.Identity()
		key, ok := now.Leaf().PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !key.Equal(now.Signer().Public()) || !slices.ContainsFunc(ids, func(i *testpki.Identity) bool { return i.Cert.Equal(now.Leaf()) }) {
			t.Fatalf("not a pair: %v", now)
		}
		taken[now.Leaf().SerialNumber.String()] = true
	}
	// And in the end, a whole pair is taken.
	for i, f := range files {
		if err := os.WriteFile(f, content(i, ids[3]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look(ticks, 2)
	if !id.Identity().Leaf().Equal(ids[3].Cert) {
		t.Errorf("%v, %v", id, w.Err())
	}
	if len(taken) < 3 {
		t.Errorf("only %d pairs were ever taken", len(taken))
	}
}

func TestLoadPair(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	one, two := pki.Server("one.example"), pki.Server("two.example")
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certs, key, other := file("one.crt", one.ChainPEM()), file("one.key", one.KeyPEM()), file("two.key", two.KeyPEM())
	sealedKey, err := pkcs8.Seal(one.PKCS8(), []byte("first password"), pbe.Modern(pkcs8.Iterations), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed := file("sealed.key", pemBlock("ENCRYPTED PRIVATE KEY", sealedKey))
	both := file("both.pem", append(one.KeyPEM(), one.ChainPEM()...))
	for path, password := range map[string]trustkeep.PasswordSource{key: nil, sealed: first, both: nil} {
		certs := certs
		if path == both {
			certs = both
		}
		id, err := keystore.LoadPair(certs, path, password)
		if err != nil {
			t.Fatal(err)
		}
		sends(t, id, one.DERChain())
		if id.Alias() != "" {
			t.Errorf("alias %q", id.Alias())
		}
	}
	w, err := keystore.WatchPair(both, both, nil, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Identity(""); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for about, test := range map[string]struct {
		certs, key string
		password   trustkeep.PasswordSource
		want       error
	}{
		"another's key":  {certs, other, nil, trustkeep.ErrKeyMismatch},
		"wrong password": {certs, sealed, second, trustkeep.ErrIncorrectPassword},
		"no password":    {certs, sealed, nil, trustkeep.ErrIncorrectPassword},
		"no key":         {certs, file("empty.key", one.ChainPEM()), nil, trustkeep.ErrNotFound},
		"no certificate": {file("empty.crt", one.KeyPEM()), file("same.key", one.KeyPEM()), nil, nil},
		"no file":        {certs, filepath.Join(dir, "missing"), nil, os.ErrNotExist},
	} {
		id, err := keystore.LoadPair(test.certs, test.key, test.password)
		if err == nil || id != nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v", about, id, err)
		}
	}
}
