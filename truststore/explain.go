package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/errtext"
)

// explain makes the error of a refusal. code is set where crypto/x509 was not
// asked; else err is its verdict, nil where only the name is wrong. The price is
// paid by refusals alone.
func (s *Snapshot) explain(code trustkeep.Code, chain []*x509.Certificate, o VerifyOptions, err error) *VerifyError {
	e := &VerifyError{
		Chain: slices.Clone(chain), Purpose: o.Purpose, Name: o.asked(), Time: o.Time,
		Store: s.String(), Generation: s.generation, Err: err,
		asked: o, checks: newChecks(),
	}
	e.asked.Revocation, e.asked.Context = nil, nil
	if code != "" {
		e.Reason = callerReason(code)
		if r, ok := s.beyond(code, chain, o, err); ok {
			e.Reason = r
		}
		if code == CodeNoCertificate && len(chain) > 0 {
			e.Chain, e.Text = nil, "a certificate is nil or does not come from x509.ParseCertificate"
			e.Remedy, e.Err = "", trustkeep.ErrInvalid
		}
		return e
	}
	leaf := chain[0]
	own := leafReasons(leaf, o)
	if s.Contains(leaf) {
		e.path = &path{certs: []*x509.Certificate{leaf}, anchored: true}
		e.setReasons(append(own, s.rest(own, []*x509.Certificate{leaf}, o, err)...), err)
		e.Rules = []Attempt{
			{RuleExact, e.Code, "the peer's own certificate is in the store, but " + e.Text},
		}
		return e
	}
	p := s.follow(chain, o, e.checks)
	e.path = p
	e.MissingIssuer = p.missing
	e.setReasons(append(append(own, p.reasons...), s.rest(append(own, p.reasons...), p.certs, o, err)...), err)
	e.Rules = []Attempt{
		{RuleExact, CodeSelfSigned, s.notExact(leaf)},
		{RuleChain, e.Code, e.Text},
	}
	if !selfIssued(leaf) {
		e.Rules[0].Code = CodeUnknownIssuer
	}
	if len(p.reasons) > 0 {
		e.Rules[1].Code, e.Rules[1].Text = p.reasons[0].Code, p.reasons[0].Text
	} else if p.anchored {
		e.Rules[1].Text = "the chain leads to " + quoteSubject(p.certs[len(p.certs)-1]) + " in the store, but " + e.Text
	}
	return e
}

func (e *VerifyError) setReasons(reasons []Reason, err error) {
	if len(reasons) == 0 {
		e.unexplained = true
		text := "crypto/x509 refused it"
		if err != nil {
			text = errtext.Of(err)
		}
		reasons = []Reason{{CodeRefused, text, ""}}
	}
	e.Reason, e.Also = reasons[0], reasons[1:]
}

// callerReason explains what was wrong before any certificate was looked at.
func callerReason(code trustkeep.Code) Reason {
	r := Reason{Code: code}
	switch code {
	case CodeEmptyStore:
		r.Text = "the trust store is empty, so nobody is trusted"
		r.Remedy = "load a store that has certificates, or add one"
	case CodeNoCertificate:
		r.Text = "the peer sent no certificate"
		r.Remedy = "the peer must be set up to present one"
	case CodeNoName:
		r.Text = "no server name was given, and without it any server that the authorities know would do"
		r.Remedy = "set VerifyOptions.Name to the host name or IP address that was dialled, or URI to what the server is called"
	case CodeWrongName:
		r.Text = "the URI or trust domain that was asked for is none"
		r.Remedy = "set VerifyOptions.URI to a URI with a scheme, TrustDomain to a name such as domain.example, and both for servers and clients only"
	case CodeWrongPolicy:
		r.Text = "the policy cannot be applied"
	case CodeWrongPurpose:
		r.Text = "the purpose is none of server, client, email and any"
	}
	return r
}

