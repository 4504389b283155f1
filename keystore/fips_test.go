package keystore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

const fipsStores = "TRUSTKEEP_TEST_FIPS_STORES"

// approved are the stores of writeEachFormat that GODEBUG=fips140=only allows:
// no others have approved algorithms alone.
var approved = []string{"fips.p12", "java26.p12", "modern2026.p12", "passwordless.p12", "store.bcfks", "store.pem"}

// Each format and profile is read under GODEBUG=fips140=only, or refused with the
// algorithm and the setting. None panics, in goroutines of ours neither: where
// keys are opened at once, where they are opened later, and with passwords that
// are wrong, empty or missing.
func TestFormatsUnderFIPSOnly(t *testing.T) {
	folder := os.Getenv(fipsStores)
	if folder == "" && !fips.Enforced() {
		folder = t.TempDir()
		writeEachFormat(t, folder)
	}
	if !fipstest.Only(t, fipsStores+"="+folder) {
		return
	}
	if folder == "" {
		t.Skip("stores are written where all algorithms are allowed")
	}
	read := make(map[string]bool)
	for _, path := range glob(t, folder) {
		if err := readUnderFIPS(t, path); err == nil {
			read[filepath.Base(path)] = true
		}
	}
	for _, name := range approved {
		if !read[name] {
			t.Errorf("%s is not read", name)
		}
		delete(read, name)
	}
	for name := range read {
		t.Errorf("%s is read", name)
	}
}

// The same for all the files that this module's tests have, and for a folder of
// third-party stores where there is one.
func TestFilesUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	files := glob(t, "testdata")
	for _, format := range glob(t, "../internal/store") {
		files = append(files, glob(t, filepath.Join(format, "testdata"))...)
	}
	all, read := 0, 0
	try := func(files []string, passwords []trustkeep.PasswordSource) {
		for _, path := range files {
			all++
			if err := readUnderFIPSBy(t, path, passwords); err == nil {
				read++
			}
		}
	}
	try(files, fipsPasswords)
	if corpus := os.Getenv("TRUSTKEEP_CORPUS"); corpus != "" {
		passwords := fipsPasswords
		if !everyWay {
			passwords = []trustkeep.PasswordSource{nil, trustkeep.Password("changeit")}
		}
		try(glob(t, corpus), passwords)
	}
	if read < 50 {
		t.Errorf("%d of %d files are read", read, all)
	}
}

// writeEachFormat writes stores of one key each, and of certificates where there is
// no key.
func writeEachFormat(t *testing.T, folder string) {
	t.Helper()
	ks := newStore(t)
	password := trustkeep.Password("changeit")
	write := func(name string, o trustkeep.SaveOptions) {
		t.Helper()
		if err := ks.Save(filepath.Join(folder, name), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []trustkeep.Format{trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		write("store."+string(format), trustkeep.SaveOptions{Format: format, Password: password})
	}
	for _, profile := range trustkeep.Profiles() {
		if profile != trustkeep.Passwordless {
			write(string(profile)+".p12", trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: profile, Password: password})
		}
	}
	id, err := ks.Identity("server")
	if err != nil {
		t.Fatal(err)
	}
	ks = keystore.New()
	if err := ks.SetTrusted("server", id.Leaf()); err != nil {
		t.Fatal(err)
	}
	write("passwordless.p12", trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Passwordless})
}

func glob(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, filepath.Join(folder, e.Name()))
	}
	return out
}

// everyWay reports whether stores are read by each password in both ways. One goroutine
// derives the keys, in which the race detector has nothing to find.
var everyWay = testtool.Long() && !testcpu.Raced

var fipsPasswords = []trustkeep.PasswordSource{nil, trustkeep.Password(""), trustkeep.Password("wrong"), trustkeep.Password("password of some length"), trustkeep.Password("changeit")}

// readUnderFIPS returns the error with the likeliest password, after others.
func readUnderFIPS(t *testing.T, path string) error {
	t.Helper()
	return readUnderFIPSBy(t, path, fipsPasswords)
}

func readUnderFIPSBy(t *testing.T, path string, passwords []trustkeep.PasswordSource) (err error) {
	t.Helper()
	if info, statErr := os.Stat(path); statErr != nil || info.IsDir() {
		return fs.ErrNotExist
	}
	for i, password := range passwords {
		for _, unlock := range []bool{false, true} {
			if !unlock && i < len(passwords)-1 && !everyWay {
				continue // what derives keys is the same
			}
			var ks *keystore.Keystore
			ks, err = keystore.Options{Unlock: unlock, AllowUnauthenticated: true}.Load(path, password)
			typedUnderFIPS(t, path, err)
			if err != nil {
				continue
			}
			for _, alias := range ks.Aliases() {
				_, keyErr := ks.Identity(alias)
				if errors.Is(keyErr, trustkeep.ErrNotFound) {
					continue
				}
				typedUnderFIPS(t, path, keyErr)
				if errors.Is(keyErr, trustkeep.ErrUnsupported) && strings.Contains(keyErr.Error(), "fips140") {
					err = keyErr
				}
			}
			ks.Close()
		}
	}
	return err
}

func typedUnderFIPS(t *testing.T, path string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	typed := false
	for _, sentinel := range []error{
		trustkeep.ErrCorrupt, trustkeep.ErrIncorrectPassword, trustkeep.ErrUnsupported, trustkeep.ErrLimit,
		trustkeep.ErrEmpty, trustkeep.ErrKeyMismatch, trustkeep.ErrNotFound,
	} {
		typed = typed || errors.Is(err, sentinel)
	}
	if !typed || strings.Contains(err.Error(), "FIPS 140-only") {
		t.Errorf("%s: %v", path, err)
	}
	if strings.Contains(err.Error(), "GODEBUG=fips140=only") && !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%s: not ErrUnsupported: %v", path, err)
	}
}

// What is written follows the same rule, and a new store is written by algorithms
// that are approved.
func TestWritingUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	folder, password := t.TempDir(), trustkeep.Password("changeit")
	ks := newStore(t)
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		path := filepath.Join(folder, "store."+string(format))
		err := ks.Save(path, trustkeep.SaveOptions{Format: format, Password: password})
		switch format {
		case trustkeep.PKCS12, trustkeep.BCFKS, trustkeep.PEM:
			if err != nil {
				t.Errorf("%s: %v", format, err)
				continue
			}
			if err := readUnderFIPS(t, path); err != nil {
				t.Errorf("%s read back: %v", format, err)
			}
		default:
			if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "GODEBUG=fips140=only") {
				t.Errorf("%s: %v", format, err)
			}
		}
	}
	for _, profile := range []trustkeep.Profile{trustkeep.Java8, trustkeep.Java17, trustkeep.Legacy, trustkeep.OpenSSL11, trustkeep.Windows2016} {
		_, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: profile, Password: password})
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "GODEBUG=fips140=only") {
			t.Errorf("%s: %v", profile, err)
		}
	}
}
