package pgp

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/inflate"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
	"github.com/trustkeep/trustkeep/pgp/internal/signatures"
)

// Bounds on the structure of a message. None of them is near what real messages
// have.
const (
	maxSessionKeys = 2000 // recipients and passwords together
	maxSignatures  = 64
	maxCompressed  = 4 // nested compressed packets; one is usual
	maxAttempts    = 64
	maxFiller      = 1000 // markers, padding and unknown packets
)

// message reads one message: the grammar of RFC 9580 section 10.3, iteratively.
// Packets that contain others push a layer; when the content has been read, the
// layers are left again from the inside, which is where the signatures and the
// integrity code stand.
type message struct {
	cfg       Options
	budget    *limits.Budget
	open      *Decryption // nil where an encrypted message is not expected
	expansion int64
	buffer    int // of cleartext messages

	source     *sourceReader
	layers     []*layer
	sessions   []sessionKey
	container  io.Closer // its Close tells whether the content is intact
	encrypted  bool
	compressed int
	inflated   *inflate.Input // of the outermost compressed packet
	signatures []*signatures.Candidate
	filler     int
	signers    signerSet
	expect     expectation
	opened     map[*Key]opened
	recipient  *Key // whose key opened the message
	keepKey    bool // the session key is all that is wanted
	keptKey    func() trustkeep.PasswordSource
	literal    *grammar.Body
	result     Result

	bufs  [2][]byte // content: one is read while the other is hashed
	next  int
	ready []byte
	last  []byte // not yet hashed
	lines lineEndings
	// unixLines hands out lines that end in LF.
	unixLines bool
	done      bool
	err       error
}

// layer is a stream of packets.
type layer struct {
	r         *bufio.Reader
	announced []*signatures.Candidate // by one-pass packets of this layer
	closed    io.Closer               // to be closed when the layer has been read
	padded    bool                    // a file that may be filled up at its end
}

// sourceReader keeps errors of the source apart from those of the content.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// start reads up to the content.
func (m *message) start(src io.Reader) error {
	m.source = &sourceReader{r: src}
	r := bufio.NewReaderSize(m.source, 64<<10)
	start, err := r.Peek(4) // a byte order mark, and what follows
	if len(start) == 0 && err == io.EOF {
		return m.failed(fail(trustkeep.ErrEmpty, "empty message"))
	}
	if err != nil && err != io.EOF {
		return m.failed(err)
	}
	binary := !armor.Is(start)
	if !binary {
		d := armor.NewReader(r)
		kind, _, err := d.Next()
		switch {
		case err == io.EOF:
			return m.failed(fail(trustkeep.ErrCorrupt, "no OpenPGP message found"))
		case err != nil:
			return m.failed(err)
		case kind == armor.BlockCleartext && m.open == nil:
			m.layers = append(m.layers, &layer{r: r})
			return errCleartext
		case kind != armor.BlockMessage:
			return m.failed(fail(trustkeep.ErrUnsupported, "%q where a message was expected", trustkeep.Printable(kind)))
		}
		r = bufio.NewReaderSize(d, 64<<10)
	}
	m.layers = append(m.layers, &layer{r: r, padded: binary})
	return m.failed(guard("message", m.descend))
}

// failed decides what error the caller gets. Once content has been decrypted,
// details of what is wrong with it would help an attacker who can ask again
// (RFC 9580 section 13.8), so there are none.
func (m *message) failed(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case m.source.err != nil:
		return m.source.err
	case errors.Is(err, trustkeep.ErrLimit), errors.Is(err, trustkeep.ErrIncorrectPassword):
		return withPrefix(err)
	case m.encrypted:
		return errDamaged
	}
	return classify("message", err)
}

var errDamaged = fail(trustkeep.ErrCorrupt, "encrypted content is damaged")

func (m *message) top() *layer { return m.layers[len(m.layers)-1] }

