package environment_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestGoldenRequests reads a directory with requests that wait, written on 21 November 2026, and
// installs the replies that are beside it. Run with GOLDEN_REQUESTS set to a new folder, it writes
// another one; the one that is checked in is never written again.
func TestGoldenRequests(t *testing.T) {
	if folder := os.Getenv("GOLDEN_REQUESTS"); folder != "" {
		writeGoldenRequests(t, folder)
		return
	}
	golden := filepath.Join("testdata", "golden-requests")
	own := t.TempDir()
	must(t, os.CopyFS(own, os.DirFS(golden)))
	must(t, os.Chmod(filepath.Join(own, "key"), 0o600))
	clock := newClock()
	clock.Advance(48 * time.Hour)
	storage := check(dirstore.Open(filepath.Join(own, "storage"), dirstore.Options{Clock: clock.Now}))(t)
	defer storage.Close()
	for _, record := range check(storage.List(t.Context(), "components/"))(t) {
		var stored struct{ X509 json.RawMessage }
		must(t, json.Unmarshal(record.Value, &stored))
		var state component.State
		must(t, json.Unmarshal(stored.X509, &state))
		c := check(component.Restore(state, keystore.ComponentKind()))(t)
		var before bytes.Buffer
		must(t, json.Compact(&before, stored.X509))
		if after := check(json.Marshal(c.State()))(t); !bytes.Equal(after, before.Bytes()) {
			t.Errorf("%s is written differently", record.Key)
		}
	}
	r := check(environment.Open(t.Context(), storage, environment.Options{Sealer: environment.FileSealer(filepath.Join(own, "key")), Clock: clock.Now}))(t)
	for _, test := range []struct {
		id, reply, password string
		version, waits      int
	}{
		{"first", "first-2.cer", "secret-first", 1, 0},
		{"server", "server-3.p7b", "its own", 3, 1},
		{"server", "server-1.cer", "secret-server", 4, 0},
	} {
		c := check(r.Install(t.Context(), test.id, check(os.ReadFile(filepath.Join(golden, test.reply)))(t), nil, environment.ComponentOptions{}))(t)
		password := check(r.Password(t.Context(), test.id))(t)
		if text := check(password.Reveal())(t); string(text) != test.password || c.Version() != test.version || len(c.Pending()) != test.waits {
			t.Errorf("%s: %v under %q, %v", test.reply, c, text, c.Pending())
		}
		check(keystore.IdentityOf(c, password))(t)
	}
}

func writeGoldenRequests(t *testing.T, folder string) {
	must(t, os.MkdirAll(folder, 0o755))
	w := newWorld(t, environment.Options{}) // for its clock
	ca := newCountingCA(t, w)
	must(t, environment.NewKeyFile(filepath.Join(folder, "key")))
	storage := check(dirstore.Open(filepath.Join(folder, "storage"), dirstore.Options{Clock: w.clock.Now}))(t)
	defer storage.Close()
	r := check(environment.Open(t.Context(), storage, environment.Options{Sealer: environment.FileSealer(filepath.Join(folder, "key")), Clock: w.clock.Now}))(t)
	secret := func(id string) environment.ComponentOptions {
		return environment.ComponentOptions{ID: id, Password: trustkeep.Password("secret-" + id)}
	}
	replies := make(map[string][]byte)
	// One that begins as a request, the first of which was cancelled.
	_, _, err := r.CreateRequest(t.Context(), "First / one", requestFor("first"), secret("first"))
	must(t, err)
	replies["first-2.cer"] = ca.answer(t, check(r.Request(t.Context(), "first", requestFor("first"), secret("first")))(t))
	check(r.CancelRequest(t.Context(), "first", 1))(t)
	// One with a certificate that was renewed, a request for the former key, one that was
	// cancelled, and one for a key under a password of its own.
	check(r.Create(t.Context(), "Server", issue.Options{DNSNames: []string{"localhost"}, Clock: w.clock.Now}, secret("server")))(t)
	replies["server-1.cer"] = ca.answer(t, check(r.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{}))(t))
	check(r.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{}))(t)
	check(r.CancelRequest(t.Context(), "server", 2))(t)
	check(r.Renew(t.Context(), "server", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	csr := check(r.Request(t.Context(), "server", issue.RequestOptions{NewKey: true, Certificate: issue.Options{Key: issue.ECP384}}, environment.ComponentOptions{NewPassword: trustkeep.Password("its own")}))(t)
	reply := check(component.Import(t.Context(), "reply", ca.answer(t, csr), component.Options{Kinds: []component.Kind{keystore.ComponentKind()}}))(t)
	_, p7b, err := reply.ExportPublic(keystore.SuffixP7B)
	must(t, err)
	replies["server-3.p7b"] = p7b
	for name, data := range replies {
		must(t, os.WriteFile(filepath.Join(folder, name), data, 0o644))
	}
}
