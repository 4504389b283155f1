package pgp

import (
	"bufio"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
)

// Compression is a compression algorithm for messages.
type Compression uint8

// The compression algorithms. Compressing content that an attacker has a part
// in can give away the rest by its length, so none is the default.
const (
	NoCompression Compression = iota
	ZIP                       // read by everything
	ZLIB
)

// Encryption says how a message is to be encrypted. At least one recipient or
// password is needed. It is safe to use one Encryption for many messages at
// once.
type Encryption struct {
	// Options are the clock, the randomness and the weaknesses to accept.
	Options Options
	// To are the recipients, named in the message by key ID.
	To []*Key
	// ToHidden are recipients that the message does not name. They have to
	// try all their keys.
	ToHidden []*Key
	// Passwords each open the message, too. They must not be nil or empty.
	Passwords []trustkeep.PasswordSource
	// Signers sign the content; they must be unlocked.
	Signers []*Key
	// Armor writes text instead of binary.
	Armor bool
	// Compression is used if all recipients' keys say that they know it.
	Compression Compression
	// AEAD uses the encryption of RFC 9580 (version 2 of the packet) for
	// messages to passwords alone. With recipients, their keys decide: it is
	// used if all of them state it, with AES-256-GCM where all state that.
	AEAD bool
	// FileName and ModTime go into the message as a hint for the recipient.
	// They are not signed.
	FileName string
	ModTime  time.Time
}

// Encrypt writes src as an encrypted message to dst. On an error, what dst got
// is incomplete and cannot be decrypted. The errors concerning keys are those
// of Key.CanEncrypt and Key.CanSign; nothing has been written then.
func (e Encryption) Encrypt(dst io.Writer, src io.Reader) error {
	out := &messageWriter{buffered: &behindWriter{w: dst}}
	if err := e.begin(out); err != nil {
		return err
	}
	return out.copyAll(src)
}

// EncryptFile encrypts the content of src into the file at path, which appears
// when it is complete, with the permissions 0600 unless it exists.
func (e Encryption) EncryptFile(path string, src io.Reader) error {
	return writeFile(path, func(w io.Writer) error { return e.Encrypt(w, src) })
}

// Writer starts a message to dst and returns what its content is to be written
// to. The message is complete when Close has returned nil; Close does not close
// dst. Encrypt is faster, since it can read ahead.
func (e Encryption) Writer(dst io.Writer) (io.WriteCloser, error) {
	out := &messageWriter{buffered: bufio.NewWriterSize(dst, 16<<10)}
	if err := e.begin(out); err != nil {
		return nil, err
	}
	return contentWriter{func() *messageWriter { return out }}, nil
}

// contentWriter is what callers get to see of a messageWriter: nothing prints
// the keys and the content that it holds.
type contentWriter struct{ m func() *messageWriter }

func (c contentWriter) Write(p []byte) (int, error) { return c.m().Write(p) }
func (c contentWriter) Close() error                { return c.m().Close() }

func (e Encryption) begin(out *messageWriter) error {
	plan, err := e.plan()
	if err != nil {
		return err
	}
	signers, err := signingKeys(e.Signers, e.Options)
	if err != nil {
		return err
	}
	var passwords [][]byte
	defer func() {
		for _, p := range passwords {
			clear(p)
		}
	}()
	for _, source := range e.Passwords {
		p, err := revealNew(source)
		if err != nil {
			return err
		}
		passwords = append(passwords, p)
	}
	return classify("encrypt", guard("encrypt", func() error { return e.start(out, plan, signers, passwords) }))
}

// encryptionPlan is what the recipients' keys lead to.
type encryptionPlan struct {
	recipients  []recipient
	aead        bool
	suite       packet.CipherSuite
	cipher      packet.CipherFunction
	compression packet.CompressionAlgo
}

