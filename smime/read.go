package smime

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/inflate"
)

// ReadOptions configures reading. It is a value and safe for concurrent use.
type ReadOptions struct {
	// Identities open what was sealed for them.
	Identities []trustkeep.Identity
	// Open, Verify and Decompress are how package cms is asked. Verify.Trust must be set
	// unless nothing is signed.
	Open       cms.OpenOptions
	Verify     cms.VerifyOptions
	Decompress cms.DecompressOptions
	// AllowUnsigned accepts messages that nobody signed. Whoever asks for it looks at
	// Message.Layers.
	AllowUnsigned bool
	// KeepLineEnds takes the line ends in multipart/signed as they are, for senders that sign LF
	// alone without calling the entity binary. If false, such lines are signed with CRLF.
	KeepLineEnds bool
	// MaxLayers bounds how often a message may be signed, sealed and compressed. If zero, 8.
	MaxLayers int
}

// Kind is what was done to an entity.
type Kind string

// The kinds of Layer.
const (
	Signed     Kind = "signed"
	Sealed     Kind = "sealed"
	Compressed Kind = "compressed"
)

// Layer is one step that was undone.
type Layer struct {
	Kind Kind
	// Detached: the signature stood beside the entity, in multipart/signed.
	Detached bool
	// Verified is set for Signed: each of its Signers signed all that was inside.
	Verified *cms.Verified
}

// Message tells what was done to the entity that Read has written.
type Message struct {
	// Layers are the steps, the outermost first, which is the last that was taken.
	Layers []Layer
}

const maxSignature = 8 << 20 // of multipart/signed; certificates are most of it

// Read undoes what was done to the entity that src holds, and writes the entity inside to dst:
// its header, an empty line and its body, with the line ends that were signed. Memory stays flat
// whatever the size, but for the ciphers that cms.OpenOptions.Reader holds in memory.
//
// Read are multipart/signed with signatures by application/pkcs7-signature, and
// application/pkcs7-mime (both also as x-pkcs7-...) that is signed, sealed or compressed,
// whatever smime-type says; in base64, quoted-printable, or neither. What is inside another
// multipart, such as a mail with attachments, is content.
//
// With an error, all that was written to dst must be thrown away: it is not known to be whole or
// genuine. Errors are those of cms.OpenOptions.Reader, cms.VerifyOptions.Reader and
// cms.DecompressOptions.Reader, of src and of dst. Others wrap trustkeep.ErrEmpty for a message
// that is not signed, trustkeep.ErrCorrupt for what is no such MIME entity, trustkeep.ErrLimit
// beyond MaxLayers, and trustkeep.ErrUnsupported for other kinds, such as PGP/MIME, and for what was
// signed as something else than a MIME entity.
func (o ReadOptions) Read(dst io.Writer, src io.Reader) (*Message, error) {
	m, err := o.read(dst, src)
	if err != nil {
		var known *trustkeep.Error
		if !errors.As(err, &known) || !strings.HasPrefix(known.Op, "cms: ") {
			err = &trustkeep.Error{Op: "smime: read", Err: err}
		}
		return nil, err
	}
	return m, nil
}

// level is an entity being read.
type level struct {
	*bufio.Reader
	finish func() (*cms.Verified, error) // once its end was read; nil for the outermost
}

const bufferSize = maxHeader + 1<<10

