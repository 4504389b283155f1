package cms

import (
	"crypto/hmac"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/truststore"
)

// tokens returns the time stamps among the unsigned attributes.
func (s *signerInfo) tokens() (out [][]byte, err error) {
	if s.unsigned == nil {
		return nil, nil
	}
	in, err := s.unsigned.Children()
	if err != nil {
		return nil, err
	}
	for !in.Empty() {
		e, err := in.Read(ber.Sequence)
		if err != nil {
			return nil, err
		}
		a, err := readAttribute(e)
		if err != nil {
			return nil, err
		}
		if a.id == oidTimeStampToken {
			out = append(out, a.values...)
		}
		if len(out) > maxTimeStamps {
			return nil, fmt.Errorf("more than %d time stamps: %w", maxTimeStamps, trustkeep.ErrLimit)
		}
	}
	return out, nil
}

// isStamped reports whether there is a time stamp, whatever it is worth.
func (s *signerInfo) isStamped() bool {
	tokens, err := s.tokens()
	return err == nil && len(tokens) > 0
}

// timeStamp returns the earliest of the time stamps of a signature that count. Without one,
// the error says why the first does not; it is nil where there is none at all.
func (v *verifier) timeStamp(info *signerInfo) (*TimeStamp, error) {
	tokens, err := info.tokens()
	if err != nil {
		return nil, err
	}
	var best *TimeStamp
	var first error
	for _, der := range tokens {
		t, err := v.verifyToken(der, info.signature)
		switch {
		case err == nil && (best == nil || t.Time.Before(best.Time)):
			best = t
		case err != nil && first == nil:
			first = err
		}
	}
	if best != nil {
		return best, nil
	}
	return nil, first
}

// maxAhead is by how much the clock of a time-stamp authority may be ahead of ours.
const maxAhead = 5 * time.Minute

// verifyToken decides whether a time stamp counts for a signature.
func (v *verifier) verifyToken(der, signature []byte) (*TimeStamp, error) {
	// The authority's certificate may have been left out, since certReq asks for it.
	others := slices.Concat(v.o.Certificates, v.certificates, slices.Collect(v.stamps.All()))
	t, err := openToken(der, VerifyOptions{Certificates: others, AllowSHA1: v.o.AllowSHA1, Limits: v.o.Limits})
	if err != nil {
		return nil, err
	}
	if err := fips.Hash(t.hash.hash); err != nil {
		return nil, err
	}
	d := t.hash.hash.New()
	d.Write(signature)
	if !hmac.Equal(d.Sum(nil), t.imprint) {
		return nil, corrupt("time stamp of another signature")
	}
	if t.time.After(v.now.Add(maxAhead)) {
		return nil, corrupt("time stamp of the future, " + t.time.Format(time.RFC3339))
	}
	c, err := t.authority(&v.stampAttempts)
	if err != nil {
		return nil, err
	}
	sent := append(slices.Clone(t.v.certificates), v.certificates...)
	verdict, err := v.judge(v.stamps, c, sent, truststore.VerifyOptions{Purpose: truststore.Any, Time: t.time})
	if err != nil {
		return nil, fmt.Errorf("its authority: %w", err)
	}
	// crypto/x509 was not asked about the usage; what an issuer's certificate excludes stays
	// excluded.
	for _, issuer := range verdict.Chain[1:] {
		if len(issuer.ExtKeyUsage)+len(issuer.UnknownExtKeyUsage) > 0 &&
			!slices.Contains(issuer.ExtKeyUsage, x509.ExtKeyUsageTimeStamping) && !slices.Contains(issuer.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return nil, unsupported("its authority is issued by " + quoted(issuer) + ", whose extended key usage excludes timeStamping")
		}
	}
	return &TimeStamp{
		Time: t.time, Accuracy: t.accuracy, Policy: t.policy.String(), Serial: t.serial, Hash: t.hash.hash,
		Certificate: c, Verdict: verdict,
	}, nil
}
