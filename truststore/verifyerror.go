package truststore

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
)

// The codes of a VerifyError. The first group are mistakes of the caller or the store, the
// others speak about the peer's certificates.
const (
	CodeEmptyStore    trustkeep.Code = "empty-store"    // the store trusts nobody
	CodeNoCertificate trustkeep.Code = "no-certificate" // the peer sent none
	CodeNoName        trustkeep.Code = "no-name"        // no name given for a server
	CodeWrongPurpose  trustkeep.Code = "wrong-purpose"  // Purpose out of range
	CodeWrongName     trustkeep.Code = "wrong-name"     // URI or TrustDomain is none, or not for that Purpose
	CodeWrongPolicy   trustkeep.Code = "wrong-policy"   // Policy names a rule or key that does not exist

	CodeExpired           trustkeep.Code = "expired"            // a certificate is no longer valid
	CodeNotYetValid       trustkeep.Code = "not-yet-valid"      // a certificate is not valid yet
	CodeNameMismatch      trustkeep.Code = "name-mismatch"      // made out to other names
	CodeCommonNameOnly    trustkeep.Code = "common-name-only"   // named in the subject only
	CodeWrongUsage        trustkeep.Code = "wrong-usage"        // extended key usage excludes the purpose
	CodeSelfSigned        trustkeep.Code = "self-signed"        // self-signed and not in the store
	CodeUnknownIssuer     trustkeep.Code = "unknown-issuer"     // chain ends at an authority that is not in the store
	CodeIncompleteChain   trustkeep.Code = "incomplete-chain"   // the issuer was neither sent nor is it in the store
	CodeNotAuthority      trustkeep.Code = "not-an-authority"   // the issuer must not issue
	CodeBadSignature      trustkeep.Code = "bad-signature"      // not signed by the issuer that it names
	CodeWeakSignature     trustkeep.Code = "weak-signature"     // signed with an algorithm that no longer counts
	CodePathTooLong       trustkeep.Code = "path-too-long"      // path length constraint
	CodeNameConstraint    trustkeep.Code = "name-constraint"    // an authority must not issue for this name
	CodeCriticalExtension trustkeep.Code = "critical-extension" // a critical extension that is not understood
	CodeRefused           trustkeep.Code = "refused"            // another verdict of crypto/x509

	// What goes beyond crypto/x509.
	CodePinMismatch       trustkeep.Code = "pin-mismatch"       // neither the certificate nor its key is pinned
	CodeFIPS              trustkeep.Code = "fips"               // a key that FIPS 140-3 mode does not allow
	CodeOutOfScope        trustkeep.Code = "out-of-scope"       // its anchor does not count for this name, purpose or time
	CodeRevoked           trustkeep.Code = "revoked"            // revoked by its issuer
	CodeRevocationUnknown trustkeep.Code = "revocation-unknown" // whether it was revoked could not be found out
	// CodeRevocationNoIssuer: it is trusted for itself, and who could tell whether it was
	// revoked is not known.
	CodeRevocationNoIssuer trustkeep.Code = "revocation-no-issuer"
)

// Reason is one thing that is wrong.
type Reason struct {
	Code   trustkeep.Code `json:"code"`
	Text   string         `json:"text"`             // what is wrong
	Remedy string         `json:"remedy,omitempty"` // what would help
}

// Attempt is a rule that was tried and did not grant trust.
type Attempt struct {
	Rule Rule           `json:"rule"`
	Code trustkeep.Code `json:"code"`
	Text string         `json:"text"`
}

// Issuer describes a certificate that would have completed the chain.
type Issuer struct {
	Subject string `json:"subject"`
	// KeyID is the issuer's key identifier, in hex, where the certificate
	// gives it.
	KeyID string `json:"keyId,omitempty"`
	// URLs are where the certificate says that the issuer's is published
	// (RFC 5280 section 4.2.2.1), at most three.
	URLs []string `json:"urls,omitempty"`
}

