package tlsctx

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// curves are the key exchanges that crypto/tls knows.
var curves = []tls.CurveID{
	tls.CurveP256, tls.CurveP384, tls.CurveP521, tls.X25519,
	tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024,
}

// wrongParameters checks the parameters of the handshake that crypto/tls would ignore where
// it does not know them.
func (b Builder) wrongParameters() error {
	for _, id := range b.CipherSuites {
		switch s, secure := suite(id); {
		case s == nil:
			return &trustkeep.Error{Op: "CipherSuites " + tls.CipherSuiteName(id), Err: trustkeep.ErrInvalid, Hint: "crypto/tls has no such suite; tls.CipherSuites lists them"}
		case !slices.Contains(s.SupportedVersions, tls.VersionTLS12):
			return &trustkeep.Error{Op: "CipherSuites " + s.Name, Err: trustkeep.ErrInvalid, Hint: "the suites of TLS 1.3 cannot be chosen, and all of them are safe"}
		case !secure:
			return &trustkeep.Error{Op: "CipherSuites " + s.Name, Err: trustkeep.ErrInvalid, Hint: "it is not safe; where a peer leaves no choice, set LegacyCipherSuites"}
		}
	}
	for _, id := range b.LegacyCipherSuites {
		if s, secure := suite(id); s == nil || secure {
			return &trustkeep.Error{Op: "LegacyCipherSuites " + tls.CipherSuiteName(id), Err: trustkeep.ErrInvalid, Hint: "tls.InsecureCipherSuites lists what it can have"}
		}
	}
	for _, id := range b.CurvePreferences {
		if !slices.Contains(curves, id) {
			return &trustkeep.Error{Op: fmt.Sprintf("CurvePreferences %v", id), Err: trustkeep.ErrInvalid, Hint: "crypto/tls has no such key exchange"}
		}
	}
	if given.NilPointer(b.InsecureKeyLog) {
		return &trustkeep.Error{Op: "InsecureKeyLog", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of opening it checked?"}
	}
	return nil
}

// suite returns what crypto/tls knows about a cipher suite, nil for nothing.
func suite(id uint16) (s *tls.CipherSuite, secure bool) {
	for _, s := range tls.CipherSuites() {
		if s.ID == id {
			return s, true
		}
	}
	for _, s := range tls.InsecureCipherSuites() {
		if s.ID == id {
			return s, false
		}
	}
	return nil, false
}

// suites returns the cipher suites for TLS 1.2 and lower, nil for those of crypto/tls.
func (b Builder) suites() []uint16 {
	if len(b.LegacyCipherSuites) == 0 {
		if len(b.CipherSuites) == 0 {
			return nil
		}
		return slices.Clone(b.CipherSuites)
	}
	all := slices.Clone(b.CipherSuites)
	if len(all) == 0 {
		for _, s := range tls.CipherSuites() {
			if slices.Contains(s.SupportedVersions, tls.VersionTLS12) {
				all = append(all, s.ID)
			}
		}
	}
	return append(all, b.LegacyCipherSuites...)
}

// permits reports whether a connection that was opened by the settings of before may have that suite. Which
// suites crypto/tls has by itself depends on GODEBUG, so that those of before are believed.
func (b Builder) permits(suite uint16, before *Builder) bool {
	if now := b.suites(); now != nil {
		return slices.Contains(now, suite)
	}
	return !slices.Contains(before.LegacyCipherSuites, suite)
}

// setParameters puts them into a configuration.
func (b Builder) setParameters(cfg *tls.Config) {
	cfg.CipherSuites = b.suites()
	if len(b.CurvePreferences) > 0 {
		cfg.CurvePreferences = slices.Clone(b.CurvePreferences)
	}
	if b.InsecureKeyLog != nil {
		cfg.KeyLogWriter = keyLog{redact.Hidden(b.InsecureKeyLog)}
	}
}

// keyLog hides the writer, since a configuration is printed and a buffer prints its content.
type keyLog struct{ w func() io.Writer }

func (k keyLog) Write(p []byte) (int, error) { return k.w().Write(p) }

// names of the parameters, for explanations.
func (b Builder) parameterNames() (suites, curves []string) {
	for _, id := range b.suites() {
		suites = append(suites, tls.CipherSuiteName(id))
	}
	for _, id := range b.CurvePreferences {
		curves = append(curves, id.String())
	}
	return suites, curves
}

// warnings are about what makes connections weaker than they would be.
func (b Builder) warnings() (out []string) {
	if b.InsecureKeyLog != nil {
		out = append(out, "the keys of every session are written to InsecureKeyLog: whoever reads it reads the connections")
	}
	for _, id := range b.LegacyCipherSuites {
		out = append(out, "the cipher suite "+tls.CipherSuiteName(id)+" is not safe")
	}
	return out
}
