package truststore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
)

// javaPassword is the password that every JDK gives its cacerts file. It keeps
// no secret: it only lets the digest be checked.
const javaPassword = "changeit"

// JavaCacerts loads the trust store that Java programs on this machine use by default:
// under $JAVA_HOME when that is set, else where Linux distributions keep it. As in JSSE, a
// file jssecacerts is preferred to cacerts. It is a JKS file under the well-known password,
// or the password-less PKCS#12 file of newer releases. It fails with trustkeep.ErrNotFound.
// For a file elsewhere, or under another password, use Load.
func JavaCacerts() (*Truststore, error) {
	path, err := javaCacertsPath()
	if err != nil {
		return nil, err
	}
	// A JDK reads a file without MAC under any password.
	return Options{AllowUnauthenticated: true}.Load(path, trustkeep.Password(javaPassword))
}

func javaCacertsPath() (string, error) {
	for _, path := range javaCandidates(os.Getenv("JAVA_HOME")) {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", &trustkeep.Error{Op: "truststore: java cacerts", Path: path, Err: err}
		}
	}
	return "", &trustkeep.Error{Op: "truststore: java cacerts", Err: trustkeep.ErrNotFound, Hint: "set JAVA_HOME, or load the file by its path"}
}

func javaCandidates(home string) []string {
	var out []string
	add := func(home string) {
		for _, security := range []string{"lib/security", "jre/lib/security"} {
			for _, name := range []string{"jssecacerts", "cacerts"} {
				out = append(out, filepath.Join(home, filepath.FromSlash(security), name))
			}
		}
	}
	if home != "" {
		add(home) // and no other: a wrong JAVA_HOME is better noticed
		return out
	}
	out = append(out,
		"/etc/ssl/certs/java/cacerts", // Debian, Ubuntu
		"/etc/pki/java/cacerts",       // Fedora, RHEL
		"/etc/ssl/certs/java-cacerts", // Alpine
	)
	add("/usr/lib/jvm/default-java")
	add("/usr/lib/jvm/default")
	add("/usr/lib/jvm/jre")
	homes, _ := filepath.Glob("/usr/lib/jvm/*")
	for _, home := range homes {
		add(home)
	}
	return out
}
