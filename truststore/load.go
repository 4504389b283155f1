package truststore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Options configures how a store is read. The functions Load, Read and Parse use the zero
// value.
type Options struct {
	// Limits bounds the work that an input may cause. Zero fields are the defaults.
	Limits trustkeep.Limits
	// Strict makes an error of whatever is otherwise kept and reported by
	// Findings: a certificate that cannot be parsed, an entry that is not
	// understood, a private key.
	Strict bool
	// AllowUnauthenticated opens a store without MAC or digest although a
	// password was given. Nothing then vouches for what it holds.
	AllowUnauthenticated bool
	// Clock dates the entries that are added. If nil, time.Now.
	Clock func() time.Time

	ticks <-chan struct{} // of Watch, in tests: one look each
}

// Load reads the trust store at path: a file of any format, detected from its content, or a
// directory of certificates. If password is nil, no password is used: right for a store
// without protection, such as PEM, a PKCS#12 file without a password or a single
// certificate. A JKS file is read without its password too, as Java does, but unchecked
// (see Authenticated).
//
// Only certificates that the store offers for trusting count: trusted entries of
// Java's formats, and all certificates of a file without private keys. OpenSSL's TRUSTED
// CERTIFICATE counts for the purposes that it allows and does not reject, as a Scope. The
// certificates of a private key's chain never do. A store that holds nothing at
// all is loaded and trusts nobody until something is added; one that holds
// something, but no certificate to trust, is an error, since it is most likely
// the wrong file.
//
// A directory is read as OpenSSL's -CApath and containers have them: all files whose names
// end in .pem, .crt, .cer, .der, .p7b or .p7c, or that are named by openssl rehash, in the
// order of their names. A certificate that is there twice counts once; its alias is made of
// its subject. Limits bound the directory as a whole. A file that cannot be read does not
// hide the rest: Findings reports it, unless Strict makes it an error.
//
// Errors wrap trustkeep.ErrIncorrectPassword, ErrCorrupt, ErrLimit,
// ErrUnsupported, ErrEmpty or the error of the file system; the store is then
// nil.
func Load(path string, password trustkeep.PasswordSource) (*Truststore, error) {
	return Options{}.Load(path, password)
}

// Read is Load for a stream, which is read to its end.
func Read(r io.Reader, password trustkeep.PasswordSource) (*Truststore, error) {
	return Options{}.Read(r, password)
}

// Parse is Load for bytes, which are neither kept nor changed. The store holds a copy of
// the password for saving.
func Parse(data []byte, password trustkeep.PasswordSource) (*Truststore, error) {
	return Options{}.Parse(data, password)
}

// Load is the function Load with these options.
func (o Options) Load(path string, password trustkeep.PasswordSource) (*Truststore, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return o.loadDirectory(path)
	}
	return o.kind().Load(path, password)
}

// Read is the function Read with these options.
func (o Options) Read(r io.Reader, password trustkeep.PasswordSource) (*Truststore, error) {
	return o.kind().Read(r, password)
}

// Parse is the function Parse with these options.
func (o Options) Parse(data []byte, password trustkeep.PasswordSource) (*Truststore, error) {
	return o.kind().Parse(data, password)
}

// kind is what storefile needs to know of truststores.
func (o Options) kind() storefile.Kind[*Truststore] {
	beside := new(storefile.Beside)
	return storefile.Kind[*Truststore]{
		Package: "truststore", MaxSize: o.Limits.MaxSize, Beside: beside,
		Open: func(in storefile.Input) (*Truststore, error) {
			if in.Path == "" {
				return o.open(in)
			}
			more, err := readBeside(in.Path, o.Limits.MaxSize)
			if err != nil {
				in.Password.Wipe()
				return nil, &trustkeep.Error{Op: in.Op, Path: in.Path, Err: err}
			}
			return o.openBeside(in, more)
		},
		New: func(password *redact.Secret) *Truststore {
			t := &Truststore{clock: o.Clock, limits: o.Limits}
			t.current().origin.password = password
			return t
		},
		Encode: func(t *Truststore, path string, save trustkeep.SaveOptions) ([]byte, error) {
			s := t.current()
			encoded, password, _, err := t.encodeBeside(s, save, beside)
			password.Wipe()
			if err != nil {
				return nil, saveError("truststore: update", path, s, save, err)
			}
			return encoded, nil
		},
	}
}

