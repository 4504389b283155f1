package revocation

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha1" // of the names in responses, RFC 6960 section 4.1.1
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// maxResponse is more than any honest response to a question about one
// certificate.
const maxResponse = 256 << 10

var tlsFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

// mustStaple reports whether the certificate promises that its server staples
// (RFC 7633: feature status_request, number 5).
func mustStaple(cert *x509.Certificate) bool {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(tlsFeature) {
			continue
		}
		var features []int
		rest, err := asn1.Unmarshal(e.Value, &features)
		return err != nil || len(rest) > 0 || slices.Contains(features, 5)
	}
	return false
}

// readResponse reads a response that is about the certificate, and checks who has signed it.
// Whether it counts depends on the time, and is for judgeResponse to say.
func readResponse(cert, issuer *x509.Certificate, der []byte) (*ocsp.Response, error) {
	if len(der) > maxResponse {
		return nil, fmt.Errorf("OCSP response of %d bytes", len(der))
	}
	if err := bounded(der); err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	r, err := ocsp.ParseResponseForCert(der, cert, nil)
	if err == nil {
		err = signedFor(r, issuer)
	}
	if err == nil {
		err = sameIssuer(r, cert, issuer)
	}
	if err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	return r, nil
}

// bounded refuses a response whose own certificate has a key that takes long to compute
// with. Anybody can make one, and golang.org/x/crypto/ocsp checks the signature of a response by
// the certificate in it before it can be known whose that is.
func bounded(der []byte) error {
	var outer struct {
		Status   asn1.Enumerated
		Response struct {
			Type asn1.ObjectIdentifier
			DER  []byte
		} `asn1:"explicit,tag:0,optional"`
	}
	var basic struct {
		Data         asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	if _, err := asn1.Unmarshal(der, &outer); err != nil || len(outer.Response.DER) == 0 {
		return nil // for the package to refuse
	}
	if _, err := asn1.Unmarshal(outer.Response.DER, &basic); err != nil {
		return nil
	}
	most := trustkeep.Limits{}.WithDefaults().MaxKeyBits
	for _, raw := range basic.Certificates {
		c, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			continue
		}
		if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > most {
			return fmt.Errorf("response is signed by a key of more than %d bits: %w", most, trustkeep.ErrLimit)
		}
	}
	return nil
}

// signedFor checks that the issuer has signed a response, or one that it has delegated that to
// (RFC 6960 section 4.2.2.2): without the extended key usage, every certificate of the issuer,
// the revoked one included, could vouch for itself. A delegate's own revocation is not asked
// for, as with the extension id-pkix-ocsp-nocheck.
func signedFor(r *ocsp.Response, issuer *x509.Certificate) error {
	// With a certificate in the response, the package has checked that it
	// made the signature, and leaves to us who it is.
	var err error
	switch {
	case r.Certificate == nil:
		err = r.CheckSignatureFrom(issuer)
	case bytes.Equal(r.Certificate.Raw, issuer.Raw):
	default:
		err = issuer.CheckSignature(r.Certificate.SignatureAlgorithm, r.Certificate.RawTBSCertificate, r.Certificate.Signature)
		if err == nil && !slices.Contains(r.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
			return errors.New("response is signed by a certificate that must not do so")
		}
	}
	if err != nil {
		return fmt.Errorf("response is not signed by the issuer or for it: %w", err)
	}
	return nil
}

// judgeResponse says what a response that readResponse has read means for a certificate. Like
// those of lists, revocations that are not undone outlive the response.
func (c *Checker) judgeResponse(q question, r *ocsp.Response) (v finding) {
	bad := revoked(r.RevokedAt, r.RevocationReason, "an OCSP response")
	if r.Status == ocsp.Revoked && final(r.RevocationReason) && !r.RevokedAt.After(q.at.Add(c.o.Skew)) {
		v.revoked = bad
		return v
	}
	if _, err := c.fresh(r.ThisUpdate, r.NextUpdate, q.at); err != nil {
		v.because(fmt.Errorf("OCSP response %w", err))
		return v
	}
	switch r.Status {
	case ocsp.Revoked:
		if final(r.RevocationReason) {
			v.revoked = bad
		} else {
			v.onHold, v.lasting = bad, true
		}
	case ocsp.Good:
		if d := r.Certificate; d != nil && !bytes.Equal(d.Raw, q.issuer.Raw) && (q.at.Before(d.NotBefore) || q.at.After(d.NotAfter)) {
			v.because(errors.New("the certificate of the OCSP responder is not valid now"))
			return v
		}
		v.good = true
	default:
		v.because(errors.New("the OCSP responder does not know the certificate"))
	}
	return v
}

