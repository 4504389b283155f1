package javatest

import (
	_ "embed"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

//go:embed testdata/Describe.java
var source []byte

// Java runs Describe.java and keytool.
type Java struct {
	args []string // of java, up to the class
}

// NewJava compiles Describe.java. It needs BouncyCastle for provider "BC".
func NewJava(tb testing.TB, provider string) *Java {
	tb.Helper()
	testtool.Need(tb, "java", "keytool")
	var jars []string
	if provider == "BC" {
		jars = append(jars, testtool.File(tb, testtool.BouncyCastle, "libbcprov-java"))
	}
	file := filepath.Join(tb.TempDir(), "Describe.java")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		tb.Fatal(err)
	}
	return &Java{testtool.JavaArgs(tb, file, jars...)}
}

// Describe returns what Java reads from data as a store of that type, every
// key opened, with the store password where keyPasswords has none for it.
func (j *Java) Describe(tb testing.TB, provider, storeType string, data []byte, password string, keyPasswords map[string]string) Store {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "store")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	args := append(slices.Clone(j.args), provider, storeType, file, text(password))
	for alias, p := range keyPasswords {
		args = append(args, text(alias), text(p))
	}
	return decode(tb, []byte(testtool.Output(tb, "java", args...)))[0]
}

// List returns what keytool -list -v prints of data.
func (j *Java) List(tb testing.TB, provider, storeType string, data []byte, password string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "store")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	args := []string{"-J-Duser.language=en", "-list", "-v", "-keystore", file, "-storetype", storeType, "-storepass", password}
	if provider == "BC" {
		args = append(args, "-providerpath", testtool.BouncyCastle, "-providerclass", "org.bouncycastle.jce.provider.BouncyCastleProvider")
	}
	return testtool.Output(tb, "keytool", args...)
}
