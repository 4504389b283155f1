package symmetric

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/binary"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
	"github.com/trustkeep/trustkeep/pgp/internal/session"
	"golang.org/x/crypto/cast5" //lint:ignore SA1019 what old partners send
)

// Container is an encrypted data packet before its key is known.
type Container struct {
	tag        byte
	Version    byte // of integrity protected data
	Protection string
	body       *grammar.Body
	prefix     []byte // what an attempt has read of the body, for the next one
	aead       *packet.SymmetricallyEncrypted
}

func NewContainer(tag byte, body *grammar.Body) (*Container, error) {
	c := &Container{tag: tag, body: body}
	switch tag {
	case grammar.TagEncrypted:
		return c, nil
	case grammar.TagOCBEd:
		c.Protection = "aead"
		c.rewound() // version, cipher, mode
		if len(c.prefix) > 1 {
			return c, session.CheckCipher(c.prefix[1])
		}
		return c, nil
	}
	version, err := octets(body, 1)
	if err != nil {
		return nil, err
	}
	c.Version = version[0]
	switch c.Version {
	case 1:
		c.Protection = "mdc"
		return c, nil
	case 2: // section 5.13.2
		head, err := octets(body, 3+32)
		if err != nil {
			return nil, err
		}
		c.Protection = "aead"
		c.aead = &packet.SymmetricallyEncrypted{
			Version: 2, IntegrityProtected: true, Cipher: packet.CipherFunction(head[0]),
			Mode: packet.AEADMode(head[1]), ChunkSizeByte: head[2],
		}
		copy(c.aead.Salt[:], head[3:])
		if err := session.CheckCipher(head[0]); err != nil {
			return nil, err
		}
		if !isAES(c.aead.Cipher) || !c.aead.Mode.IsSupported() {
			return nil, fault.New(trustkeep.ErrUnsupported, "AEAD %d with cipher %d", head[1], head[0])
		}
		if c.aead.ChunkSizeByte > 16 { // 4 MiB, the most that the standard allows
			return nil, fault.New(trustkeep.ErrCorrupt, "AEAD chunk size %d", head[2])
		}
		return c, nil
	}
	return nil, fault.New(trustkeep.ErrUnsupported, "integrity protected data of version %d", c.Version)
}

// Cipher is the cipher that the packet names; zero if the session key does.
func (c *Container) Cipher() packet.CipherFunction {
	switch {
	case c.aead != nil:
		return c.aead.Cipher
	case c.tag == grammar.TagOCBEd && len(c.prefix) > 1:
		return packet.CipherFunction(c.prefix[1])
	}
	return 0
}

func isAES(c packet.CipherFunction) bool {
	return c == packet.CipherAES128 || c == packet.CipherAES192 || c == packet.CipherAES256
}

func octets(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// rewound returns a reader of the whole body, whatever attempts have read.
func (c *Container) rewound() io.Reader {
	if c.prefix == nil {
		// Enough for the prefix of CFB and the first tag of an AEAD mode.
		c.prefix = make([]byte, 2*16+2)
		n, _ := overlap.Fill(c.body, c.prefix)
		c.prefix = c.prefix[:n]
	}
	return io.MultiReader(bytes.NewReader(c.prefix), c.body)
}

// Open starts decryption. An error means that the key does not fit. Closing the
// reader, after it has been read to the end, tells whether the content is
// intact.
func (c *Container) Open(algorithm packet.CipherFunction, key []byte, byPassword bool) (io.ReadCloser, error) {
	if c.Version != 2 && c.tag != grammar.TagOCBEd && (!algorithm.IsSupported() || len(key) != algorithm.KeySize()) {
		return nil, errWrongSessionKey
	}
	body := c.rewound()
	switch {
	case c.aead != nil:
		if len(key) != c.aead.Cipher.KeySize() {
			return nil, errWrongSessionKey
		}
		c.aead.Contents = body
		return opened(c.aead.Decrypt(0, key))
	case c.tag == grammar.TagOCBEd:
		p, err := packet.Read(&reframer{tag: grammar.TagOCBEd, r: body})
		if err != nil {
			return nil, err
		}
		return opened(p.(*packet.AEADEncrypted).Decrypt(0, key))
	}
	block, err := newBlock(algorithm, key)
	if err != nil {
		return nil, err
	}
	if c.tag == grammar.TagSEIPD {
		return opened(newMDCReader(body, block, byPassword))
	}
	r, err := newSEDReader(body, block, byPassword)
	return opened(io.NopCloser(r), err)
}

// newBlock makes a cipher of the length of its key.
func newBlock(algorithm packet.CipherFunction, key []byte) (cipher.Block, error) {
	switch algorithm {
	case packet.Cipher3DES:
		return des.NewTripleDESCipher(key)
	case packet.CipherCAST5:
		return cast5.NewCipher(key)
	}
	return aes.NewCipher(key)
}

// opened keeps a typed nil out of the interface.
func opened[R io.ReadCloser](r R, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reframer gives a body the header of a packet again, in partial bodies, for
// packets that only go-crypto's own parser can set up.
type reframer struct {
	tag     byte
	r       io.Reader
	started bool
	ended   bool
	buf     bytes.Buffer
}

func (f *reframer) Read(p []byte) (int, error) {
	if f.buf.Len() == 0 && !f.ended {
		const power = 16
		chunk := make([]byte, 1<<power)
		n, err := overlap.Fill(f.r, chunk)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if !f.started {
			f.buf.WriteByte(0xC0 | f.tag)
			f.started = true
		}
		if err == nil {
			f.buf.WriteByte(224 + power)
		} else {
			f.ended = true
			f.buf.Write(binary.BigEndian.AppendUint32([]byte{255}, uint32(n)))
		}
		f.buf.Write(chunk[:n])
	}
	return f.buf.Read(p)
}
