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

// Config is what every operation needs besides its subject. The zero value is
// ready to use, and where a pointer is taken, nil stands for it.
type Config struct {
	// Time is the clock. Nil means time.Now. Set it to judge an old message
	// as of its own day.
	Time func() time.Time
	// Rand is the source of randomness. Nil means crypto/rand. Since Go 1.26
	// the standard library's key generation uses its own source whatever is
	// set here.
	Rand io.Reader
	// Limits bounds what an input may cost. MaxSize applies to keys, not to
	// messages, which are streamed.
	Limits trustkeep.Limits
	// Policy is Strict unless set.
	Policy Policy
	// ClockSkew is by how much keys and signatures may lie in the future.
	// Zero means five minutes; negative means none.
	ClockSkew time.Duration
}

// config returns *c, or the zero Config for nil.
func config(c *Config) Config {
	if c == nil {
		return Config{}
	}
	return *c
}

func (c Config) now() time.Time {
	if c.Time == nil {
		return time.Now().Truncate(time.Second)
	}
	return c.Time().Truncate(time.Second)
}

func (c Config) skew() time.Duration {
	switch {
	case c.ClockSkew == 0:
		return defaultSkew
	case c.ClockSkew < 0:
		return 0
	}
	return c.ClockSkew
}

func (c Config) rand() io.Reader {
	if c.Rand == nil {
		return rand.Reader
	}
	return c.Rand
}

func (c Config) budget() *limits.Budget { return limits.New(c.Limits) }

// packetConfig is the configuration of go-crypto that expresses c at the time
// given. The maps must not be nil: nil stands for go-crypto's own defaults.
func (c Config) packetConfig(at time.Time) *packet.Config {
	p := &packet.Config{
		Time:                                func() time.Time { return at },
		Rand:                                c.rand(),
		DefaultCipher:                       packet.CipherAES256,
		DefaultHash:                         crypto.SHA256,
		MinRSABits:                          2047, // GnuPG may make a modulus of 2047 bits when asked for 2048
		RejectHashAlgorithms:                map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true},
		RejectMessageHashAlgorithms:         map[crypto.Hash]bool{crypto.MD5: true, crypto.RIPEMD160: true},
		RejectPublicKeyAlgorithms:           map[packet.PublicKeyAlgorithm]bool{},
		RejectCurves:                        map[packet.Curve]bool{packet.CurveSecP256k1: true},
		InsecureAllowAllKeyFlagsWhenMissing: c.Policy.Allows(LegacyNoKeyFlags),
	}
	if !c.Policy.Allows(LegacySHA1SelfSignatures) {
		p.RejectHashAlgorithms[crypto.SHA1] = true
	}
	if !c.Policy.Allows(LegacySHA1Signatures) {
		p.RejectMessageHashAlgorithms[crypto.SHA1] = true
	}
	if !c.Policy.Allows(LegacyDSAElGamal) {
		p.RejectPublicKeyAlgorithms[packet.PubKeyAlgoDSA] = true
		p.RejectPublicKeyAlgorithms[packet.PubKeyAlgoElGamal] = true
	}
	if c.Policy.Allows(LegacyRSA1024) {
		p.MinRSABits = 1023
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
		return 0, fail(trustkeep.ErrExpired, "expiry %s is not after creation", expires.UTC().Format(time.DateTime))
	}
	if s > math.MaxUint32 {
		return 0, fail(trustkeep.ErrUnsupported, "expiry %s is more than 136 years after creation", expires.UTC().Format(time.DateTime))
	}
	return uint32(s), nil
}
