package truststore

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// certificateExtensions are those of files of certificates. Others in a directory
// are left alone, but for the names that openssl rehash gives, "0123abcd.0".
var certificateExtensions = []string{".pem", ".crt", ".cer", ".der", ".p7b", ".p7c"}

func isCertificateFile(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false // such as the ..data of a mounted ConfigMap
	}
	ext := strings.ToLower(filepath.Ext(name))
	if slices.Contains(certificateExtensions, ext) {
		return true
	}
	hash := strings.TrimSuffix(name, filepath.Ext(name))
	return len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == "" && len(ext) > 1 && strings.Trim(ext[1:], "0123456789") == ""
}

// loadDirectory is Load of a directory. The store has no file of its own.
func (o Options) loadDirectory(path string) (*Truststore, error) {
	const op = "truststore: load directory"
	files, err := readDirectory(path, o.Limits)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	t, err := o.openDirectory(files)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: path, Err: err}
	}
	return t, nil
}

// namedFile is a file of a directory, or why it could not be read.
type namedFile struct {
	name string
	data []byte
	err  error
}

// readDirectory reads the files of certificates. Links are followed; a broken one
// is an error of its file.
func readDirectory(path string, l trustkeep.Limits) ([]namedFile, error) {
	l = l.WithDefaults()
	entries, err := os.ReadDir(path) // sorted
	if err != nil {
		return nil, err
	}
	if len(entries) > l.MaxEntries {
		return nil, fmt.Errorf("%d files: %w", len(entries), trustkeep.ErrLimit)
	}
	left := l.MaxSize
	var files []namedFile
	for _, e := range entries {
		if !isCertificateFile(e.Name()) {
			continue
		}
		full := filepath.Join(path, e.Name())
		if info, err := os.Stat(full); err == nil && info.IsDir() {
			continue
		}
		data, err := storefile.ReadRegular(full, max(left, 1))
		if errors.Is(err, trustkeep.ErrLimit) {
			return nil, err
		}
		left -= int64(len(data))
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		files = append(files, namedFile{e.Name(), data, err})
	}
	return files, nil
}

func (o Options) openDirectory(files []namedFile) (*Truststore, error) {
	var certs []*x509.Certificate
	var bounds []*Snapshot
	var findings []trustkeep.Finding
	limits := o.Limits.WithDefaults()
	for _, f := range files {
		err := f.err
		var one *Truststore
		if err == nil {
			one, err = o.open(storefile.Input{Op: "truststore: parse", Path: f.name, Data: f.data})
		}
		if err != nil {
			if o.Strict || errors.Is(err, trustkeep.ErrLimit) {
				return nil, fmt.Errorf("%s: %w", trustkeep.Printable(f.name), err)
			}
			findings = append(findings, finding(f.name, CodeUnusableFile, err))
			continue
		}
		certs = append(certs, one.Certificates()...)
		bounds = append(bounds, one.current().snapshot)
		if len(certs) > limits.MaxEntries {
			return nil, fmt.Errorf("more than %d certificates: %w", limits.MaxEntries, trustkeep.ErrLimit)
		}
		for _, remark := range one.Findings() {
			remark.Alias = strings.TrimSuffix(f.name+": "+remark.Alias, ": ")
			findings = append(findings, remark)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("no certificate in %d files: %w", len(files), errors.Join(append(findingErrors(findings), trustkeep.ErrEmpty)...))
	}
	t := New(certs...)
	s := t.current()
	s.adopt(mergeScopes(bounds))
	s.findings, s.origin.format = findings, trustkeep.PEM
	t.clock, t.limits = o.Clock, o.Limits
	return t, nil
}

func findingErrors(findings []trustkeep.Finding) (errs []error) {
	for _, f := range findings[:min(len(findings), 3)] {
		errs = append(errs, f.Err)
	}
	return errs
}