// beyond explains what was refused although there is a path.
func (s *Snapshot) beyond(code trustkeep.Code, chain []*x509.Certificate, o VerifyOptions, err error) (Reason, bool) {
	if refused, ok := errors.AsType[*policyError](err); ok {
		return Reason{code, "it is trusted, but the policy refuses it: " + refused.text,
			"have the certificate issued anew without that, or leave the rule " + string(code) + " out of the policy"}, true
	}
	switch code {
	case CodePinMismatch:
		if slices.ContainsFunc(o.Pins, func(p Pin) bool { return p.Fits(chain[0]) }) {
			return Reason{code, "it is trusted and pinned, but the pin is bound to another name than the one asked for",
				"find out why the peer answers under that name, and pin it for that name as well if it may"}, true
		}
		return Reason{code, "it is trusted, but neither it (" + PinCertificate(chain[0]).String() + ") nor its key (" + PinKey(chain[0]).String() + ") is pinned",
			"find out why the peer has changed its certificate, and pin the new one"}, true
	case CodeWrongName:
		r := callerReason(code)
		r.Text += ": " + cut(printable(o.checkNames().Error()), 512)
		return r, true
	case CodeWrongPolicy:
		r := callerReason(code)
		r.Text += ": " + cut(printable(o.Policy.Validate().Error()), 512)
		return r, true
	case CodeFIPS:
		return Reason{code, err.Error(), "the peer needs a certificate with a key that is allowed, from an authority with one"}, true
	case CodeOutOfScope:
		what := o.Purpose.String()
		if o.named() {
			what += ` "` + printable(o.asked()) + `"`
		}
		text := "its chain leads to the store, but to nothing there that counts for the " + what + " now"
		if bound, ok := errors.AsType[*scopeError](err); ok {
			text = "its chain leads to " + bound.anchor + " in the store, which counts only for " + bound.scopes + ", not for the " + what + " now"
		}
		return Reason{code, cut(text, maxErrorText/2),
			"widen the scope of the anchor, or have the certificate issued by another authority"}, true
	case CodeRevoked:
		return Reason{code, cut(printable(err.Error()), 512), "the peer must get another certificate"}, true
	case CodeRevocationUnknown:
		return Reason{code, "whether it was revoked could not be found out: " + cut(printable(err.Error()), 512),
			"supply a list, let the checker fetch one, or have the server staple an answer"}, true
	case CodeRevocationNoIssuer:
		return Reason{code, "it is trusted for itself, and whether it was revoked could not be found out: " + cut(printable(err.Error()), 512),
			"supply the certificate of its issuer beside it, or exempt the certificate from the question"}, true
	}
	if o.Policy.rootsOnly() && code == CodeAnchorNotRoot {
		return Reason{code, "its chain ends in a certificate of the store that is not self-signed, which the policy refuses", "put the root into the store"}, true
	}
	return Reason{}, false
}

// leafReasons returns what is wrong with the peer's own certificate, whoever
// issued it, in the order in which crypto/x509 looks.
func leafReasons(c *x509.Certificate, o VerifyOptions) []Reason {
	var out []Reason
	if len(c.UnhandledCriticalExtensions) > 0 {
		out = append(out, Reason{
			CodeCriticalExtension,
			"it has a critical extension that is not understood (" + certinfo.OID(c.UnhandledCriticalExtensions[0]) + ")",
			"have it issued anew without that extension",
		})
	}
	if r, ok := validity(c, o.Time, "it"); ok {
		out = append(out, r)
	}
	if r, ok := naming(c, o); ok {
		out = append(out, r)
	}
	return out
}

// validity explains what is wrong with the dates of a certificate.
func validity(c *x509.Certificate, now time.Time, what string) (Reason, bool) {
	switch {
	case now.After(c.NotAfter):
		return Reason{
			CodeExpired,
			what + " expired on " + date(c.NotAfter) + ", " + span(now.Sub(c.NotAfter)) + " ago",
			"the peer must renew its certificate",
		}, true
	case now.Before(c.NotBefore):
		return Reason{
			CodeNotYetValid,
			what + " is not valid before " + date(c.NotBefore) + ", " + span(c.NotBefore.Sub(now)) + " from now",
			"check the clock of this machine, which says " + date(now) + ", or wait",
		}, true
	}
	return Reason{}, false
}

// naming explains what is wrong with the names of the peer's certificate.
func naming(c *x509.Certificate, o VerifyOptions) (Reason, bool) {
	if !o.named() {
		return Reason{}, false
	}
	if r, ok := namingURI(c, o); ok {
		return r, true
	}
	if o.Name == "" || o.Purpose == Email && hasAddress(c, o.Name) || o.Purpose != Email && hostFits(c, o.Name) {
		return Reason{}, false
	}
	name := `"` + printable(o.Name) + `"`
	if o.commonNameFits(c) {
		return Reason{
			CodeCommonNameOnly,
			"it names " + name + " only as common name, which no longer counts",
			"have it issued anew with the subject alternative name " + name,
		}, true
	}
	names, n := altNames(c, o.Purpose)
	if n == 0 {
		kind := "host"
		if o.Purpose == Email {
			kind = "e-mail address"
		}
		return Reason{
			CodeNameMismatch,
			"it names no " + kind + " at all, so not " + name + " either",
			"have it issued anew with the subject alternative name " + name,
		}, true
	}
	return Reason{
		CodeNameMismatch,
		"it is made out to " + listNames(names, n) + ", not to " + name,
		"ask for the peer by one of these names, or have the certificate issued anew for " + name,
	}, true
}