func (o ReadOptions) read(dst io.Writer, src io.Reader) (*Message, error) {
	most := o.MaxLayers
	switch {
	case most < 0:
		return nil, fmt.Errorf("MaxLayers %d: %w", most, trustkeep.ErrInvalid)
	case most == 0:
		most = 8
	}
	m := new(Message)
	levels := []level{{bufio.NewReaderSize(src, bufferSize), nil}}
	var input *inflate.Input // of the outermost compression
	for {
		in := levels[len(levels)-1].Reader
		h, err := readHeader(in, slices.ContainsFunc(m.Layers, func(l Layer) bool { return l.Kind == Sealed }))
		if err != nil {
			return nil, err
		}
		detached := h.mediaType == "multipart/signed"
		if !detached && !h.isCMS() {
			if _, err := dst.Write(h.raw); err != nil {
				return nil, err
			}
			if _, err := io.Copy(dst, in); err != nil {
				return nil, err
			}
			break
		}
		if len(m.Layers) == most {
			return nil, fmt.Errorf("more than %d layers: %w", most, trustkeep.ErrLimit)
		}
		var (
			layer Layer
			r     io.Reader
		)
		if detached {
			layer, r, err = o.readDetached(in, h)
		} else {
			layer, r, err = o.readOpaque(in, h, input)
		}
		if err != nil {
			return nil, err
		}
		if c, ok := r.(inflate.Carrier); ok && c.Inflated() != nil && input == nil {
			input = c.Inflated()
		}
		finish := func() (*cms.Verified, error) { return nil, nil }
		if v, ok := r.(*cms.VerifyReader); ok {
			finish = v.Result
		}
		m.Layers = append(m.Layers, layer)
		levels = append(levels, level{bufio.NewReaderSize(r, bufferSize), finish})
	}
	return m, o.finish(m, levels)
}

// finish reads each layer to its end, the innermost first, since only then it is known to be
// good. What follows a closing delimiter is not signed.
func (o ReadOptions) finish(m *Message, levels []level) error {
	signed := false
	for i := len(levels) - 1; i >= 0; i-- {
		if _, err := io.Copy(io.Discard, levels[i].Reader); err != nil {
			return err
		}
		if i == 0 {
			break
		}
		verified, err := levels[i].finish()
		if err != nil {
			return err
		}
		if verified != nil && verified.ContentType != oidData { // RFC 8551 section 2.4.2
			return fmt.Errorf("signature over content of type %s, which is no MIME entity: %w", verified.ContentType, trustkeep.ErrUnsupported)
		}
		m.Layers[i-1].Verified = verified
		signed = signed || verified != nil
	}
	if !signed && !o.AllowUnsigned {
		return fmt.Errorf("message that is not signed: %w", trustkeep.ErrEmpty)
	}
	return nil
}

// carried is what comes out of decompression at some depth.
type carried struct {
	io.Reader
	input *inflate.Input
}

func (c carried) Inflated() *inflate.Input { return c.input }

// readOpaque reads a message of package cms.
func (o ReadOptions) readOpaque(in *bufio.Reader, h *header, input *inflate.Input) (Layer, io.Reader, error) {
	body, err := h.decode(in)
	if err != nil {
		return Layer{}, nil, err
	}
	start := bufio.NewReader(body)
	peeked, err := start.Peek(64)
	if err != nil && err != io.EOF {
		return Layer{}, nil, err
	}
	src := carried{start, input}
	switch kindOf(peeked) {
	case Signed:
		if h.params["smime-type"] == "certs-only" {
			return Layer{}, nil, fmt.Errorf("message of certificates only, which is for cms.ParseCertificates: %w", trustkeep.ErrUnsupported)
		}
		r, err := o.Verify.Reader(src)
		if err != nil {
			return Layer{}, nil, err
		}
		return Layer{Kind: Signed}, r, nil
	case Compressed:
		r, err := o.Decompress.Reader(src)
		return Layer{Kind: Compressed}, r, err
	}
	// And what is neither gets the error that says so.
	r, err := o.Open.Reader(src, o.Identities...)
	return Layer{Kind: Sealed}, r, err
}

// oidData is what a MIME entity is to package cms (RFC 5652 section 4).
const oidData = "1.2.840.113549.1.7.1"

// Object identifiers of content types, in DER.
var (
	oidSignedData     = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02}
	oidCompressedData = []byte{0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x09}
)

// kindOf looks at the content type of a ContentInfo in BER. What it does not know is Sealed.
func kindOf(b []byte) Kind {
	if len(b) < 2 || b[0] != 0x30 {
		return Sealed
	}
	b = b[1:]
	if n := int(b[0]); n > 0x80 && n-0x80 < len(b) {
		b = b[n-0x80:] // length in several octets
	}
	b = b[1:]
	switch {
	case bytes.HasPrefix(b, oidSignedData):
		return Signed
	case bytes.HasPrefix(b, oidCompressedData):
		return Compressed
	}
	return Sealed
}

