package keystore

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// LoadPair loads an identity from two PEM files: a certificate with its chain, and a private
// key. The password opens an encrypted key. The alias of the identity is empty.
//
// Errors are those of Load and Keystore.Identity, such as ErrKeyMismatch for files that do not
// belong together.
func LoadPair(certFile, keyFile string, password trustkeep.PasswordSource) (*Identity, error) {
	return Options{}.LoadPair(certFile, keyFile, password)
}

// LoadPair is the function LoadPair with these options.
func (o Options) LoadPair(certFile, keyFile string, password trustkeep.PasswordSource) (*Identity, error) {
	const op = "keystore: load pair"
	var files [][]byte
	for _, path := range pairPaths(certFile, keyFile) {
		data, err := storefile.ReadFile(path, o.Limits.MaxSize)
		if err != nil {
			return nil, &trustkeep.Error{Op: op, Path: path, Err: err}
		}
		files = append(files, data)
	}
	secret, err := storefile.Reveal(password)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: keyFile, Err: err}
	}
	ks, err := o.open(storefile.Input{Op: op, Path: certFile, Data: bytes.Join(files, []byte("\n")), Password: secret})
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	id, err := ks.pair()
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: certFile, Err: err, Hint: "the key is from " + trustkeep.Printable(keyFile)}
	}
	unnamed := *id
	unnamed.alias = ""
	return &unnamed, nil
}

// pairPaths names a file that holds both once, so that its key does not count as two.
func pairPaths(certFile, keyFile string) []string {
	if certFile == keyFile {
		return []string{certFile}
	}
	return []string{certFile, keyFile}
}

// pair returns the only identity of a certificate and a key that were read together.
func (k *Keystore) pair() (*Identity, error) {
	id, err := k.Identity("")
	if errors.Is(err, trustkeep.ErrEmpty) {
		return nil, fmt.Errorf("none of the certificates belongs to the key: %w", trustkeep.ErrKeyMismatch)
	}
	return id, err
}
