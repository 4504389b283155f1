//go:build linux || freebsd || openbsd || netbsd || dragonfly

package truststore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// systemCertificates reads the roots. What cannot be read or parsed is reported
// and does not hide the rest.
func systemCertificates() ([]*entry.Certificate, []trustkeep.Finding, error) {
	r := systemReader{seen: make(map[string]bool)}
	files, folders := systemFiles(), systemFolders()
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files = []string{f}
	}
	if d := os.Getenv("SSL_CERT_DIR"); d != "" {
		folders = strings.Split(d, ":")
	}
	for _, name := range files {
		if r.file(name) {
			break
		}
	}
	for _, folder := range folders {
		r.folder(folder)
	}
	entry.ParseAll(r.certs)
	certs := r.certs[:0]
	for _, c := range r.certs {
		if _, err := c.X509(); err != nil {
			r.report(CodeUnusableCertificate, err)
			continue
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 && r.firstErr != nil {
		return nil, nil, r.firstErr
	}
	return certs, r.findings, nil
}

type systemReader struct {
	certs    []*entry.Certificate
	seen     map[string]bool // by DER: folders repeat what the bundle has
	findings []trustkeep.Finding
	firstErr error
}

// file reads one file and reports whether that was possible.
func (r *systemReader) file(name string) bool {
	data, err := storefile.ReadFile(name, 0)
	if err != nil {
		r.unreadable(name, err)
		return false
	}
	for der := range pemCertificates(data) {
		if !r.seen[string(der)] {
			r.seen[string(der)] = true
			r.certs = append(r.certs, entry.NewCertificate(der))
		}
	}
	return true
}

func (r *systemReader) folder(folder string) {
	files, err := os.ReadDir(folder)
	if err != nil {
		r.unreadable(folder, err)
		return
	}
	for _, f := range files {
		name := filepath.Join(folder, f.Name())
		// Links within the folder are the hashed names that OpenSSL looks
		// files up by.
		if target, err := os.Readlink(name); err == nil && !strings.Contains(target, "/") {
			continue
		}
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			r.file(name)
		}
	}
}

func (r *systemReader) unreadable(name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if r.firstErr == nil {
		r.firstErr = err
	}
	r.report(CodeUnusableFile, fmt.Errorf("%s: %w", name, err))
}

func (r *systemReader) report(code trustkeep.Code, err error) {
	r.findings = append(r.findings, finding("", code, err))
}