// readDetached reads multipart/signed (RFC 1847 section 2.1, RFC 8551 section 3.5.3).
func (o ReadOptions) readDetached(in *bufio.Reader, h *header) (Layer, io.Reader, error) {
	fail := func(err error) (Layer, io.Reader, error) { return Layer{}, nil, err }
	switch protocol := strings.ToLower(h.params["protocol"]); protocol {
	case "application/pkcs7-signature", "application/x-pkcs7-signature", "":
	default:
		return fail(fmt.Errorf("multipart/signed by %s: %w", h.show(protocol), trustkeep.ErrUnsupported))
	}
	if h.encoding != "7bit" && h.encoding != "8bit" && h.encoding != "binary" {
		return fail(fmt.Errorf("multipart in %s: %w", h.show(h.encoding), trustkeep.ErrCorrupt))
	}
	parts, err := newMultipart(in, h.params["boundary"])
	if err != nil {
		return fail(err)
	}
	if err := parts.next(); err != nil {
		return fail(missing(err))
	}
	// The header is signed with the rest; it is read here for its encoding, which says
	// whether there are lines, and again as that of the next layer.
	part := bufio.NewReaderSize(parts, bufferSize)
	inner, err := readHeader(part, h.secret)
	if err != nil {
		return fail(err)
	}
	var content io.Reader = io.MultiReader(bytes.NewReader(inner.raw), part)
	if !o.KeepLineEnds && !inner.isBinary() {
		content = &canonical{src: content}
	}
	hashes, err := parseMicalg(h.params["micalg"])
	if err != nil {
		return fail(err)
	}
	r, err := o.Verify.DetachedReader(content, func() ([]byte, error) { return readSignature(parts, h.secret) }, hashes...)
	if err != nil {
		return fail(err)
	}
	return Layer{Kind: Signed, Detached: true}, r, nil
}

func missing(err error) error {
	if err == io.EOF {
		return fmt.Errorf("multipart/signed without its two parts: %w", trustkeep.ErrCorrupt)
	}
	return err
}

// readSignature reads the second part.
func readSignature(parts *multipart, secret bool) ([]byte, error) {
	if err := parts.next(); err != nil {
		return nil, missing(err)
	}
	part := bufio.NewReaderSize(parts, bufferSize)
	h, err := readHeader(part, secret)
	if err != nil {
		return nil, err
	}
	body, err := h.decode(part)
	if err != nil {
		return nil, err
	}
	signature, err := io.ReadAll(io.LimitReader(body, maxSignature+1))
	if err != nil {
		return nil, err
	}
	if len(signature) > maxSignature {
		return nil, fmt.Errorf("signature of more than %d bytes: %w", maxSignature, trustkeep.ErrLimit)
	}
	if err := parts.next(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("multipart/signed with more than two parts: %w", trustkeep.ErrCorrupt)
		}
		return nil, err
	}
	return signature, nil
}

// micalgs are the names of RFC 8551 section 3.5.3.2, without their hyphens, which older versions
// and many products do not have.
var micalgs = []struct {
	name string
	hash crypto.Hash
}{{"sha256", crypto.SHA256}, {"sha384", crypto.SHA384}, {"sha512", crypto.SHA512}, {"sha224", crypto.SHA224}, {"sha1", crypto.SHA1}}

// parseMicalg returns the digests that a signature may use: those that micalg names, in any
// spelling, and those that products use that say something else.
func parseMicalg(text string) ([]crypto.Hash, error) {
	if len(text) > 256 {
		return nil, fmt.Errorf("micalg of %d bytes: %w", len(text), trustkeep.ErrCorrupt)
	}
	var hashes []crypto.Hash
	for name := range strings.SplitSeq(text, ",") {
		name = strings.NewReplacer("-", "", "_", "", "rsa", "").Replace(strings.ToLower(strings.TrimSpace(name)))
		for _, m := range micalgs {
			if m.name == name {
				hashes = append(hashes, m.hash)
			}
		}
	}
	if len(hashes) == 0 {
		return nil, nil // all
	}
	return append(hashes, crypto.SHA256), nil
}