func (e Encryption) plan() (encryptionPlan, error) {
	p := encryptionPlan{
		aead: e.AEAD, cipher: packet.CipherAES256,
		suite: packet.CipherSuite{Cipher: packet.CipherAES256, Mode: packet.AEADModeOCB}, // the mode that all have
	}
	if e.Compression > ZLIB {
		return p, fail(trustkeep.ErrInvalid, "compression %d", e.Compression)
	}
	if len(e.To)+len(e.ToHidden)+len(e.Passwords) == 0 {
		return p, fail(trustkeep.ErrInvalid, "no recipient and no password")
	}
	if slices.Contains(e.Passwords, nil) {
		return p, fail(trustkeep.ErrInvalid, "Passwords holds nil")
	}
	for field, keys := range map[string][]*Key{"To": e.To, "ToHidden": e.ToHidden} {
		if err := noNil(field, keys); err != nil {
			return p, err
		}
	}
	for i, k := range slices.Concat(e.To, e.ToHidden) {
		r, err := k.recipient(e.Options)
		if err != nil {
			return p, err
		}
		r.hidden = i >= len(e.To)
		p.recipients = append(p.recipients, r)
	}
	p.compression = packet.CompressionAlgo(e.Compression)
	if len(p.recipients) == 0 {
		return p, nil
	}
	all := func(f func(*packet.Signature) bool) bool {
		return !slices.ContainsFunc(p.recipients, func(r recipient) bool { return !f(r.prefs) })
	}
	if !all(func(s *packet.Signature) bool { return slices.Contains(s.PreferredCompression, uint8(p.compression)) }) {
		p.compression = packet.CompressionNone
	}
	// RFC 9580 section 13.7: an algorithm that is not in the list of a
	// recipient must not be used, except for the one that all must have.
	p.aead = all(func(s *packet.Signature) bool { return s.SEIPDv2 })
	p.suite.Cipher = packet.CipherAES128
	for _, s := range preferredSuites() {
		if all(func(sig *packet.Signature) bool { return slices.Contains(sig.PreferredCipherSuites, s) }) {
			p.suite = packet.CipherSuite{Cipher: packet.CipherFunction(s[0]), Mode: packet.AEADMode(s[1])}
			break
		}
	}
	p.cipher = packet.CipherAES128
	for _, c := range preferredCiphers() {
		if all(func(s *packet.Signature) bool { return slices.Contains(s.PreferredSymmetric, c) }) {
			p.cipher = packet.CipherFunction(c)
			break
		}
	}
	return p, nil
}

// start writes everything before the content.
func (e Encryption) start(out *messageWriter, plan encryptionPlan, signers []*packet.PrivateKey, passwords [][]byte) error {
	pc := e.Options.packetConfig(e.Options.now())
	pc.DefaultCipher = plan.cipher
	pc.S2KConfig = e.Options.iterated()
	if plan.aead {
		pc.DefaultCipher = plan.suite.Cipher
		pc.AEADConfig = &packet.AEADConfig{DefaultMode: plan.suite.Mode, ChunkSize: chunkSize}
		pc.S2KConfig = e.Options.argon2()
	}
	var w io.Writer = out.buffered
	if e.Armor {
		a, err := newArmorWriter(w, blockMessage, checksum(!plan.aead))
		if err != nil {
			return err
		}
		out.push(a)
		w = a
	}
	session := make([]byte, pc.DefaultCipher.KeySize())
	defer clear(session)
	if _, err := io.ReadFull(e.Options.rand(), session); err != nil {
		return err
	}
	for _, r := range plan.recipients {
		if err := packet.SerializeEncryptedKeyAEADwithHiddenOption(w, r.public, pc.DefaultCipher, plan.aead, session, r.hidden, pc); err != nil {
			return err
		}
	}
	for _, pw := range passwords {
		if err := packet.SerializeSymmetricKeyEncryptedAEADReuseKey(w, session, pw, plan.aead, pc); err != nil {
			return err
		}
	}
	var container io.WriteCloser
	var err error
	if plan.aead {
		container, err = packet.SerializeSymmetricallyEncrypted(w, pc.DefaultCipher, true, plan.suite, session, pc)
	} else {
		container, err = newMDCWriter(w, session, e.Options.rand())
	}
	if err != nil {
		return err
	}
	out.push(container)
	w = container
	if plan.compression != packet.CompressionNone {
		c, err := packet.SerializeCompressed(keepOpen{w}, plan.compression, nil)
		if err != nil {
			return err
		}
		out.push(c)
		w = c
	}
	var intended []*packet.Recipient
	for _, r := range plan.recipients {
		if !r.hidden {
			intended = append(intended, &packet.Recipient{KeyVersion: r.entity.PrimaryKey.Version, Fingerprint: r.entity.PrimaryKey.Fingerprint})
		}
	}
	return out.content(w, signers, literalHints{e.FileName, e.ModTime}, intended, pc)
}

// keepOpen hides a writer's Close: messageWriter closes each layer itself.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

type literalHints struct {
	name    string
	modTime time.Time
}

// flusher is a writer that may hold something back until Flush.
type flusher interface {
	io.Writer
	Flush() error
}

// messageWriter is the stack of packets that a message consists of. The content
// goes into the innermost one; Close ends them from the inside.
type messageWriter struct {
	buffered   flusher
	layers     []io.Closer // the outermost first
	literal    *packetWriter
	sink       io.Writer // of the literal packet and what surrounds it
	signatures []*pendingSignature
	intended   []*packet.Recipient
	config     *packet.Config
	err        error
}

