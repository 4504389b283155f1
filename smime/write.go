package smime

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
)

// Encoding is the Content-Transfer-Encoding (RFC 2045 section 6) of what is written.
type Encoding uint8

// The encodings.
const (
	// Base64 is the zero value, and what mail needs.
	Base64 Encoding = iota
	// Binary is for transports that change nothing, such as HTTP in AS2.
	Binary
)

func (e Encoding) check() error {
	if e > Binary {
		return fmt.Errorf("encoding %d: %w", uint8(e), trustkeep.ErrInvalid)
	}
	return nil
}

// String returns the name of the encoding in MIME.
func (e Encoding) String() string {
	switch e {
	case Base64:
		return "base64"
	case Binary:
		return "binary"
	}
	return "invalid"
}

// SignOptions configures signing. The zero value makes multipart/signed, which readers without
// S/MIME show too. It is a value and safe for concurrent use.
type SignOptions struct {
	// CMS is how package cms signs.
	CMS cms.SignOptions
	// Opaque puts the entity inside the signature, so that no gateway can change it on the
	// way. If false, it is multipart/signed.
	Opaque bool
	// Encoding of the signature, or of all under Opaque. If zero, Base64.
	Encoding Encoding
	// OldMicalg spells "sha256" instead of "sha-256" as RFC 8551 does, for receivers that
	// compare.
	OldMicalg bool
}

// Sign writes the entity to dst, signed by each of the identities. Memory stays flat whatever the
// size. Lines of the entity that end with LF alone get CRLF, unless it is binary.
//
// The error wraps trustkeep.ErrCorrupt for what is no MIME entity and trustkeep.ErrInvalid for
// options out of range, or is that of cms.SignOptions.Sign, of entity or of dst. What was
// written by then is to be thrown away.
func (o SignOptions) Sign(dst io.Writer, entity io.Reader, identities ...trustkeep.Identity) error {
	if err := o.Encoding.check(); err != nil {
		return wrap("sign", err)
	}
	content, binary, err := canonicalEntity(entity)
	if err != nil {
		return wrap("sign", err)
	}
	if o.Opaque {
		return opaque(dst, "sign", "signed-data", o.Encoding, content, func(w io.Writer) (io.WriteCloser, error) {
			return o.CMS.Writer(w, identities...)
		})
	}
	hashes, err := o.CMS.Hashes(identities...)
	if err != nil {
		return err
	}
	var names []string
	for _, h := range hashes {
		for _, m := range micalgs {
			if m.hash == h && o.OldMicalg {
				names = append(names, m.name)
			} else if m.hash == h {
				names = append(names, "sha-"+strings.TrimPrefix(m.name, "sha"))
			}
		}
	}
	boundary := rand.Text()
	out := bufio.NewWriterSize(dst, pieceSize)
	encoding := ""
	if binary || o.Encoding == Binary { // what it holds says the multipart too (RFC 2045 section 6.4)
		encoding = "Content-Transfer-Encoding: binary\r\n"
	}
	fmt.Fprintf(out, "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n\tmicalg=\"%s\"; boundary=\"%s\"\r\n%s\r\n--%[2]s\r\n",
		strings.Join(names, ","), boundary, encoding)
	signature, err := o.CMS.SignDetached(io.TeeReader(content, out), identities...)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\r\n--%s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: %v\r\n"+
		"Content-Disposition: attachment; filename=smime.p7s\r\n\r\n", boundary, o.Encoding)
	body := encode(out, o.Encoding == Binary)
	if _, err := body.Write(signature); err != nil {
		return wrap("sign", err)
	}
	if err := body.close(); err != nil {
		return wrap("sign", err)
	}
	fmt.Fprintf(out, "\r\n--%s--\r\n", boundary)
	if err := out.Flush(); err != nil {
		return wrap("sign", err)
	}
	return nil
}

// SealOptions configures sealing. It is a value and safe for concurrent use.
type SealOptions struct {
	// CMS is how package cms seals.
	CMS cms.SealOptions
	// Encoding of the result. If zero, Base64.
	Encoding Encoding
}

// Seal writes the entity to dst, encrypted for the owners of certificates. Errors are those of
// SignOptions.Sign and cms.SealOptions.Seal. See there for what sealing protects against.
func (o SealOptions) Seal(dst io.Writer, entity io.Reader, recipients ...*x509.Certificate) error {
	if err := o.Encoding.check(); err != nil {
		return wrap("seal", err)
	}
	content, _, err := canonicalEntity(entity)
	if err != nil {
		return wrap("seal", err)
	}
	kind := "enveloped-data"
	if o.CMS.Cipher >= cms.AES256GCM {
		kind = "authEnveloped-data"
	}
	return opaque(dst, "seal", kind, o.Encoding, content, func(w io.Writer) (io.WriteCloser, error) {
		return o.CMS.Writer(w, recipients...)
	})
}

// CompressOptions configures compressing. It is a value and safe for concurrent use.
type CompressOptions struct {
	// CMS is how package cms compresses.
	CMS cms.CompressOptions
	// Encoding of the result. If zero, Base64.
	Encoding Encoding
}

// Compress writes the entity to dst, compressed (RFC 3274). Errors are those of SignOptions.Sign
// and cms.CompressOptions.Compress.
func (o CompressOptions) Compress(dst io.Writer, entity io.Reader) error {
	if err := o.Encoding.check(); err != nil {
		return wrap("compress", err)
	}
	content, _, err := canonicalEntity(entity)
	if err != nil {
		return wrap("compress", err)
	}
	return opaque(dst, "compress", "compressed-data", o.Encoding, content, o.CMS.Writer)
}

func wrap(op string, err error) error { return &trustkeep.Error{Op: "smime: " + op, Err: err} }

// pieceSize is how much is read and written at once. In pipelines such as that of package as2 each
// piece goes from one goroutine to another, which with small ones costs more than hashing.
const pieceSize = 256 << 10

// canonicalEntity returns the entity with line ends as they are signed, and whether it is
// binary.
func canonicalEntity(entity io.Reader) (content io.Reader, binary bool, err error) {
	if entity == nil {
		return nil, false, fmt.Errorf("no entity: %w", trustkeep.ErrInvalid)
	}
	in := bufio.NewReaderSize(entity, pieceSize)
	h, err := readHeader(in, false)
	if err != nil {
		return nil, false, err
	}
	content = io.MultiReader(bytes.NewReader(h.raw), in)
	if h.isBinary() {
		return content, true, nil
	}
	return &canonical{src: content}, false, nil
}

// opaque writes an entity of type application/pkcs7-mime.
func opaque(dst io.Writer, op, kind string, e Encoding, content io.Reader, open func(io.Writer) (io.WriteCloser, error)) error {
	name := "smime.p7m"
	if kind == "compressed-data" {
		name = "smime.p7z"
	}
	out := bufio.NewWriterSize(dst, pieceSize)
	fmt.Fprintf(out, "Content-Type: application/pkcs7-mime; smime-type=%s; name=%s\r\nContent-Transfer-Encoding: %v\r\n"+
		"Content-Disposition: attachment; filename=%[2]s\r\n\r\n", kind, name, e)
	body := encode(out, e == Binary)
	w, err := open(body)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, content); err != nil {
		return wrap(op, err)
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := body.close(); err != nil {
		return wrap(op, err)
	}
	if err := out.Flush(); err != nil {
		return wrap(op, err)
	}
	return nil
}
