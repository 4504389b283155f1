package revocation

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha1" // of the names in requests and responses, RFC 6960 section 4.1.1
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

// ocspAnswer reads a response. The error is nil for a good one, wraps
// trustkeep.ErrRevoked, or says why it does not count.
func (c *Checker) ocspAnswer(q question, der []byte) error {
	_, err := c.readResponse(q, der)
	return err
}

// readResponse is ocspAnswer that also tells for how long the response counts.
func (c *Checker) readResponse(q question, der []byte) (until time.Time, err error) {
	if len(der) > maxResponse {
		return until, fmt.Errorf("OCSP response of %d bytes", len(der))
	}
	r, err := parseResponse(der, q)
	if err != nil {
		return until, fmt.Errorf("OCSP: %w", err)
	}
	until, err = c.fresh(r.ThisUpdate, r.NextUpdate, q.at)
	if err != nil {
		return until, fmt.Errorf("OCSP response %w", err)
	}
	if r.Certificate != nil && !bytes.Equal(r.Certificate.Raw, q.issuer.Raw) {
		if err := mayRespond(r.Certificate, q.at); err != nil {
			return time.Time{}, err
		}
	}
	switch r.Status {
	case ocsp.Good:
		return until, nil
	case ocsp.Revoked:
		return until, revoked(r.RevokedAt, r.RevocationReason, "an OCSP response")
	}
	return until, errors.New("the OCSP responder does not know the certificate")
}

// parseResponse checks the signature of a response and that it is about the
// certificate in question.
func parseResponse(der []byte, q question) (*ocsp.Response, error) {
	r, err := ocsp.ParseResponseForCert(der, q.cert, nil)
	if err != nil {
		return nil, err
	}
	// With a certificate in the response, the package has checked that it
	// made the signature, and leaves to us who it is.
	switch {
	case r.Certificate == nil:
		err = r.CheckSignatureFrom(q.issuer)
	case bytes.Equal(r.Certificate.Raw, q.issuer.Raw):
	default:
		err = q.issuer.CheckSignature(r.Certificate.SignatureAlgorithm, r.Certificate.RawTBSCertificate, r.Certificate.Signature)
	}
	if err != nil {
		return nil, fmt.Errorf("response is not signed by the issuer or for it: %w", err)
	}
	return r, sameIssuer(r, q)
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
func sameIssuer(r *ocsp.Response, q question) error {
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
		if single.ID.Serial == nil || single.ID.Serial.Cmp(q.cert.SerialNumber) != 0 {
			continue
		}
		// The first of that number is the one that was parsed.
		h := r.IssuerHash.New()
		h.Write(q.cert.RawIssuer)
		name := h.Sum(nil)
		h.Reset()
		key, err := publicKeyBits(q.issuer)
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

// mayRespond checks a delegated responder (RFC 6960 section 4.2.2.2): without the
// extended key usage, every certificate of the issuer, the revoked one included,
// could vouch for itself. Its own revocation is not asked for, as with the
// extension id-pkix-ocsp-nocheck.
func mayRespond(responder *x509.Certificate, at time.Time) error {
	if !slices.Contains(responder.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return errors.New("OCSP response is signed by a certificate that must not do so")
	}
	if at.Before(responder.NotBefore) || at.After(responder.NotAfter) {
		return errors.New("the certificate of the OCSP responder is not valid now")
	}
	return nil
}

// askResponder sends a request, or takes the answer that is kept.
func (c *Checker) askResponder(ctx context.Context, q question, url string) error {
	request, err := ocsp.CreateRequest(q.cert, q.issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		return fmt.Errorf("OCSP request: %w", err)
	}
	key := "ocsp " + url + " " + string(request)
	kept, err := c.cache.get(ctx, key, func(ctx context.Context) (*kept, error) {
		der, err := c.o.FetchOCSP(ctx, url, request)
		if err != nil {
			return nil, fmt.Errorf("OCSP: %w", err)
		}
		// Judged once here, so that an answer that does not count is not
		// kept in the place of one that does.
		until, err := c.readResponse(q, der)
		if until.IsZero() {
			return nil, err
		}
		return &kept{ocsp: bytes.Clone(der), size: int64(len(der)), until: until}, nil
	})
	if err != nil {
		return err
	}
	return c.ocspAnswer(q, kept.ocsp)
}

// fresh reports until when something of that validity counts.
func (c *Checker) fresh(thisUpdate, nextUpdate, at time.Time) (until time.Time, err error) {
	maxAge := c.o.MaxAge
	if maxAge == 0 {
		maxAge = 24 * time.Hour
	}
	until = thisUpdate.Add(maxAge)
	if !nextUpdate.IsZero() && (c.o.MaxAge == 0 || nextUpdate.Before(until)) {
		until = nextUpdate
	}
	switch {
	case at.Before(thisUpdate.Add(-c.o.Skew)):
		return time.Time{}, fmt.Errorf("is not valid before %s", thisUpdate.UTC().Format(time.RFC3339))
	case at.After(until.Add(c.o.Skew)):
		return time.Time{}, fmt.Errorf("is stale since %s", until.UTC().Format(time.RFC3339))
	}
	return until, nil
}
