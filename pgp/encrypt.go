package pgp

import (
	"bufio"
	"crypto"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/compose"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
	"github.com/trustkeep/trustkeep/pgp/internal/symmetric"
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

// Encryption configures encrypting, and its methods encrypt. At least one
// recipient or password is needed. It is safe for concurrent use.
type Encryption struct {
	// Options are the clock, the randomness and the weaknesses to accept.
	Options Options
	// To are the recipients, named in the message by key ID.
	To []*Key
	// ToHidden are recipients that the message does not name. They have to
	// try each of their keys.
	ToHidden []*Key
	// Passwords each open the message as well. They must not be nil or empty.
	Passwords []trustkeep.PasswordSource
	// Signers sign the content; they must be unlocked or elsewhere.
	Signers []*Key
	// Hash, Lifetime, Notations and Text are as in Signing.
	Hash      crypto.Hash
	Lifetime  time.Duration
	Notations []Notation
	Text      bool
	// AllSubkeys encrypts to every subkey of each recipient that may encrypt, and not
	// only to the newest, for recipients with subkeys on several devices.
	AllSubkeys bool
	// Armor writes text instead of binary.
	Armor bool
	// Cipher is used if all recipients' keys state it, else the strongest that they all
	// state, as with zero. For passwords alone, zero is AES-256.
	Cipher Cipher
	// Compression is used if all recipients' keys state it.
	Compression Compression
	// AEAD uses the encryption of RFC 9580 (version 2 of the packet) for
	// messages to passwords alone. With recipients, their keys decide: it is
	// used if all of them state it, with AES-256-GCM where all state that.
	AEAD bool
	// IgnorePreferences uses Cipher (AES-256 if zero), Compression and AEAD as they are
	// set here, whatever the recipients' keys state: for one partner whose software can
	// do less, or more, than their key says.
	IgnorePreferences bool
	// FileName and ModTime go into the message as a hint for the recipient.
	// They are not signed.
	FileName string
	ModTime  time.Time
}

// Encrypt writes src as an encrypted message to dst. If it fails, dst holds an
// incomplete message that cannot be decrypted, or nothing.
//
// The error wraps ErrInvalid for a wrong call: nobody to encrypt to, a nil key, a
// nil or empty password. A key that cannot be used is an error as in
// Key.CanEncrypt and Key.CanSign. In both cases nothing has been written.
func (e Encryption) Encrypt(dst io.Writer, src io.Reader) error {
	out := &compose.Message{Buffered: &overlap.Behind{W: dst}}
	if err := e.begin(out); err != nil {
		return err
	}
	return out.CopyAll(e.Options.watched(src))
}

// EncryptFile is Encrypt into the file at path, which is replaced as a whole when
// the message is complete. A new file gets the permissions 0600.
func (e Encryption) EncryptFile(path string, src io.Reader) error {
	return writeFile(path, func(w io.Writer) error { return e.Encrypt(w, src) })
}

// Writer starts a message to dst and returns the writer for its content. The
// message is complete when Close has returned nil; Close does not close dst.
// Encrypt is faster, because it reads ahead.
func (e Encryption) Writer(dst io.Writer) (io.WriteCloser, error) {
	out := &compose.Message{Buffered: bufio.NewWriterSize(dst, 16<<10)}
	if err := e.begin(out); err != nil {
		return nil, err
	}
	return contentWriter{func() *compose.Message { return out }}, nil
}

// contentWriter is what callers get to see of a compose.Message: nothing prints
// the keys and the content that it holds.
type contentWriter struct{ m func() *compose.Message }

func (c contentWriter) Write(p []byte) (int, error) { return c.m().Write(p) }

func (c contentWriter) Close() error { return c.m().Close() }

func (e Encryption) begin(out *compose.Message) error {
	plan, err := e.plan()
	if err != nil {
		return err
	}
	how, err := howToSign(e.Hash, e.Lifetime, e.Notations)
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
	return classify("encrypt", guard("encrypt", func() error { return e.start(out, plan, signers, how, passwords) }))
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
	if err := door(); err != nil {
		return encryptionPlan{}, err
	}
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
		found, err := k.recipients(e.Options, e.AllSubkeys)
		if err != nil {
			return p, err
		}
		for _, r := range found {
			r.hidden = i >= len(e.To)
			p.recipients = append(p.recipients, r)
		}
	}
	if err := e.Cipher.check(); err != nil {
		return p, err
	}
	p.compression = packet.CompressionAlgo(e.Compression)
	if len(p.recipients) == 0 || e.IgnorePreferences {
		if e.Cipher != 0 {
			p.cipher = packet.CipherFunction(e.Cipher)
			p.suite.Cipher = p.cipher
		}
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
	suites, ciphers := selfsig.PreferredSuites(), selfsig.PreferredCiphers()
	if e.Cipher != 0 {
		slices.SortStableFunc(suites, func(a, b [2]uint8) int { return e.Cipher.first(a[0], b[0]) })
		slices.SortStableFunc(ciphers, e.Cipher.first)
	}
	for _, s := range suites {
		if all(func(sig *packet.Signature) bool { return slices.Contains(sig.PreferredCipherSuites, s) }) {
			p.suite = packet.CipherSuite{Cipher: packet.CipherFunction(s[0]), Mode: packet.AEADMode(s[1])}
			break
		}
	}
	p.cipher = packet.CipherAES128
	for _, c := range ciphers {
		if all(func(s *packet.Signature) bool { return slices.Contains(s.PreferredSymmetric, c) }) {
			p.cipher = packet.CipherFunction(c)
			break
		}
	}
	return p, nil
}

// start writes everything before the content.
func (e Encryption) start(out *compose.Message, plan encryptionPlan, signers []*packet.PrivateKey, how compose.How, passwords [][]byte) error {
	pc := e.Options.packetConfig(e.Options.now())
	pc.DefaultCipher = plan.cipher
	pc.S2KConfig = e.Options.iterated()
	if plan.aead {
		pc.DefaultCipher = plan.suite.Cipher
		pc.AEADConfig = &packet.AEADConfig{DefaultMode: plan.suite.Mode, ChunkSize: overlap.ChunkSize}
		pc.S2KConfig = e.Options.argon2()
	}
	var w io.Writer = out.Buffered
	if e.Armor {
		a, err := armor.NewWriter(w, armor.BlockMessage, armor.Checksum(!plan.aead))
		if err != nil {
			return err
		}
		out.Push(a)
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
		container, err = symmetric.NewMDCWriter(w, session, e.Options.rand())
	}
	if err != nil {
		return err
	}
	out.Push(container)
	w = container
	if plan.compression != packet.CompressionNone {
		c, err := packet.SerializeCompressed(compose.KeepOpen{Writer: w}, plan.compression, nil)
		if err != nil {
			return err
		}
		out.Push(c)
		w = c
	}
	var intended []*packet.Recipient
	named := make(map[string]bool)
	if !slices.ContainsFunc(plan.recipients, func(r recipient) bool { return r.hidden }) {
		// A list without the hidden ones would make the signature worthless to them
		// (RFC 9580 section 5.2.3.36), one with them would name them.
		for _, r := range plan.recipients {
			if fp := r.entity.PrimaryKey.Fingerprint; !named[string(fp)] {
				named[string(fp)] = true
				intended = append(intended, &packet.Recipient{KeyVersion: r.entity.PrimaryKey.Version, Fingerprint: fp})
			}
		}
	}
	return out.Content(w, signers, compose.Hints{Name: e.FileName, ModTime: e.ModTime, Text: e.Text}, intended, how, pc)
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
