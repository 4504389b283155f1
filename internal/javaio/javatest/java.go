package javatest

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// bouncyCastle is where Debian's libbcprov-java puts the provider.
const bouncyCastle = "/usr/share/java/bcprov.jar"

// Java runs a Java class path with Describe on it.
type Java struct {
	java, keytool, classPath string
}

// NewJava compiles Describe.java into a temporary folder. The test is skipped
// where there is no JDK or, for provider "BC", no BouncyCastle.
func NewJava(tb testing.TB, provider string) *Java {
	tb.Helper()
	j := &Java{java: lookPath(tb, "java"), keytool: lookPath(tb, "keytool"), classPath: tb.TempDir()}
	_, self, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(self), "testdata", "Describe.java")
	run(tb, exec.Command(lookPath(tb, "javac"), "-d", j.classPath, source))
	if provider == "BC" {
		if _, err := os.Stat(bouncyCastle); err != nil {
			tb.Skipf("BouncyCastle: %v", err)
		}
		j.classPath += string(os.PathListSeparator) + bouncyCastle
	}
	version, _, _ := strings.Cut(string(run(tb, exec.Command(j.java, "--version"))), "\n")
	tb.Logf("java: %s", version)
	return j
}

func lookPath(tb testing.TB, tool string) string {
	tb.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		tb.Skipf("%s is not installed: %v", tool, err)
	}
	return path
}

func run(tb testing.TB, cmd *exec.Cmd) []byte {
	tb.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s%s", filepath.Base(cmd.Path), err, out, stderr.String())
	}
	return out
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
	args := []string{"-cp", j.classPath, "Describe", provider, storeType, file, text(password)}
	for alias, p := range keyPasswords {
		args = append(args, text(alias), text(p))
	}
	return decode(tb, run(tb, exec.Command(j.java, args...)))[0]
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
		args = append(args, "-providerpath", bouncyCastle, "-providerclass", "org.bouncycastle.jce.provider.BouncyCastleProvider")
	}
	return string(run(tb, exec.Command(j.keytool, args...)))
}