// descend reads packets until the content begins.
func (m *message) descend() error {
	for {
		top := m.top()
		tag, body, err := grammar.Read(top.r)
		if err == io.EOF {
			return fail(trustkeep.ErrCorrupt, "message without content")
		}
		if err != nil {
			return err
		}
		if len(m.sessions) > 0 && m.container == nil && !canFollowSessionKey(tag) {
			return fail(trustkeep.ErrCorrupt, "packet of type %d after session keys", tag)
		}
		switch tag {
		case grammar.TagPKESK, grammar.TagSKESK:
			if m.container != nil || len(m.layers) > 1 || len(m.signatures) > 0 {
				return fail(trustkeep.ErrCorrupt, "session key within a message")
			}
			if err := m.sessionKey(tag, body); err != nil {
				return err
			}
		case grammar.TagSEIPD, grammar.TagEncrypted, grammar.TagOCBEd:
			if m.container != nil || len(m.layers) > 1 || len(m.signatures) > 0 {
				return fail(trustkeep.ErrUnsupported, "encrypted data within a message")
			}
			if err := m.decrypt(tag, body); err != nil {
				return err
			}
		case grammar.TagCompressed:
			if err := m.decompress(body); err != nil {
				return err
			}
		case grammar.TagOnePass, grammar.TagSignature:
			if err := m.announce(tag, body); err != nil {
				return err
			}
		case grammar.TagLiteral:
			m.literal = body
			return m.literalHeader()
		default:
			if err := m.skip(tag, body); err != nil {
				return err
			}
		}
	}
}

func canFollowSessionKey(tag byte) bool {
	switch tag {
	case grammar.TagPKESK, grammar.TagSKESK, grammar.TagSEIPD, grammar.TagEncrypted, grammar.TagOCBEd, grammar.TagMarker, grammar.TagPadding:
		return true
	}
	return tag >= grammar.FirstIgnorable
}

// skip passes over packets that mean nothing (section 4.3).
func (m *message) skip(tag byte, body *grammar.Body) error {
	if m.filler++; m.filler > maxFiller {
		return fail(trustkeep.ErrLimit, "more than %d packets without content", maxFiller)
	}
	if tag != grammar.TagMarker && tag != grammar.TagPadding && tag < grammar.FirstIgnorable {
		return fail(trustkeep.ErrCorrupt, "packet of type %d in a message", tag)
	}
	return body.Discard()
}

// reparse reads a small packet with go-crypto.
func reparse(tag byte, body *grammar.Body) (packet.Packet, []byte, error) {
	data, err := body.Small()
	if err != nil {
		return nil, nil, err
	}
	p, err := grammar.New(tag, data).Parsed()
	return p, data, err
}

// decompress pushes the content of a compressed packet.
func (m *message) decompress(body *grammar.Body) error {
	if m.compressed++; m.compressed > maxCompressed {
		return fail(trustkeep.ErrLimit, "compressed data nested more than %d deep", maxCompressed)
	}
	content, end, outermost, err := inflate.Open(body, m.inflated, m.expansion)
	if err != nil {
		return err
	}
	m.inflated = outermost
	m.layers = append(m.layers, &layer{r: bufio.NewReaderSize(content, 32<<10), closed: end})
	return nil
}

