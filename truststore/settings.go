package truststore

import (
	"encoding/asn1"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pemfile"
)

// The trust settings of OpenSSL's TRUSTED CERTIFICATE are scopes of purposes, read and
// written.

// purposeUsages are the extended key usages of the purposes but Any.
var purposeUsages = []struct {
	purpose Purpose
	usage   asn1.ObjectIdentifier
}{
	{Server, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}},
	{Client, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}},
	{Email, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}},
}

// purposesOf returns the purposes for which a file trusts a certificate. Any, whatever
// the certificate says, is one of them where nothing is left out.
func purposesOf(t *entry.TrustSettings) (out []Purpose) {
	for _, p := range purposeUsages {
		if t.Allows(p.usage) {
			out = append(out, p.purpose)
		}
	}
	if t == nil || t.Allows(entry.OIDAnyUsage) && len(t.Deny) == 0 {
		out = append(out, Any)
	}
	return out
}

// allPurposes is how many there are.
const allPurposes = 4

// bounded takes over what a file says about what its certificates are trusted for. It
// returns the entries and the scopes by entry.Fold of the alias.
func bounded(entries []*entry.Entry) ([]*entry.Entry, map[string]Scope) {
	var scopes map[string]Scope
	for i, e := range entries {
		if e.Trust == nil || e.Kind != entry.Trusted && e.Kind != entry.Opaque || len(e.Chain) != 1 || e.Err != nil {
			continue
		}
		purposes := purposesOf(e.Trust)
		folded := entry.Fold(e.Alias)
		if other, ok := scopes[folded]; ok { // two spellings of one alias share a scope
			purposes = slices.DeleteFunc(purposes, func(p Purpose) bool { return !slices.Contains(other.Purposes, p) })
		}
		copied := *e
		switch len(purposes) {
		case 0:
			copied.Kind = entry.Opaque
		case allPurposes:
			continue
		default:
			copied.Kind = entry.Trusted
			if scopes == nil {
				scopes = make(map[string]Scope)
			}
			scopes[folded] = Scope{Purposes: purposes}
		}
		entries[i] = &copied
	}
	return entries, scopes
}

// settings returns what says the same as a scope in a TRUSTED CERTIFICATE; ok is false for a scope
// that bounds more than purposes.
func (s Scope) settings() (t *entry.TrustSettings, ok bool) {
	if len(s.Purposes) == 0 || len(s.Names)+len(s.TrustDomains) > 0 || !s.Until.IsZero() || !s.DistrustAfter.IsZero() {
		return nil, false
	}
	t = &entry.TrustSettings{Limited: true}
	for _, p := range purposeUsages {
		if slices.Contains(s.Purposes, p.purpose) {
			t.Allow = append(t.Allow, p.usage)
		}
	}
	switch {
	case !slices.Contains(s.Purposes, Any):
	case len(t.Allow) == len(purposeUsages):
		t.Allow = []asn1.ObjectIdentifier{entry.OIDAnyUsage}
	default:
		return nil, false // to allow any would allow each
	}
	return t, true
}

// withSettings returns the entries of a PEM file that holds the scopes.
func withSettings(entries []*entry.Entry, scopes map[string]Scope) ([]*entry.Entry, error) {
	out := slices.Clone(entries)
	for i, e := range out {
		if trusted(e) == nil {
			continue
		}
		scope, ok := scopes[entry.Fold(e.Alias)]
		if !ok && e.Trust == nil || ok && e.Trust != nil && scope.isOnly(purposesOf(e.Trust)) {
			continue // as it was read, usages included that are no purpose
		}
		var t *entry.TrustSettings
		if ok {
			if t, ok = scope.settings(); !ok {
				return nil, errScopes(e.Alias)
			}
		}
		copied := *e
		var err error
		if copied.Attributes, err = pemfile.WithTrust(e.Attributes, t); err != nil {
			return nil, err
		}
		copied.Trust = t
		out[i] = &copied
	}
	return out, nil
}

// isOnly reports whether the scope bounds to these purposes and nothing else.
func (s Scope) isOnly(purposes []Purpose) bool {
	if _, ok := s.settings(); !ok || len(s.Purposes) != len(purposes) {
		return false
	}
	return !slices.ContainsFunc(purposes, func(p Purpose) bool { return !slices.Contains(s.Purposes, p) })
}

func errScopes(alias string) error {
	return fmt.Errorf("%q is trusted within a scope, which the format cannot hold: %w", trustkeep.Printable(alias), trustkeep.ErrUnsupported)
}