// pendingSignature is a signature whose content is being written.
type pendingSignature struct {
	key *packet.PrivateKey
	sig *packet.Signature
	h   hash.Hash
}

func (m *messageWriter) push(c io.Closer) { m.layers = append(m.layers, c) }

// content starts the literal packet, between the packets that announce the
// signatures and the signatures (RFC 9580 section 10.3.1).
func (m *messageWriter) content(w io.Writer, signers []*packet.PrivateKey, hints literalHints, intended []*packet.Recipient, pc *packet.Config) error {
	m.sink, m.intended, m.config = w, intended, pc
	for i, key := range signers {
		s, err := newPendingSignature(key, packet.SigTypeBinary, pc)
		if err != nil {
			return err
		}
		ops := &packet.OnePassSignature{
			Version: 3, SigType: s.sig.SigType, Hash: s.sig.Hash, PubKeyAlgo: key.PubKeyAlgo,
			KeyId: key.KeyId, IsLast: i == len(signers)-1,
		}
		if key.Version == 6 {
			ops.Version, ops.Salt, ops.KeyFingerprint = 6, s.sig.Salt(), key.Fingerprint
		}
		if err := ops.Serialize(w); err != nil {
			return err
		}
		m.signatures = append(m.signatures, s)
	}
	m.literal = newPacketWriter(w, tagLiteral)
	name := hints.name
	if len(name) > 255 {
		name = name[:255]
	}
	var t uint32
	if !hints.modTime.IsZero() {
		t = uint32(hints.modTime.Unix())
	}
	header := append([]byte{'b', byte(len(name))}, name...)
	header = append(header, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	_, err := m.literal.Write(header)
	return err
}

func newPendingSignature(key *packet.PrivateKey, kind packet.SignatureType, pc *packet.Config) (*pendingSignature, error) {
	sig := newSignature(&key.PublicKey, kind, pc.Now())
	h, err := sig.PrepareSign(pc) // hashes the salt of version 6
	if err != nil {
		return nil, err
	}
	return &pendingSignature{key, sig, h}, nil
}

// copyAll writes the whole content and ends the message.
func (m *messageWriter) copyAll(src io.Reader) error {
	err := copyAhead(m, src)
	if err == nil {
		return m.Close()
	}
	m.buffered.Flush() // waits for what is being written; the message is lost anyway
	return err
}

func (m *messageWriter) Write(p []byte) (n int, err error) {
	n = len(p)
	for len(p) > 0 && m.err == nil {
		chunk := p[:min(len(p), workSize)]
		beside(len(chunk)*min(len(m.signatures), 1),
			func() {
				for _, s := range m.signatures {
					s.h.Write(chunk)
				}
			},
			func() { _, m.err = m.literal.Write(chunk) })
		p = p[len(chunk):]
	}
	if m.err != nil {
		return n - len(p), m.err
	}
	return n, nil
}

func (m *messageWriter) Close() error {
	if m.err == nil {
		m.err = guard("encrypt", m.finish)
		if m.err == nil {
			m.err = errClosed
			return nil
		}
	}
	return m.err
}

var errClosed = fail(trustkeep.ErrInvalid, "message writer is closed")

func (m *messageWriter) finish() error {
	if err := m.literal.Close(); err != nil {
		return err
	}
	for _, s := range slices.Backward(m.signatures) { // the first announced comes last
		s.sig.IntendedRecipients = m.intended
		if err := s.sig.Sign(s.h, s.key, m.config); err != nil {
			return classify("sign", err)
		}
		if err := s.sig.Serialize(m.sink); err != nil {
			return err
		}
	}
	for _, layer := range slices.Backward(m.layers) {
		if err := layer.Close(); err != nil {
			return err
		}
	}
	return m.buffered.Flush()
}

// copyAhead copies src to w and reads the next chunk while one is written.
func copyAhead(w io.Writer, src io.Reader) error {
	buf := make([]byte, firstChunk)
	n, err := fillBuffer(src, buf)
	var next []byte
	for err == nil {
		if len(next) < workSize {
			next = make([]byte, workSize)
		}
		var m int
		var rerr, werr error
		beside(n,
			func() { m, rerr = fillBuffer(src, next) },
			func() { _, werr = w.Write(buf[:n]) })
		if werr != nil {
			return werr
		}
		buf, next, n, err = next, buf, m, rerr
	}
	if err != io.EOF {
		return err
	}
	_, err = w.Write(buf[:n])
	return err
}

// signingKeys chooses the private parts to sign with.
func signingKeys(signers []*Key, cfg Options) ([]*packet.PrivateKey, error) {
	if err := noNil("Signers", signers); err != nil {
		return nil, err
	}
	var out []*packet.PrivateKey
	for _, k := range signers {
		p, err := k.signingKey(cfg)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