// open makes a store.
func (o Options) open(in storefile.Input) (*Truststore, error) {
	fail := func(format trustkeep.Format, err error, hint string) (*Truststore, error) {
		in.Password.Wipe()
		return nil, &trustkeep.Error{Op: in.Op, Path: in.Path, Format: string(format), Err: err, Hint: hint}
	}
	store, err := formats.Parse(in.Data, entry.ReadOptions{
		Password:             in.Password.Bytes(),
		Budget:               limits.New(o.Limits),
		AllowUnauthenticated: o.AllowUnauthenticated,
	})
	if err != nil {
		format, _ := formats.Detect(in.Data)
		hint := ""
		if in.Password == nil && errors.Is(err, trustkeep.ErrIncorrectPassword) {
			hint = "no password was given"
		}
		return fail(format, err, hint)
	}
	s := fromStore(store)
	s.origin.file, s.origin.password = in.Origin, in.Password
	if o.Strict && len(s.findings) > 0 {
		return fail(store.Format, fmt.Errorf("strict: %w", findingError(s.findings[0])), "")
	}
	if s.snapshot.Empty() && len(s.entries) > 0 {
		return fail(store.Format, fmt.Errorf("no certificate to trust: %w", trustkeep.ErrEmpty), s.whyEmpty())
	}
	t := &Truststore{clock: o.Clock, limits: o.Limits}
	t.state.Store(s)
	return t, nil
}

// fromStore takes over what a codec read.
func fromStore(store *entry.Store) *state {
	s := &state{entries: store.Entries, origin: origin{
		format: store.Format, source: store.Source, authenticated: !store.Unauthenticated,
	}}
	var certs []*entry.Certificate
	for _, e := range store.Entries {
		if e.Kind == entry.Trusted || e.Trust != nil {
			certs = append(certs, e.Chain...)
		}
	}
	entry.ParseAll(certs)
	s.entries, s.scopes = bounded(s.entries)
	s.snapshot = newSnapshot(1, trustedOf(s.entries), nil)
	s.snapshot.scopes = scopesOf(s.entries, s.scopes)
	for _, f := range store.Findings {
		s.findings = append(s.findings, trustkeep.Finding{Alias: f.Alias, Code: trustkeep.Code(f.Code), Text: trustkeep.Printable(f.Text)})
	}
	for _, e := range s.entries {
		if p, ok := findingOf(e); ok {
			s.findings = append(s.findings, p)
		}
		if e.Kind == entry.Key || e.Kind == entry.Secret {
			s.origin.keys++
		}
	}
	return s
}

// findingOf says why an entry makes nobody trusted.
func findingOf(e *entry.Entry) (trustkeep.Finding, bool) {
	switch {
	case e.Kind == entry.Key || e.Kind == entry.Secret:
		return finding(e.Alias, CodePrivateKey, errors.New("a key does not belong in a trust store, and the certificates of its chain make nobody trusted")), true
	case e.Err != nil:
		return finding(e.Alias, CodeUnusableEntry, e.Err), true
	case e.Kind == entry.Trusted && len(e.Chain) == 1:
		if _, err := e.Chain[0].X509(); err != nil {
			return finding(e.Alias, CodeUnusableCertificate, err), true
		}
	case e.Kind == entry.Opaque && len(e.Chain) > 0:
		return finding(e.Alias, CodeUntrustedCertificate, errors.New("the store does not say that this certificate is to be trusted")), true
	case e.Kind == entry.Opaque:
		return finding(e.Alias, CodeUnusableEntry, fmt.Errorf("entry of an unknown kind: %w", trustkeep.ErrUnsupported)), true
	}
	return trustkeep.Finding{}, false
}

// whyEmpty explains a store of entries none of which makes anybody trusted.
func (s *state) whyEmpty() string {
	if s.origin.keys > 0 {
		return "the file is a keystore, and the chains of its keys make nobody trusted; to trust them all the same, copy them with truststore.FromKeystore"
	}
	if len(s.findings) > 0 {
		return s.findings[0].String()
	}
	return "is it the right file?"
}