// literalHeader reads what stands before the content (section 5.9).
func (m *message) literalHeader() error {
	var head [2]byte
	if _, err := io.ReadFull(m.literal, head[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	rest := make([]byte, int(head[1])+4)
	if _, err := io.ReadFull(m.literal, rest); err != nil {
		return io.ErrUnexpectedEOF
	}
	m.result.FileName = string(rest[:head[1]])
	m.result.Text = head[0] == 't' || head[0] == 'u'
	// The mark is not signed. A signature over octets, unlike one over text, covers the
	// line endings: then nothing is changed, or whoever sets the mark changes what was signed.
	m.unixLines = m.result.Text && !slices.ContainsFunc(m.signatures, func(c *signatures.Candidate) bool { return c.Kind != packet.SigTypeText })
	t := rest[head[1]:]
	if s := uint32(t[0])<<24 | uint32(t[1])<<16 | uint32(t[2])<<8 | uint32(t[3]); s != 0 {
		m.result.ModTime = time.Unix(int64(s), 0).UTC()
	}
	return nil
}

// Read reads the content. At its end, the integrity code and the signatures
// are checked before io.EOF is returned.
func (m *message) Read(p []byte) (int, error) {
	for len(m.ready) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		if err := guard("message", m.fill); err != nil {
			m.err = m.failed(err)
		}
	}
	n := copy(p, m.ready)
	m.ready = m.ready[n:]
	m.result.Size += int64(n)
	return n, nil
}

// fill reads another chunk of the content while the one before is hashed.
func (m *message) fill() error {
	size := overlap.FirstChunk
	if m.last != nil {
		size = overlap.WorkSize
	}
	if len(m.bufs[m.next]) < size {
		m.bufs[m.next] = make([]byte, size)
	}
	buf := m.bufs[m.next]
	var n int
	var err error
	work := len(m.last)
	if !m.signers.Hashing() {
		work = 0
	}
	overlap.Beside(work,
		func() { m.signers.Write(m.last) },
		func() {
			err = guard("message", func() (err error) {
				n, err = overlap.Fill(m.literal, buf)
				return err
			})
		})
	m.next = 1 - m.next
	m.last = buf[:n]
	if err != nil && err != io.EOF {
		return err
	}
	if err == io.EOF {
		m.signers.Write(m.last)
		m.last = nil
		if err := m.ascend(); err != nil {
			return err
		}
		m.err = io.EOF
		m.done = true
	}
	m.ready = buf[:n]
	if m.unixLines {
		m.ready = m.lines.unix(m.ready, m.done)
	}
	return nil
}

// ascend reads what follows the content, from the innermost layer outwards.
func (m *message) ascend() error {
	for i := len(m.layers) - 1; i >= 0; i-- {
		l := m.layers[i]
		if err := m.signaturesOf(l); err != nil {
			return err
		}
		if l.closed != nil {
			if err := l.closed.Close(); err != nil {
				return err
			}
		}
	}
	m.verify()
	return nil
}

// signaturesOf reads the rest of a layer: the signatures announced in it, the
// last announced first, and nothing else.
func (m *message) signaturesOf(l *layer) error {
	missing := l.announced
	for {
		if l.padded {
			if err := grammar.SkipPadding(l.r); err != nil {
				return err
			}
		}
		tag, body, err := grammar.Read(l.r)
		if err == io.EOF {
			if len(missing) > 0 {
				return fail(trustkeep.ErrCorrupt, "signature missing")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if tag != grammar.TagSignature {
			if err := m.skip(tag, body); err != nil {
				return err
			}
			continue
		}
		if len(missing) == 0 {
			return fail(trustkeep.ErrCorrupt, "signature that was not announced")
		}
		c := missing[len(missing)-1]
		missing = missing[:len(missing)-1]
		p, data, err := reparse(tag, body)
		if err != nil {
			c.CompleteUnread(data, err)
			continue
		}
		c.Complete(p.(*packet.Signature))
	}
}

// announce notes a signature that stands before the content: a one-pass packet
// whose signature follows, or a whole signature in the old style.
func (m *message) announce(tag byte, body *grammar.Body) error {
	if len(m.signatures) == maxSignatures {
		return fail(trustkeep.ErrLimit, "more than %d signatures", maxSignatures)
	}
	p, data, err := reparse(tag, body)
	if errors.Is(err, trustkeep.ErrLimit) {
		return err
	}
	c := new(signatures.Candidate)
	switch p := p.(type) {
	case *packet.OnePassSignature:
		c.Announce(p, data, err)
	case *packet.Signature:
		if err == nil {
			c.AnnounceWhole(p)
		} else {
			c.AnnounceUnread(data, err)
		}
	default:
		if tag == grammar.TagSignature {
			c.AnnounceUnread(data, err)
		} else {
			c.Announce(nil, data, err)
		}
	}
	if tag == grammar.TagOnePass {
		top := m.top()
		if n := len(top.announced); n > 0 && top.announced[n-1].Last {
			return fail(trustkeep.ErrUnsupported, "signature over a signature")
		}
		top.announced = append(top.announced, c)
	}
	m.signatures = append(m.signatures, c)
	m.signers.add(c)
	return nil
}
