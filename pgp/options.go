package pgp

import (
	"crypto"
	"crypto/rand"
	"io"
	"math"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// defaultSkew is how far a partner's clock may run ahead of ours.
const defaultSkew = 5 * time.Minute

// Options holds what every operation needs besides its subject. The zero value
// is ready to use. It is safe for concurrent use as long as Clock and Rand are.
type Options struct {
	// Clock tells the time. If nil, time.Now is used. Set it to judge an old
	// message as of its own day.
	Clock func() time.Time
	// Rand is the source of randomness. If nil, crypto/rand is used. Since Go
	// 1.26 the standard library generates keys from its own source whatever is
	// set here.
	Rand io.Reader
	// Limits bounds what an input may cost. MaxSize applies to keys, not to
	// messages, which are streamed.
	Limits trustkeep.Limits
	// Allow lists the weaknesses to accept. The zero value is Strict: none.
	Allow Relaxations
	// ClockSkew is how far in the future keys and signatures may lie. Zero
	// means five minutes; negative means none.
	ClockSkew time.Duration
	// Progress is called while content is encrypted, decrypted, signed or verified,
	// with the number of bytes that have been read of the input. Its error ends the
	// operation and is what that returns (io.EOF as io.ErrUnexpectedEOF): return the Err of a context to heed it. It is
	// called by one goroutine at a time, not always the caller's.
	Progress func(read int64) error
}

func (o Options) now() time.Time {
	if o.Clock == nil {
		return time.Now().Truncate(time.Second)
	}
	return o.Clock().Truncate(time.Second)
}

func (o Options) skew() time.Duration {
	switch {
	case o.ClockSkew == 0:
		return defaultSkew
	case o.ClockSkew < 0:
		return 0
	}
	return o.ClockSkew
}

func (o Options) rand() io.Reader {
	if o.Rand == nil {
		return rand.Reader
	}
	return o.Rand
}

func (o Options) budget() *limits.Budget { return limits.New(o.Limits) }

// packetConfig is the configuration of go-crypto that expresses o at the time
// given. The maps must not be nil: nil stands for go-crypto's own defaults.
func (o Options) packetConfig(at time.Time) *packet.Config {
	p := &packet.Config{
		Time:                                func() time.Time { return at },
		Rand:                                o.rand(),
		DefaultCipher:                       packet.CipherAES256,
		DefaultHash:                         crypto.SHA256,
		MinRSABits:                          2047, // GnuPG may make a modulus of 2047 bits when asked for 2048
		RejectHashAlgorithms:                map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true},
		RejectMessageHashAlgorithms:         map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true},
		RejectPublicKeyAlgorithms:           map[packet.PublicKeyAlgorithm]bool{},
		RejectCurves:                        map[packet.Curve]bool{packet.CurveSecP256k1: true},
		InsecureAllowAllKeyFlagsWhenMissing: o.Allow.allows(LegacyNoKeyFlags),
	}
	if !o.Allow.allows(LegacySHA1SelfSignatures) {
		p.RejectHashAlgorithms[crypto.SHA1] = true
	}
	if !o.Allow.allows(LegacySHA1Signatures) {
		p.RejectMessageHashAlgorithms[crypto.SHA1] = true
	}
	if !o.Allow.allows(LegacyDSAElGamal) {
		p.RejectPublicKeyAlgorithms[packet.PubKeyAlgoDSA] = true
		p.RejectPublicKeyAlgorithms[packet.PubKeyAlgoElGamal] = true
	}
	if o.Allow.allows(LegacyRSA1024) {
		p.MinRSABits = 1023
	}
	if o.Allow.allows(LegacySecp256k1) {
		delete(p.RejectCurves, packet.CurveSecP256k1)
	}
	return p
}

// lifetimeSeconds is the time from created to expires as OpenPGP stores it;
// zero for a zero expires.
func lifetimeSeconds(created, expires time.Time) (uint32, error) {
	if expires.IsZero() {
		return 0, nil
	}
	s := expires.Unix() - created.Unix()
	if s <= 0 {
		return 0, fail(trustkeep.ErrInvalid, "expiry %s is not after creation", expires.UTC().Format(time.DateTime))
	}
	if s > math.MaxUint32 {
		return 0, fail(trustkeep.ErrUnsupported, "expiry %s is more than 136 years after creation", expires.UTC().Format(time.DateTime))
	}
	return uint32(s), nil
}