// namingURI explains what is wrong with the URIs of the peer's certificate.
func namingURI(c *x509.Certificate, o VerifyOptions) (Reason, bool) {
	if o.urisFit(c) {
		return Reason{}, false
	}
	want := `the URI "` + printable(o.URI) + `"`
	var have []string // the first of them
	for uri := range rawURIs(c) {
		if have = append(have, uri); len(have) == maxNames {
			break
		}
	}
	if o.TrustDomain != "" && (o.URI == "" || slices.Contains(have, o.URI)) {
		want = `one SPIFFE ID of "` + printable(o.TrustDomain) + `"`
	}
	text := "it has no URI, so not " + want + " either"
	switch {
	case len(have) > 1 && (o.TrustDomain != "" || strings.HasPrefix(o.URI, spiffe)):
		text = "it has " + count(len(c.URIs), "URI") + ", and a SPIFFE ID must be the only one"
	case len(have) > 0 && (o.TrustDomain != "" || strings.HasPrefix(o.URI, spiffe)) && mayIssue(c):
		text = "it may issue certificates, and a SPIFFE ID is that of a certificate that may not"
	case len(have) > 0:
		text = "it is made out to " + listNames(have, len(c.URIs)) + " and not to " + want
	}
	return Reason{CodeNameMismatch, text, "ask for the peer by the URI that it has, or have the certificate issued anew with " + want}, true
}

// rest explains what crypto/x509 only looks at once a path is complete: usages,
// name constraints, policies. known are the reasons found so far.
func (s *Snapshot) rest(known []Reason, certs []*x509.Certificate, o VerifyOptions, err error) []Reason {
	out := usageReasons(certs, o.Purpose)
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return out
	}
	switch invalid.Reason {
	case x509.CANotAuthorizedForThisName, x509.UnconstrainedName, x509.NameConstraintsWithoutSANs:
		out = append(out, Reason{
			CodeNameConstraint,
			"an authority in its chain must not issue for its names: " + printable(invalid.Detail),
			"the peer needs a certificate from an authority that may issue for its names",
		})
	case x509.NoValidChains:
		if len(known)+len(out) == 0 {
			out = append(out, Reason{CodeRefused, "no chain satisfies the policies of its authorities: " + printable(invalid.Detail), ""})
		}
	case x509.NotAuthorizedToSign:
		if len(known)+len(out) == 0 {
			out = append(out, Reason{CodeNotAuthority, "a certificate in its chain is no authority", ""})
		}
	case x509.TooManyIntermediates:
		if len(known)+len(out) == 0 {
			out = append(out, Reason{CodePathTooLong, "its chain is longer than an authority in it allows", ""})
		}
	}
	return out
}

// usageReasons finds the certificates whose extended key usages exclude the
// purpose; crypto/x509 wants it of the authorities too, where they have any.
func usageReasons(certs []*x509.Certificate, p Purpose) []Reason {
	want, _ := p.usage()
	if want == x509.ExtKeyUsageAny {
		return nil
	}
	var out []Reason
	for i, c := range certs {
		if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 ||
			slices.Contains(c.ExtKeyUsage, want) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
			continue
		}
		what, remedy := "it", "have it issued anew with the extended key usage "+certinfo.UsageName(want)
		if i > 0 {
			what, remedy = "the authority "+quoteSubject(c), "the peer needs a certificate from an authority that may issue for that"
		}
		out = append(out, Reason{CodeWrongUsage, what + " is only for " + usages(c) + ", not for " + certinfo.UsageName(want), remedy})
	}
	return out
}

// notExact says that the store lacks the peer's own certificate, and what it
// has instead.
func (s *Snapshot) notExact(leaf *x509.Certificate) string {
	const text = "the store does not hold the peer's own certificate"
	namesakes := s.named(leaf.RawSubject)
	if len(namesakes) == 0 {
		return text
	}
	c, key := namesakes[0], "with another key"
	if bytes.Equal(c.RawSubjectPublicKeyInfo, leaf.RawSubjectPublicKeyInfo) {
		key = "with the same key"
	}
	return text + "; it holds one for the same subject " + key + ", valid until " + date(c.NotAfter) + ", so the peer may have changed its certificate"
}

func hexID(id []byte) string { return cut(hex.EncodeToString(id[:min(len(id), maxName)]), maxName) }
