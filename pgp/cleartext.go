package pgp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
)

// The cleartext signature framework, RFC 9580 section 7.

const (
	cleartextBegin = "-----BEGIN PGP SIGNED MESSAGE-----"
	signatureBegin = "-----BEGIN PGP SIGNATURE-----"
	maxTextLine    = 64 << 10
)

// errCleartext is internal: start found a cleartext message.
var errCleartext = fail(trustkeep.ErrUnsupported, "cleartext signature; verify it instead")

// Cleartext writes text that people can read, with its signatures below. Line
// endings and white space at the end of lines are not signed; the last line is
// given an ending if it has none. Text that holds control characters besides
// tab and line endings, or lines of more than 64 KiB, is an error that wraps
// ErrUnsupported.
func (s Signing) Cleartext(dst io.Writer, src io.Reader) error {
	keys, err := s.keys()
	if err != nil {
		return err
	}
	pc := s.Options.packetConfig(s.Options.now())
	var pending []*pendingSignature
	var hashes []string
	for _, key := range keys {
		p, err := newPendingSignature(key, packet.SigTypeText, pc)
		if err != nil {
			return classify("sign", err)
		}
		pending = append(pending, p)
		if name := strings.ReplaceAll(p.sig.Hash.String(), "-", ""); key.Version < 6 && !slices.Contains(hashes, name) {
			hashes = append(hashes, name) // section 7.1 wants it for version 4 only
		}
	}
	out := bufio.NewWriter(dst)
	out.WriteString(cleartextBegin + "\n")
	if len(hashes) > 0 {
		out.WriteString("Hash: " + strings.Join(hashes, ",") + "\n")
	}
	out.WriteByte('\n')
	lines := bufio.NewReaderSize(src, maxTextLine)
	for first := true; ; first = false {
		line, err := textLine(lines)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		for _, p := range pending {
			if !first {
				p.h.Write([]byte("\r\n"))
			}
			p.h.Write(line)
		}
		if bytes.HasPrefix(line, []byte("-")) || bytes.HasPrefix(line, []byte("From ")) {
			out.WriteString("- ")
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	var packets bytes.Buffer
	for _, p := range pending {
		err := guard("sign", func() error {
			if err := p.sig.Sign(p.h, p.key, pc); err != nil {
				return err
			}
			return p.sig.Serialize(&packets)
		})
		if err != nil {
			return classify("sign", err)
		}
	}
	armored, err := enarmor(blockSignature, packets.Bytes(), s.checksum())
	if err != nil {
		return err
	}
	out.Write(armored)
	return out.Flush() // reports what any of the writes met
}

// textLine reads a line without its ending and the white space before it.
func textLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fail(trustkeep.ErrUnsupported, "line of more than %d bytes in text", maxTextLine)
	case err == io.EOF && len(line) > 0:
	case err != nil:
		return nil, err
	}
	line = bytes.TrimRight(line, " \t\r\n")
	if i := bytes.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F }); i >= 0 {
		return nil, fail(trustkeep.ErrUnsupported, "control character %#x in text", line[i])
	}
	return line, nil
}

// cleartext verifies the message that the source holds; start has stopped
// behind its first line. The text goes to w with the line ending of Unix.
func (m *message) cleartext(w io.Writer) error {
	err := m.readCleartext(m.layers[0].r, w)
	if m.source.err != nil {
		return m.source.err
	}
	if err != nil {
		return classify("cleartext message", err)
	}
	return nil
}

func (m *message) readCleartext(r *bufio.Reader, w io.Writer) error {
	if err := cleartextHeaders(r); err != nil {
		return err
	}
	// The hash is announced in a header that nobody signed, and the salt of
	// version 6 only with the signature: keep the text until that is known.
	var text bytes.Buffer
	keep := &limitedBuffer{&text, defaultBuffer}
	for first := true; ; first = false {
		line, err := textLine(r)
		if err == io.EOF {
			return fail(trustkeep.ErrCorrupt, "cleartext message without signature")
		}
		if err != nil {
			return err
		}
		if string(line) == signatureBegin {
			break
		}
		escaped := bytes.HasPrefix(line, []byte("- "))
		switch {
		case escaped:
			line = line[2:]
		case bytes.HasPrefix(line, []byte("-")):
			return fail(trustkeep.ErrCorrupt, "unescaped %q in a cleartext message", trustkeep.Printable(string(line)))
		}
		if !first {
			if _, err := keep.Write([]byte("\n")); err != nil {
				return err
			}
		}
		if _, err := keep.Write(line); err != nil {
			return err
		}
	}
	d := newDearmorer(r)
	d.kind, d.ended = blockSignature, false
	if err := d.headers(); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(d, maxSignatureFile))
	if err != nil {
		return err
	}
	if err := m.detached(data); err != nil {
		return err
	}
	for _, c := range m.signatures {
		if c.kind != packet.SigTypeText && c.problem == nil {
			// Section 7: over the text as text, or it could be one taken
			// from other data.
			c.problem = fail(trustkeep.ErrCorrupt, "signature of type %#x on a cleartext message", int(c.kind))
		}
	}
	m.signers.write(text.Bytes()) // the digests bring line endings into canonical form
	m.verify()
	if text.Len() > 0 {
		text.WriteByte('\n')
	}
	m.result.Size = int64(text.Len())
	_, err = text.WriteTo(w)
	return err
}

// cleartextHeaders accepts Hash headers and nothing else: GnuPG and others have
// been made to show text in headers as signed (CVE-2019-11841).
func cleartextHeaders(r *bufio.Reader) error {
	known := []string{"SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA3-512", "MD5", "RIPEMD160"}
	for range maxArmorHeaders {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fail(trustkeep.ErrCorrupt, "cleartext message: truncated")
		}
		text := strings.TrimRight(string(line), " \t\r\n")
		if text == "" {
			return nil
		}
		value, ok := strings.CutPrefix(text, "Hash: ")
		if !ok {
			return fail(trustkeep.ErrCorrupt, "header %q in a cleartext message", trustkeep.Printable(text))
		}
		for _, name := range strings.Split(value, ",") {
			if !slices.Contains(known, strings.TrimSpace(name)) {
				return fail(trustkeep.ErrCorrupt, "hash %q in a cleartext message", trustkeep.Printable(name))
			}
		}
	}
	return fail(trustkeep.ErrLimit, "more than %d headers", maxArmorHeaders)
}
