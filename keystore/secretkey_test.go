package keystore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// secretFormats are those that hold secret keys.
var secretFormats = []trustkeep.Format{trustkeep.PKCS12, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS}

var aesKey = []byte("0123456789abcdef")

func withSecrets(t testing.TB) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	for alias, algorithm := range map[string]string{"aes": "AES", "mac": "HmacSHA256"} {
		key, err := keystore.NewSecretKey(algorithm, aesKey)
		if err != nil {
			t.Fatal(err)
		}
		if err := ks.SetSecretKey(alias, key); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

func checkSecrets(t testing.TB, ks *keystore.Keystore) {
	t.Helper()
	for alias, algorithm := range map[string]string{"aes": "AES", "mac": "HmacSHA256"} {
		key, err := ks.SecretKey(alias)
		if err != nil || key.Algorithm() != algorithm || !bytes.Equal(key.Reveal(), aesKey) {
			t.Errorf("%s: %v, %v", alias, key, err)
		}
	}
}

// From each format that holds secret keys into each other.
func TestSecretKeysCrossFormats(t *testing.T) {
	save := func(f trustkeep.Format) trustkeep.SaveOptions {
		return trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: f, Password: trustkeep.Password("changeit")}
	}
	for i, from := range secretFormats {
		data, err := withSecrets(t).Encode(save(from))
		if err != nil {
			t.Fatalf("%s: %v", from, err)
		}
		for k, to := range secretFormats {
			if !testtool.Long() && k != i && k != (i+1)%len(secretFormats) {
				continue
			}
			ks, err := keystore.Parse(data, trustkeep.Password("changeit"))
			if err != nil {
				t.Fatalf("%s: %v", from, err)
			}
			checkSecrets(t, ks)
			second, err := ks.Encode(save(to))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			again, err := keystore.Parse(second, trustkeep.Password("changeit"))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			checkSecrets(t, again)
			copied := keystore.New()
			if err := copied.CopyFrom(again); err != nil {
				t.Fatal(err)
			}
			checkSecrets(t, copied)
		}
		if _, err := withSecrets(t).Encode(save(trustkeep.JKS)); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("into JKS: %v", err)
		}
	}
}

func TestSecretKeyErrors(t *testing.T) {
	ks := withSecrets(t)
	if err := ks.SetTrusted("cert", testpki.New(t, testpki.Options{}).Root.Cert); err != nil {
		t.Fatal(err)
	}
	for _, alias := range []string{"cert", "nobody"} {
		if _, err := ks.SecretKey(alias); !errors.Is(err, trustkeep.ErrNotFound) {
			t.Errorf("%s: %v", alias, err)
		}
	}
	if _, err := ks.Identity("aes"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a secret key as an identity: %v", err)
	}
	if err := ks.SetSecretKey("x", nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if err := ks.SetSecretKey("x", new(keystore.SecretKey)); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := keystore.NewSecretKey("AES", nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	key, err := keystore.NewSecretKey("unheard of", aesKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.SetSecretKey("odd", key); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Encode(trustkeep.SaveOptions{Password: trustkeep.Password("x")}); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "unheard of") {
		t.Errorf("%v", err)
	}
}

func TestSecretKeyDoesNotPrint(t *testing.T) {
	key, err := keystore.NewSecretKey("AES", aesKey)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", key, "value", *key)
	text, err := json.Marshal(map[string]any{"key": key, "value": *key})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %x %v %q", key, key, key, *key, *key, struct{ K *keystore.SecretKey }{key}, text) + log.String()
	if strings.Contains(all, string(aesKey)) || strings.Contains(all, fmt.Sprintf("%x", aesKey)) || !strings.Contains(all, "AES key of 128 bits") {
		t.Errorf("%s", all)
	}
}

func TestInteropSecretKeys(t *testing.T) {
	for _, c := range []struct {
		format   trustkeep.Format
		java     string
		provider string
	}{{trustkeep.PKCS12, "PKCS12", ""}, {trustkeep.JCEKS, "JCEKS", ""}, {trustkeep.BKS, "BKS", "BC"}, {trustkeep.BCFKS, "BCFKS", "BC"}} {
		t.Run(string(c.format), func(t *testing.T) {
			java := javatest.NewJava(t, c.provider)
			ks, want := withSecrets(t), 2
			if c.format == trustkeep.BCFKS {
				// BouncyCastle 1.72 writes HMAC keys and cannot read them.
				if err := ks.Delete("mac"); err != nil {
					t.Fatal(err)
				}
				want = 1
			}
			data, err := ks.Encode(trustkeep.SaveOptions{Format: c.format, Password: trustkeep.Password("changeit")})
			if err != nil {
				t.Fatal(err)
			}
			store := java.Describe(t, c.provider, c.java, data, "changeit", nil)
			if len(store.Entries) != want {
				t.Fatalf("%+v", store)
			}
			for _, e := range store.Entries {
				if e.Kind != "secret" || e.KeySHA256 != fingerprint(aesKey) {
					t.Errorf("%+v", e)
				}
			}
			t.Logf("Java reads the secret keys of %s", c.format)
		})
	}
}
