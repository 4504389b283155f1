package testtool

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BouncyCastle is where Debian's libbcprov-java puts the provider.
const BouncyCastle = "/usr/share/java/bcprov.jar"

// fast are the options that let a JVM start in half the time: nothing here runs
// long enough for the second compiler or for more than one thread of the
// collector. JAVA_TOOL_OPTIONS would do as well, but says so on standard error.
func fast(name string) []string {
	options := []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"}
	switch name {
	case "java":
		return options
	case "keytool", "javac":
		for i, o := range options {
			options[i] = "-J" + o
		}
		return options
	}
	return nil
}

// Classes compiles a Java source file and returns the class path to run it with,
// jars included. The classes are kept in the user's cache folder by the content of
// the source and the version of the compiler.
func Classes(tb testing.TB, source string, jars ...string) string {
	tb.Helper()
	version := Version(tb, "javac")
	code, err := os.ReadFile(source)
	if err != nil {
		tb.Fatal(err)
	}
	path := func(dir string) string {
		return strings.Join(append([]string{dir}, jars...), string(os.PathListSeparator))
	}
	sum := sha256.Sum256(append([]byte(version+"\x00"+strings.Join(jars, "\x00")+"\x00"), code...))
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = tb.TempDir()
	}
	cache = filepath.Join(cache, "trustkeep-test-classes")
	kept := filepath.Join(cache, hex.EncodeToString(sum[:16]))
	if _, err := os.Stat(kept); err == nil {
		return path(kept)
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		tb.Fatal(err)
	}
	fresh, err := os.MkdirTemp(cache, "fresh-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(fresh) })
	args := []string{"-d", fresh}
	if len(jars) > 0 {
		args = append(args, "-cp", strings.Join(jars, string(os.PathListSeparator)))
	}
	Run(tb, "javac", append(args, source)...)
	// Another package's test may have been faster: then its folder is there.
	if err := os.Rename(fresh, kept); err != nil {
		if _, err := os.Stat(kept); err != nil {
			return path(fresh)
		}
	}
	return path(kept)
}

// Java runs the main class that source declares, which has the name of its file,
// and returns its standard output.
func Java(tb testing.TB, source string, jars []string, args ...string) string {
	tb.Helper()
	return Output(tb, "java", append(JavaArgs(tb, source, jars...), args...)...)
}

// JavaArgs are the arguments by which java runs the main class of a source file.
func JavaArgs(tb testing.TB, source string, jars ...string) []string {
	tb.Helper()
	return []string{"-cp", Classes(tb, source, jars...), strings.TrimSuffix(filepath.Base(source), ".java")}
}