// VerifyError explains why a peer is not trusted. Its texts are made for people
// and safe to log: names from certificates are cut and their control characters
// escaped. As an error it is one line of at most 2 KiB.
type VerifyError struct {
	// Reason is the first thing wrong, in the order of crypto/x509: the
	// peer's certificate itself, its name, its chain.
	Reason
	// Also lists what else is wrong and would have to be fixed as well.
	Also []Reason
	// Rules are the rules that were tried.
	Rules []Attempt
	// MissingIssuer is the issuer that was not found. If nil, none is missing.
	MissingIssuer *Issuer
	// Chain is what the peer sent.
	Chain []*x509.Certificate
	// Purpose, Name and Time are what was asked. Name is the URI or, as
	// "spiffe://domain", the trust domain where no other name was asked for.
	Purpose Purpose
	Name    string
	Time    time.Time
	// Store describes what was trusted: "3 certificates".
	Store string
	// Generation of the store's snapshot.
	Generation uint64
	// Err is the error of crypto/x509, nil where it was not asked; that of the
	// RevocationChecker; or trustkeep.ErrInvalid for a chain that was not parsed.
	Err error

	// What AcceptedBy goes on with.
	asked  VerifyOptions
	checks *sigcheck.Budget
	path   *path // nil where none was followed

	unexplained bool // nothing was found but that crypto/x509 refuses it
}

// maxErrorText bounds an error's line, whatever a certificate says.
const maxErrorText = 2048

// Error describes the refusal in one line: whose certificate, what is wrong
// with it and what would help.
func (e *VerifyError) Error() string {
	text := "truststore: " + e.Sentence()
	if e.Remedy != "" {
		text += "; to fix it, " + e.Remedy
	}
	return cut(text, maxErrorText)
}

// Sentence is Error without the package's name and without the remedy, for
// those who report the refusal as part of something else. It is not bounded as
// Error is.
func (e *VerifyError) Sentence() string {
	var b strings.Builder
	if len(e.Chain) > 0 && e.Chain[0] != nil {
		b.WriteString("certificate " + quoteSubject(e.Chain[0]) + " is not trusted: ")
	}
	b.WriteString(e.Text)
	for i, r := range e.Also {
		b.WriteString([]string{"; also, ", "; "}[min(i, 1)] + r.Text)
	}
	return b.String()
}

// Unwrap returns the sentinel of package trustkeep that fits, if any, and the
// error of crypto/x509.
func (e *VerifyError) Unwrap() []error {
	var errs []error
	switch e.Code {
	case CodeExpired, CodeNotYetValid:
		errs = append(errs, trustkeep.ErrExpired)
	case CodeRevoked, CodeRevocationUnknown, CodeRevocationNoIssuer, CodePinMismatch, CodeOutOfScope:
		// For revocation, Err wraps the sentinel.
	case CodeNoCertificate:
		if !errors.Is(e.Err, trustkeep.ErrInvalid) {
			errs = append(errs, trustkeep.ErrEmpty)
		}
	case CodeEmptyStore:
		errs = append(errs, trustkeep.ErrEmpty)
	case CodeNoName, CodeWrongPurpose, CodeWrongName, CodeWrongPolicy:
		errs = append(errs, trustkeep.ErrInvalid)
	case CodeCriticalExtension, CodeWeakSignature, CodeFIPS:
		errs = append(errs, trustkeep.ErrUnsupported)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}

// maxListed bounds the lists in JSON.
const maxListed = 16

// MarshalJSON yields {"code","text","remedy","also","rules","missingIssuer",
// "peer","purpose","name","time","store","generation"}. At most 16 certificates
// of the peer are listed.
func (e *VerifyError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Reason
		Also          []Reason                `json:"also,omitempty"`
		Rules         []Attempt               `json:"rules,omitempty"`
		MissingIssuer *Issuer                 `json:"missingIssuer,omitempty"`
		Peer          []trustkeep.Certificate `json:"peer"`
		Purpose       Purpose                 `json:"purpose"`
		Name          string                  `json:"name,omitempty"`
		Time          time.Time               `json:"time"`
		Store         string                  `json:"store"`
		Generation    uint64                  `json:"generation"`
	}{
		e.Reason, e.Also, e.Rules, e.MissingIssuer, summarizeAll(e.Chain),
		e.Purpose, trustkeep.Printable(e.Name), e.Time, e.Store, e.Generation,
	})
}

// LogValue makes slog print the parts of the error as a group.
func (e *VerifyError) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.String("text", e.Text), slog.String("remedy", e.Remedy)}
	if len(e.Chain) > 0 && e.Chain[0] != nil {
		attrs = append(attrs, slog.String("peer", subject(e.Chain[0])))
	}
	return slog.GroupValue(attrs...)
}