// certID is CertID of RFC 6960 section 4.1.1.
type certID struct {
	Hash           pkix.AlgorithmIdentifier
	IssuerNameHash []byte
	IssuerKeyHash  []byte
	Serial         *big.Int
}

// sameIssuer looks at the hashes of the issuer beside the serial number, which
// golang.org/x/crypto/ocsp does not compare: one responder may speak for several
// authorities, which number their certificates alike.
func sameIssuer(r *ocsp.Response, cert, issuer *x509.Certificate) error {
	var data struct {
		Version    int `asn1:"optional,default:0,explicit,tag:0"`
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []struct {
			ID   certID
			Rest asn1.RawValue // the status
			// What follows is of no interest here.
			ThisUpdate time.Time        `asn1:"generalized"`
			NextUpdate time.Time        `asn1:"generalized,explicit,tag:0,optional"`
			Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
		}
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	if _, err := asn1.Unmarshal(r.TBSResponseData, &data); err != nil {
		return fmt.Errorf("response: %w", err)
	}
	for _, single := range data.Responses {
		if single.ID.Serial == nil || single.ID.Serial.Cmp(cert.SerialNumber) != 0 {
			continue
		}
		// The first of that number is the one that was parsed.
		if err := fips.Hash(r.IssuerHash); err != nil {
			return err
		}
		h := r.IssuerHash.New()
		h.Write(cert.RawIssuer)
		name := h.Sum(nil)
		h.Reset()
		key, err := publicKeyBits(issuer)
		if err != nil {
			return err
		}
		h.Write(key)
		if bytes.Equal(name, single.ID.IssuerNameHash) && bytes.Equal(h.Sum(nil), single.ID.IssuerKeyHash) {
			return nil
		}
		break
	}
	return errors.New("response is about a certificate of another issuer")
}

// publicKeyBits are the octets of the BIT STRING, without the algorithm.
func publicKeyBits(cert *x509.Certificate) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, fmt.Errorf("public key of the issuer: %w", err)
	}
	return info.Key.RightAlign(), nil
}

// requestHash names the issuer in requests. SHA-1, which RFC 5019 asked for, is not approved
// in FIPS mode.
const requestHash = crypto.SHA256

// fetchResponse asks a responder. One that knows certificates by SHA-1 alone, as RFC 5019 had
// it, refuses the question, and is asked once more by that, except under fips140=only.
func fetchResponse(fetch func(request []byte) ([]byte, error), cert, issuer *x509.Certificate) (*ocsp.Response, error) {
	ask := func(h crypto.Hash) (*ocsp.Response, error) {
		if err := fips.Hash(h); err != nil {
			return nil, fmt.Errorf("OCSP request: %w", err)
		}
		request, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: h})
		if err != nil {
			return nil, fmt.Errorf("OCSP request: %w", err)
		}
		der, err := fetch(request)
		if err != nil {
			return nil, fmt.Errorf("OCSP: %w", err)
		}
		return readResponse(cert, issuer, bytes.Clone(der))
	}
	r, err := ask(requestHash)
	if refused, ok := errors.AsType[ocsp.ResponseError](err); ok && !fips.Enforced() &&
		(refused.Status == ocsp.Unauthorized || refused.Status == ocsp.Malformed) {
		return ask(crypto.SHA1)
	}
	return r, err
}

// fresh reports until when something of that validity counts.
func (c *Checker) fresh(thisUpdate, nextUpdate, at time.Time) (until time.Time, err error) {
	return validity{c.o.MaxAge, c.o.Skew}.of(thisUpdate, nextUpdate, at)
}

// validity is for how long answers count: Options.MaxAge and Options.Skew.
type validity struct{ maxAge, skew time.Duration }

func (v validity) of(thisUpdate, nextUpdate, at time.Time) (until time.Time, err error) {
	maxAge := v.maxAge
	if maxAge == 0 {
		maxAge = 24 * time.Hour
	}
	until = thisUpdate.Add(maxAge)
	if !nextUpdate.IsZero() && (v.maxAge == 0 || nextUpdate.Before(until)) {
		until = nextUpdate
	}
	switch {
	case at.Before(thisUpdate.Add(-v.skew)):
		return time.Time{}, notBefore(thisUpdate)
	case at.After(until.Add(v.skew)):
		return time.Time{}, fmt.Errorf("is stale since %s", until.UTC().Format(time.RFC3339))
	}
	return until, nil
}

func notBefore(t time.Time) error {
	return fmt.Errorf("is not valid before %s", t.UTC().Format(time.RFC3339))
}
