package environment_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

func TestOpeningKeys(t *testing.T) { openingKeys(t) }

func openingKeys(t *testing.T) {
	t.Helper()
	path := t.TempDir() + "/opening-key"
	key := check(environment.NewOpeningKey())(t)
	must(t, key.Save(path))
	if info := check(os.Stat(path))(t); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := key.Save(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("overwritten: %v", err)
	}
	again := check(environment.LoadOpeningKey(path))(t)
	if again.SealingKey() != key.SealingKey() {
		t.Error("another key was loaded")
	}
	public := check(environment.ParseSealingKey(key.SealingKey().String()))(t)
	if public != key.SealingKey() || public.Fingerprint() != key.SealingKey().Fingerprint() || len(public.String()) > 4<<10 {
		t.Error("another public key was parsed")
	}
	var inJSON struct{ Key environment.SealingKey }
	must(t, json.Unmarshal(check(json.Marshal(struct{ Key environment.SealingKey }{public}))(t), &inJSON))
	if inJSON.Key != public {
		t.Error("JSON changed the key")
	}
	text := string(check(os.ReadFile(path))(t))
	for _, damaged := range []string{
		"", "trustkeep-opening-key:", text[:len(text)-3], text + "x", public.String(),
		strings.Replace(text, ":0050:", ":50:", 1), strings.ToUpper(text),
	} {
		if _, err := environment.ParseOpeningKey([]byte(damaged)); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%.30q: %v", damaged, err)
		}
	}
	if _, err := environment.ParseOpeningKey([]byte("trustkeep-opening-key:7777:AAAA")); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("an unknown KEM: %v", err)
	}
	if _, err := environment.ParseSealingKey(strings.Repeat("x", 5000)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("a long text: %v", err)
	}
}

func TestOpeningKeysOfOtherKinds(t *testing.T) {
	for name, curve := range map[string]ecdh.Curve{"P-256": ecdh.P256(), "P-384": ecdh.P384(), "P-521": ecdh.P521(), "X25519": ecdh.X25519()} {
		private := check(hpke.NewDHKEMPrivateKey(check(curve.GenerateKey(rand.Reader))(t)))(t)
		key := check(environment.OpeningKeyOf(private))(t)
		path := t.TempDir() + "/key"
		must(t, key.Save(path))
		if check(environment.LoadOpeningKey(path))(t).SealingKey() != key.SealingKey() {
			t.Errorf("%s: another key was loaded", name)
		}
	}
	if _, err := environment.OpeningKeyOf(nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
	if err := new(environment.OpeningKey).Save(t.TempDir() + "/key"); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("the zero value: %v", err)
	}
}

func TestOpeningKeysUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	openingKeys(t)
	if _, err := environment.ParseOpeningKey([]byte("trustkeep-opening-key:0020:AAAA")); !errors.Is(err, trustkeep.ErrUnsupported) ||
		!strings.Contains(err.Error(), "X25519") {
		t.Errorf("X25519: %v", err)
	}
}

func TestOpeningKeysDoNotPrint(t *testing.T) {
	key := check(environment.NewOpeningKey())(t)
	path := t.TempDir() + "/key"
	must(t, key.Save(path))
	_, secret, _ := strings.Cut(strings.TrimPrefix(string(check(os.ReadFile(path))(t)), "trustkeep-opening-key:"), ":")
	secret = strings.TrimSpace(secret)
	var out bytes.Buffer
	options := environment.Options{OpeningKey: key}
	for _, v := range []any{key, *key, &options, options, []any{key}, struct{ K *environment.OpeningKey }{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("key", "key", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("key", "key", v)
	}
	for _, v := range []any{key, *key} {
		text := check(json.Marshal(v))(t)
		if string(text) != `"[redacted]"` {
			t.Errorf("JSON %s", text)
		}
		must(t, gob.NewEncoder(&out).Encode(v))
	}
	raw := check(base64URL(secret))(t)
	for _, s := range []string{secret, fmt.Sprintf("%x", raw), fmt.Sprintf("%X", raw), strings.Trim(fmt.Sprint(raw), "[]"), string(raw)} {
		if strings.Contains(out.String(), s) {
			t.Errorf("printed: %s", out.String())
		}
	}
}
