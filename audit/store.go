package audit

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/inspect"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
	"github.com/trustkeep/trustkeep/keystore"
)

func (a *auditor) keystore(t Target) {
	ks := t.Keystore
	entries := ks.Entries()
	for _, f := range ks.Findings() {
		switch f.Code {
		case keystore.CodeUnusableEntry, keystore.CodeNoMAC, keystore.CodeKeyWithoutCertificate: // reported in more detail below
			continue
		case keystore.CodeUnchecked:
			a.add(t, trustkeep.Finding{Code: NoIntegrity, Severity: trustkeep.Warning, Text: f.Text, Remedy: "open it with its password"})
			continue
		}
		f.Remedy = "docs/formats.md explains what the reader noticed"
		a.add(t, f)
	}
	a.storePassword(t)
	if !ks.Authenticated() && ks.Format() == trustkeep.PKCS12 {
		a.add(t, trustkeep.Finding{Code: NoIntegrity, Severity: trustkeep.Warning, Text: "the store has no MAC", Remedy: "save it with a password"})
	}
	a.storeFormat(t, ks.Format())
	facts, err := ks.Inspect(trustkeep.SaveOptions{})
	if err != nil {
		return // not reached: no password is asked for
	}
	try := &trial{facts: facts, spend: limits.New(a.Limits)}
	unlocked := a.unlock(try, entries)
	for i, e := range entries {
		if e.Err != nil {
			a.add(t, trustkeep.Finding{Alias: e.Alias, Code: UnusableEntry, Severity: trustkeep.Warning, Text: trustkeep.Printable(e.Err.Error()), Remedy: "import it again from its source"})
		}
		switch e.Kind {
		case keystore.KeyEntry:
			a.key(t, e, unlocked[i], try)
		case keystore.TrustedEntry:
			for _, c := range e.Chain {
				a.strength(t, e.Alias, c)
			}
		}
	}
	if try.skipped > 0 {
		a.add(t, trustkeep.Finding{Code: KeysNotTried, Severity: trustkeep.Warning, Err: try.limit,
			Text:   fmt.Sprintf("%d of %d keys not tried, or not with every well-known password: %s", try.skipped, try.keys, trustkeep.Printable(try.limit.Error())),
			Remedy: "raise that field of Options.Limits, for a store that you trust not to waste time"})
	}
}

// trial is the unlocking of the keys of a store, as one operation.
type trial struct {
	facts inspect.Store
	spend *limits.Budget

	mu      sync.Mutex
	keys    int
	skipped int
	limit   error // why keys were skipped
}

// skip notes that a key was not tried and why.
func (y *trial) skip(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.skipped++
	y.limit = err
}

// key audits the entry of a private key. unlocked is the error of unlocking it.
func (a *auditor) key(t Target, e keystore.Entry, unlocked error, try *trial) {
	unlocked = a.keyPassword(t, e, unlocked, try)
	if errors.Is(unlocked, trustkeep.ErrKeyMismatch) {
		a.add(t, trustkeep.Finding{Alias: e.Alias, Code: KeyMismatch, Severity: trustkeep.Critical, Text: "the certificate is for another key", Remedy: "install the certificate that was issued for this key"})
	}
	if !e.Encrypted && e.Protection != "" {
		a.add(t, trustkeep.Finding{Alias: e.Alias, Code: UnprotectedKey, Severity: trustkeep.Critical, Text: "the private key is stored in the clear", Remedy: "save the store with a password"})
	} else if weak := weakProtection(e.Protection); weak != "" {
		a.add(t, trustkeep.Finding{Alias: e.Alias, Code: WeakProtection, Severity: trustkeep.Warning,
			Text: fmt.Sprintf("the private key is protected by %s (%s)", weak, trustkeep.Printable(e.Protection)), Remedy: "save the store as PKCS#12 with the profile modern"})
	}
	if len(e.Chain) == 0 {
		if len(e.RawChain) == 0 {
			a.add(t, trustkeep.Finding{Alias: e.Alias, Code: NoCertificate, Severity: trustkeep.Warning, Text: "the private key has no certificate", Remedy: "request one, or delete the key"})
		}
		return
	}
	a.identity(t, e.Alias, e.Chain)
}

