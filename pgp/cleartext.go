package pgp

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/cleartext"
	"github.com/trustkeep/trustkeep/pgp/internal/compose"
)

// errCleartext is internal: start found a cleartext message.
var errCleartext = fail(trustkeep.ErrUnsupported, "cleartext signature; verify it instead")

// Cleartext writes text that people can read, with its signatures below. Line
// endings and white space at the end of lines are not signed; the last line is
// given an ending if it has none. Text that holds control characters besides
// tab and line endings, or lines of more than 64 KiB, is an error that wraps
// ErrUnsupported.
func (s Signing) Cleartext(dst io.Writer, src io.Reader) error {
	keys, how, err := s.keys()
	if err != nil {
		return err
	}
	pc := s.Options.packetConfig(s.Options.now())
	var pending []*compose.Signature
	var hashes []string
	for _, key := range keys {
		p, err := compose.NewSignature(key, packet.SigTypeText, how, pc)
		if err != nil {
			return classify("sign", err)
		}
		pending = append(pending, p)
		if name := strings.ReplaceAll(p.Sig.Hash.String(), "-", ""); key.Version < 6 && !slices.Contains(hashes, name) {
			hashes = append(hashes, name) // section 7.1 wants it for version 4 only
		}
	}
	out := bufio.NewWriter(dst)
	out.WriteString(cleartext.Begin + "\n")
	if len(hashes) > 0 {
		out.WriteString("Hash: " + strings.Join(hashes, ",") + "\n")
	}
	out.WriteByte('\n')
	lines := bufio.NewReaderSize(s.Options.watched(src), cleartext.MaxTextLine)
	for first := true; ; first = false {
		line, err := cleartext.Line(lines)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		for _, p := range pending {
			if !first {
				p.H.Write([]byte("\r\n"))
			}
			p.H.Write(line)
		}
		if bytes.HasPrefix(line, []byte("-")) || bytes.HasPrefix(line, []byte("From ")) {
			out.WriteString("- ")
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	packets, err := serialized(pending, pc)
	if err != nil {
		return err
	}
	armored, err := armor.Encode(armor.BlockSignature, packets, s.checksum())
	if err != nil {
		return err
	}
	out.Write(armored)
	return out.Flush() // reports what any of the writes met
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
	if err := cleartext.Headers(r); err != nil {
		return err
	}
	// The hash is announced in a header that nobody signed, and the salt of
	// version 6 only with the signature: keep the text until that is known.
	var text bytes.Buffer
	keep := &limitedBuffer{&text, m.buffer}
	if err := cleartext.Read(r, keep); err != nil {
		return err
	}
	d := armor.NewReader(r)
	d.Kind, d.Ended = armor.BlockSignature, false
	if err := d.Headers(); err != nil {
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
		if c.Kind != packet.SigTypeText && c.Problem == nil {
			// Section 7: over the text as text, or it could be one taken
			// from other data.
			c.Problem = fail(trustkeep.ErrCorrupt, "signature of type %#x on a cleartext message", int(c.Kind))
		}
	}
	m.signers.Write(text.Bytes()) // the digests bring line endings into canonical form
	m.verify()
	if text.Len() > 0 {
		text.WriteByte('\n')
	}
	m.result.Size = int64(text.Len())
	_, err = text.WriteTo(w)
	return err
}
