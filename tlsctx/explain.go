package tlsctx

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/truststore"
)

// Explanation describes what a Builder uses now: trust, identity, versions and policy. Its
// texts are safe to log and hold no secrets.
type Explanation struct {
	Trust TrustReport `json:"trust"`
	// Ignored is trust that is set, or is the default, and does not count.
	Ignored []TrustReport `json:"ignored"`
	// Identity is what is presented; nil if nothing is.
	Identity   *IdentityReport `json:"identity,omitempty"`
	ServerName string          `json:"serverName,omitempty"`
	// ServerURI, ClientURI and TrustDomain are what the peer's certificate must have.
	ServerURI   string     `json:"serverURI,omitempty"`
	ClientURI   string     `json:"clientURI,omitempty"`
	TrustDomain string     `json:"trustDomain,omitempty"`
	ClientAuth  ClientAuth `json:"clientAuth"`
	MinVersion  string     `json:"minVersion"`
	MaxVersion  string     `json:"maxVersion"`
	NextProtos  []string   `json:"nextProtos,omitempty"`
	// Routes are the patterns that choose among identities.
	Routes []string `json:"routes,omitempty"`
	// Policy lists what Builder.Policy refuses.
	Policy []string `json:"policy,omitempty"`
	// Allow, Pins, Revocation and Authorize decide besides the trust.
	Allow      []truststore.Relaxation `json:"allow,omitempty"`
	Pins       []truststore.Pin        `json:"pins,omitempty"`
	Revocation bool                    `json:"revocation,omitempty"`
	Authorize  bool                    `json:"authorize,omitempty"`
	ConcealCAs bool                    `json:"concealCAs,omitempty"`
	// SharedTickets is set if other servers can resume sessions, by Builder.TicketSecret.
	SharedTickets bool `json:"sharedTickets,omitempty"`
	// CipherSuites are those of TLS 1.2 and lower versions, and KeyExchanges those of all;
	// empty for those of crypto/tls.
	CipherSuites []string `json:"cipherSuites,omitempty"`
	KeyExchanges []string `json:"keyExchanges,omitempty"`
	// Warnings say what makes the connections weaker, such as a log of their keys.
	Warnings []string `json:"warnings,omitempty"`
	// Errors are the reasons why building fails.
	Errors []string `json:"errors,omitempty"`
}