// identity audits the certificates of a private key.
func (a *auditor) identity(t Target, alias string, chain []*x509.Certificate) {
	leaf := chain[0]
	for _, c := range chain {
		a.strength(t, alias, c)
	}
	a.roles(t, alias, leaf)
	a.chain(t, alias, chain)
	if where := a.knownKey(leaf); where != "" {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(leaf), Code: KnownKey, Severity: trustkeep.Critical,
			Text: "the private key is published in " + where, Remedy: "replace the key at once"})
	} else if product := vendorDefault(leaf); product != "" {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(leaf), Code: VendorDefault, Severity: trustkeep.Critical,
			Text: fmt.Sprintf("%s looks like the identity that %s products are shipped with", name(leaf), product), Remedy: "replace the key"})
	}
	a.keys = append(a.keys, heldKey{t.Name, alias, leaf})
}

func (a *auditor) storePassword(t Target) {
	facts, err := t.Keystore.Inspect(trustkeep.SaveOptions{})
	if err != nil {
		return // not reached: no password is asked for
	}
	if p, ok := a.defaultPassword(facts.IsPassword); ok {
		a.add(t, trustkeep.Finding{Code: DefaultPassword, Severity: trustkeep.Critical, Text: "the password of the store is " + p + ", which everybody knows", Remedy: "change the password"})
	}
}

// keyPassword also returns the error of unlocking the key by the password that everybody
// knows, if one is its own.
func (a *auditor) keyPassword(t Target, e keystore.Entry, unlocked error, try *trial) error {
	wrong := errors.Is(unlocked, trustkeep.ErrIncorrectPassword)
	if !e.OwnPassword && !wrong {
		return unlocked
	}
	if e.OwnPassword || try.facts.Protected { // otherwise the store's was not given
		a.add(t, trustkeep.Finding{Alias: e.Alias, Code: KeyPasswordDiffers, Severity: trustkeep.Note, Text: "the key's password is not the store's", Remedy: "make them the same for consumers that know but one, such as Tomcat"})
	}
	if a.SkipKeys {
		return unlocked
	}
	var limit error
	p, ok := a.defaultPassword(func(candidate []byte) bool {
		if limit != nil {
			return false
		}
		err := try.facts.Try(e.Alias, candidate, try.spend)
		if errors.Is(err, trustkeep.ErrLimit) {
			limit = err
		}
		if !decrypted(err) {
			return false
		}
		unlocked = err
		return true
	})
	if limit != nil && !ok {
		try.skip(limit)
	}
	if ok {
		a.add(t, trustkeep.Finding{Alias: e.Alias, Code: DefaultPassword, Severity: trustkeep.Critical, Text: "the password of the key is " + p + ", which everybody knows", Remedy: "change the password"})
	}
	return unlocked
}

// decrypted reports whether a password was right, by the error of unlocking a key with it. The
// key may be of no use all the same: it has another certificate or none, or is of a kind
// that we do not know. Where algorithms are refused, nothing can be said of the password.
func decrypted(err error) bool {
	return err == nil || errors.Is(err, trustkeep.ErrKeyMismatch) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrUnsupported) && !fips.Enforced()
}

// defaultPassword finds the known password that opens something. Those of DefaultPasswords
// are public knowledge, so the report may show them.
func (a *auditor) defaultPassword(opens func([]byte) bool) (shown string, ok bool) {
	for _, p := range DefaultPasswords() {
		switch {
		case !opens([]byte(p)):
			continue
		case p == "":
			return "empty", true
		}
		return `"` + p + `"`, true
	}
	for _, p := range a.known {
		if opens(p.Bytes()) {
			return "on the list of this audit", true
		}
	}
	return "", false
}

func (a *auditor) storeFormat(t Target, f trustkeep.Format) {
	var why string
	switch f {
	case trustkeep.JKS:
		why = "JKS protects keys with a homemade SHA-1 cipher of one round and the store with a plain digest"
	case trustkeep.JCEKS:
		why = "JCEKS protects the store with a plain SHA-1 digest"
	case trustkeep.BKS:
		why = "BKS protects certificates with nothing but an HMAC-SHA-1, and keys with 3DES"
	default:
		return
	}
	a.add(t, trustkeep.Finding{Code: WeakProtection, Severity: trustkeep.Warning, Text: why, Remedy: "save the store as PKCS#12 with the profile modern"})
}