// TrustReport describes one source of trust.
type TrustReport struct {
	Origin Origin `json:"origin"`
	// Store describes the content: "3 certificates".
	Store string `json:"store,omitempty"`
	// Anchors is the number of certificates that can be listed.
	Anchors int `json:"anchors"`
	// Platform is set if roots take part that cannot be listed.
	Platform   bool   `json:"platform,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	// Scopes describe the certificates that count within bounds, at most 16: "CN=Partner CA:
	// purposes client".
	Scopes []string `json:"scopes,omitempty"`
	// Why is the reason why it counts or is ignored.
	Why string `json:"why"`
	// Error of the source, empty when it works.
	Error string `json:"error,omitempty"`
	// WouldAccept is set in a HandshakeError if this ignored source would have accepted
	// the peer.
	WouldAccept bool `json:"wouldAccept,omitempty"`
}

// IdentityReport describes the identity that is presented.
type IdentityReport struct {
	trustkeep.Certificate
	// Issuers is how many certificates follow it in the chain that is sent.
	Issuers int `json:"issuers"`
	// Usages are its extended key usages, such as "clientAuth", at most five; empty if
	// it is for all.
	Usages []string `json:"usages,omitempty"`
	// Alternatives are presented instead to peers that cannot verify the first.
	Alternatives []trustkeep.Certificate `json:"alternatives,omitempty"`
	Why          string                  `json:"why"`
	Error        string                  `json:"error,omitempty"`
	// Warning is a reason for which peers may refuse it, such as expiry.
	Warning string `json:"warning,omitempty"`
}

// name of an origin in a sentence.
func (o Origin) name() string {
	switch o {
	case FromTrusted:
		return "the connection's own trust"
	case FromGlobal:
		return "the environment's trust"
	case FromSystem:
		return "the system's roots"
	}
	return "no trust"
}

// name of the source in a sentence, with its size where that is known.
func (t TrustReport) name() string {
	if t.Store == "" || t.Origin == FromSystem && t.Anchors == 0 {
		return t.Origin.name()
	}
	return t.Origin.name() + " (" + t.Store + ")"
}

// Explain describes which trust counts and which is ignored, which identity is presented and
// why, and which versions are spoken. It uses the same sources as Client and Server, and
// reports their errors in the result.
//
// With Routes, the identity is that for ServerName, or for the destination of For, and the
// route that chooses it is named.
func (b Builder) Explain() Explanation {
	host, port := b.orAsItWas().destination()
	return b.explainFor(host, port)
}

func (b Builder) explainFor(host, port string) Explanation {
	if _, err := b.Current(); err != nil {
		e := b.orAsItWas().explainFor(host, port)
		e.Trust.Error, e.Errors = err.Error(), append(e.Errors, err.Error())
		return e
	}
	b = b.orAsItWas()
	e := Explanation{
		Trust: b.trustReport(), Ignored: b.ignored(),
		ServerName: trustkeep.Printable(b.ServerName), ClientAuth: b.ClientAuth,
		ServerURI: trustkeep.Printable(b.ServerURI), ClientURI: trustkeep.Printable(b.ClientURI), TrustDomain: trustkeep.Printable(b.TrustDomain),
		MinVersion: tls.VersionName(tls.VersionTLS12), MaxVersion: "the highest of Go", NextProtos: b.NextProtos,
		Routes: b.Routes.Patterns(), Allow: b.Allow, Pins: b.Pins, Policy: b.Policy.Describe(),
		Revocation: b.Revocation != nil, Authorize: b.Authorize != nil, ConcealCAs: b.ConcealCAs, SharedTickets: b.TicketSecret != nil, Warnings: b.warnings(),
	}
	e.CipherSuites, e.KeyExchanges = b.parameterNames()
	if err := b.wrong(); err != nil {
		e.Errors = append(e.Errors, err.Error())
	}
	if e.Trust.Error != "" {
		e.Errors = append(e.Errors, e.Trust.Error)
	}
	if b.ClientAuth != NoClientAuth && e.Trust.Origin == FromSystem {
		e.Errors = append(e.Errors, "client authentication needs explicit trust, and neither Trusted nor Global is set")
	}
	if low, err := b.minVersion(); err != nil {
		e.Errors = append(e.Errors, err.Error())
	} else {
		e.MinVersion = tls.VersionName(low)
	}
	if b.MaxVersion != 0 {
		e.MaxVersion = tls.VersionName(b.MaxVersion)
	}
	if e.Identity = b.identityReport(b.identityFor(host, port)); e.Identity != nil && e.Identity.Error != "" {
		e.Errors = append(e.Errors, e.Identity.Error)
	}
	return e
}

// trustReport describes the trust that counts.
func (b Builder) trustReport() TrustReport {
	o := b.origin()
	why := "it is set as Trusted and replaces all else"
	switch o {
	case FromGlobal:
		why = "the connection has no trust of its own"
	case FromSystem:
		why = "neither Trusted nor Global is set; a server asks no client for a certificate on their strength"
	}
	return report(o, why, func() (*truststore.Snapshot, error) {
		s, err := b.trustNow()
		if err == nil && s.Empty() {
			_, err = snapshotOf(o, s, b.MayBeEmpty)
		}
		return s, err
	})
}

// ignored describes the trust that does not count.
func (b Builder) ignored() []TrustReport {
	out := []TrustReport{}
	switch o := b.origin(); {
	case o == FromTrusted && b.Global != nil:
		out = append(out, report(FromGlobal, "the connection's own trust replaces it", func() (*truststore.Snapshot, error) { return given.Snapshot(b.Global) }))
	case o != FromSystem:
		out = append(out, TrustReport{
			Origin: FromSystem, Platform: true,
			Why: o.name() + " replaces them; truststore.Union adds them",
		})
	}
	return out
}

func report(o Origin, why string, ask func() (*truststore.Snapshot, error)) TrustReport {
	r := TrustReport{Origin: o, Why: why}
	s, err := ask()
	if err != nil {
		r.Error = err.Error()
	}
	if s != nil {
		r.Store, r.Anchors, r.Platform, r.Generation = s.String(), s.Len(), s.Platform(), s.Generation()
		r.Scopes = scopesOf(s)
	}
	return r
}

// maxScopes bounds the list of a report.
const maxScopes = 16

func scopesOf(s *truststore.Snapshot) (out []string) {
	if s.Plain() {
		return nil
	}
	for c := range s.All() {
		for _, scope := range s.Scopes(c) {
			if len(out) == maxScopes {
				return append(out, "more")
			}
			out = append(out, certinfo.Brief(c).String()+": "+scope.String())
		}
	}
	return out
}

// identityReport describes an identity that the pattern has chosen; see identityFor. It
// is nil for none.
func (b Builder) identityReport(id trustkeep.Identity, pattern string) *IdentityReport {
	if id == nil {
		return nil
	}
	r := &IdentityReport{Why: "it is the only one, and is presented whatever authorities the peer says it accepts"}
	switch {
	case pattern != "":
		r.Why = "the route " + trustkeep.Printable(pattern) + " chooses it, whatever authorities the peer says it accepts"
	case b.Routes.any():
		r.Why = "no route fits, and it is the one for the rest"
	}
	certs, err := certificates(id)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	if len(certs) > 1 {
		r.Why = strings.Replace(r.Why, "it is the only one, and is presented", "it is the preferred one, and is presented to peers that can verify it,", 1)
	}
	for i, c := range certs {
		leaf, err := checkPair(c)
		if err != nil {
			r.Error = err.Error()
			return r
		}
		it := "it"
		if i == 0 {
			r.Certificate, r.Issuers, r.Usages = certinfo.Brief(leaf), len(c.Certificate)-1, certinfo.Usages(leaf)
		} else {
			r.Alternatives = append(r.Alternatives, certinfo.Brief(leaf))
			it = "alternative " + strconv.Itoa(i+1)
		}
		switch now := b.now(); {
		case r.Warning != "":
		case now.After(leaf.NotAfter):
			r.Warning = it + " expired on " + leaf.NotAfter.UTC().Format(time.RFC3339)
		case now.Before(leaf.NotBefore):
			r.Warning = it + " is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339)
		}
	}
	return r
}

// String explains in a few lines.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "trust: %s: %s\n", e.Trust.name(), e.Trust.Why)
	for _, scope := range e.Trust.Scopes {
		b.WriteString("scope: " + scope + "\n")
	}
	for _, t := range e.Ignored {
		fmt.Fprintf(&b, "ignored: %s: %s\n", t.name(), t.Why)
	}
	switch id := e.Identity; {
	case id == nil:
		b.WriteString("identity: none\n")
	case id.Error != "":
		fmt.Fprintf(&b, "identity: unusable\n")
	default:
		fmt.Fprintf(&b, "identity: %s, issued by %s, valid until %s, sent with %d more in its chain: %s\n",
			id.Certificate, id.Certificate.Issuer, id.NotAfter.UTC().Format(time.RFC3339), id.Issuers, id.Why)
		for _, a := range id.Alternatives {
			fmt.Fprintf(&b, "or: %s (%s), issued by %s, valid until %s, for peers that cannot verify the first\n", a, a.KeyAlgorithm, a.Issuer, a.NotAfter.UTC().Format(time.RFC3339))
		}
		if id.Warning != "" {
			b.WriteString("warning: the identity is not valid now: " + id.Warning + "\n")
		}
	}
	if len(e.Routes) > 0 {
		b.WriteString("routes: " + trustkeep.Printable(strings.Join(e.Routes, ", ")) + "\n")
	}
	if len(e.Allow) > 0 {
		fmt.Fprintf(&b, "allowed of certificates in the store: %v\n", e.Allow)
	}
	if len(e.Policy) > 0 {
		fmt.Fprintf(&b, "policy: refuses %s\n", strings.Join(e.Policy, ", "))
	}
	if len(e.Pins) > 0 {
		fmt.Fprintf(&b, "pins: %v\n", e.Pins)
	}
	if e.Revocation {
		b.WriteString("revocation: asked\n")
	}
	if e.Authorize {
		b.WriteString("authorization: asked\n")
	}
	if e.ConcealCAs {
		b.WriteString("authorities: not told to clients\n")
	}
	if e.ServerName != "" {
		b.WriteString("server name: " + e.ServerName + "\n")
	}
	for _, line := range [][2]string{{"server's URI: ", e.ServerURI}, {"client's URI: ", e.ClientURI}, {"peer's trust domain: ", e.TrustDomain}} {
		if line[1] != "" {
			b.WriteString(line[0] + line[1] + "\n")
		}
	}
	if e.ClientAuth != NoClientAuth {
		b.WriteString("client certificates: " + e.ClientAuth.String() + "\n")
	}
	if e.SharedTickets {
		b.WriteString("sessions: servers with the same secret, trust, policy and identity resume them\n")
	}
	fmt.Fprintf(&b, "versions: %s to %s\n", e.MinVersion, e.MaxVersion)
	if len(e.CipherSuites) > 0 {
		b.WriteString("cipher suites, of TLS 1.2 and lower: " + strings.Join(e.CipherSuites, ", ") + "\n")
	}
	if len(e.KeyExchanges) > 0 {
		b.WriteString("key exchanges: " + strings.Join(e.KeyExchanges, ", ") + "\n")
	}
	for _, w := range e.Warnings {
		b.WriteString("warning: " + w + "\n")
	}
	for _, err := range e.Errors {
		b.WriteString("error: " + err + "\n")
	}
	return b.String()
}

// LogValue makes slog print the explanation as one JSON text.
func (e Explanation) LogValue() slog.Value {
	data, err := json.Marshal(e)
	if err != nil {
		return slog.StringValue(e.String())
	}
	return slog.StringValue(string(data))
}