// weakProtection says what is weak about the encryption of a key. Protections
// of JKS, BKS and JCEKS are covered by the finding about their format.
func weakProtection(p string) string {
	switch {
	case strings.Contains(p, "RC2"), strings.Contains(p, "RC4"):
		return "a cipher that can be broken"
	case strings.HasPrefix(p, "PEM "):
		return "one round of MD5"
	case strings.Contains(p, " DES-CBC"), strings.Contains(p, "MD5") && !strings.Contains(p, "TripleDES"):
		return "single DES or MD5"
	}
	return ""
}

// unlock unlocks the keys on the cores there are and returns the errors by
// entry.
func (a *auditor) unlock(try *trial, entries []keystore.Entry) []error {
	errs := make([]error, len(entries))
	if a.SkipKeys {
		return errs
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, e := range entries {
		if e.Kind != keystore.KeyEntry {
			continue
		}
		try.keys++
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = try.facts.Try(e.Alias, nil, try.spend)
			if errors.Is(errs[i], trustkeep.ErrLimit) {
				try.skip(errs[i])
			}
			<-slots
		})
	}
	wg.Wait()
	return errs
}

// chain looks at the order and the completeness of a private key's chain.
func (a *auditor) chain(t Target, alias string, chain []*x509.Certificate) {
	leaf := chain[0]
	if len(chain) == 1 && a.signed(leaf, leaf) {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(leaf), Code: SelfSigned, Severity: trustkeep.Note,
			Text: name(leaf) + " is self-signed: partners must trust this very certificate", Remedy: "have it signed by a CA where that is not agreed on"})
		return
	}
	linked := 1
	for linked < len(chain) && a.signed(chain[linked-1], chain[linked]) {
		linked++
	}
	if linked < len(chain) {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(chain[linked]), Code: ChainOrder, Severity: trustkeep.Warning,
			Text:   fmt.Sprintf("certificate %d of the chain, %s, did not sign the one before it", linked+1, name(chain[linked])),
			Remedy: "put the chain in order with CompleteChain or SetChain"})
	}
	last := a.end(chain)
	if a.signed(last, last) {
		return
	}
	if root := a.rootOf(last); root != nil {
		a.add(t, trustkeep.Finding{Alias: alias, Subject: name(last), Code: RootNotIncluded, Severity: trustkeep.Note,
			Text: fmt.Sprintf("the chain ends before its root %s", name(root)), Remedy: "add it with CompleteChain for consumers that want whole chains"})
		return
	}
	a.add(t, trustkeep.Finding{Alias: alias, Subject: name(last), Code: MissingIssuer, Severity: trustkeep.Warning,
		Text: fmt.Sprintf("the chain lacks %s, which signed %s", certinfo.Issuer(last), name(last)), Remedy: "add it with CompleteChain"})
}

// maxChain bounds how far a chain is followed.
const maxChain = 32

// end follows a chain in whatever order from its leaf as far as it leads.
func (a *auditor) end(chain []*x509.Certificate) *x509.Certificate {
	last := chain[0]
	for range min(len(chain), maxChain) {
		next := last
		for _, c := range issuersAmong(chain, last) {
			if a.signed(last, c) {
				next = c
				break
			}
		}
		if next == last || a.signed(last, last) {
			break
		}
		last = next
	}
	return last
}

// maxNamesakes bounds how many certificates of an issuer's name are asked.
const maxNamesakes = 8

// issuersAmong returns the certificates that have the name of c's issuer, at most maxNamesakes,
// those that the key identifier means first.
func issuersAmong(certs []*x509.Certificate, c *x509.Certificate) (found []*x509.Certificate) {
	for _, meant := range []bool{true, false} {
		for _, candidate := range certs {
			if candidate != c && bytes.Equal(candidate.RawSubject, c.RawIssuer) && sigcheck.Meant(c, candidate) == meant && len(found) < maxNamesakes {
				found = append(found, candidate)
			}
		}
	}
	return found
}

// rootOf finds a self-signed issuer among everything that is audited.
func (a *auditor) rootOf(c *x509.Certificate) *x509.Certificate {
	for _, candidate := range issuersAmong(a.roots, c) {
		if a.signed(c, candidate) && a.signed(candidate, candidate) {
			return candidate
		}
	}
	return nil
}

// signed reports whether child names parent as its issuer and carries its
// signature. SHA-1 counts here: the question is what belongs together.
func (a *auditor) signed(child, parent *x509.Certificate) bool {
	if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
		return false
	}
	found, ok := a.checks.Ask(child, parent)
	return !ok || found.Signed || found.Weak
}
