package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/inspect"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/keystore"
)

// Consumers lists the consumers that CanRead can check.
func Consumers() []trustkeep.Profile {
	return []trustkeep.Profile{trustkeep.Java8, trustkeep.Java17, trustkeep.OpenSSL11, trustkeep.Windows2016}
}

// CanRead predicts what would keep a consumer from reading the store as Save would write
// it with these options, or would make it read something else. The profile names the
// consumer, see Consumers; if empty, all are checked. The Target of a finding is its
// consumer. An empty result is no proof: CanRead looks only for what the codes name.
//
// All findings are warnings. Their codes are:
//
//   - "format": the consumer does not read the format.
//   - "algorithms": it does not know the algorithms of the profile.
//   - "password-missing": it wants a password.
//   - "password-not-ascii": Java's PKCS#12 takes printable ASCII only.
//   - "alias-clash": two aliases differ in case only.
//   - "duplicate-subject": it builds chains by name, and two CAs share one.
//   - "empty-issuer": a certificate names no issuer.
//   - "key-algorithm": it does not know the algorithm or curve of a key.
//   - "key-without-certificate": it does not show private keys without one.
//   - "key-password": a key has its own password, which the consumer does not expect.
//   - "secret-key": it does not read secret keys.
//   - "unmarked-certificate": nothing marks a certificate as trusted.
//   - "not-understood": an entry will be written as it was read.
//
// CanRead unlocks no key, so it does not see the algorithm of a locked key without a
// certificate.
//
// Errors: ErrInvalid for a nil store or an unknown consumer; the error of the password
// source.
func CanRead(ks *keystore.Keystore, consumer trustkeep.Profile, o trustkeep.SaveOptions) ([]trustkeep.Finding, error) {
	const op = "audit: can read"
	consumers := Consumers()
	switch {
	case ks == nil:
		return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("nil keystore: %w", trustkeep.ErrInvalid)}
	case consumer == "":
	case !slices.Contains(consumers, consumer):
		return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("unknown consumer %q: %w", trustkeep.Printable(string(consumer)), trustkeep.ErrInvalid),
			Hint: fmt.Sprintf("the consumers are %s", trustkeep.Printable(fmt.Sprint(consumers)))}
	default:
		consumers = []trustkeep.Profile{consumer}
	}
	facts, err := ks.Inspect(o)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Path: ks.Path(), Err: err}
	}
	c := &compatibility{facts: facts, now: ks.Format()}
	for _, e := range ks.Entries() {
		parsed := compatibleEntry{Entry: e}
		for _, der := range e.RawChain {
			parsed.chain = append(parsed.chain, entry.NewCertificate(der))
		}
		c.all = append(c.all, parsed)
	}
	for _, c.consumer = range consumers {
		c.store()
		c.entries()
	}
	return c.found, nil
}

// compatibility is one check.
type compatibility struct {
	facts    inspect.Store
	now      trustkeep.Format // of the store as it is
	all      []compatibleEntry
	consumer trustkeep.Profile
	found    []trustkeep.Finding
}

type compatibleEntry struct {
	keystore.Entry
	chain []*entry.Certificate
}

func (c *compatibility) add(alias string, code trustkeep.Code, text, remedy string) {
	c.found = append(c.found, trustkeep.Finding{Target: string(c.consumer), Alias: alias, Code: code, Severity: trustkeep.Warning, Text: text, Remedy: remedy})
}

func (c *compatibility) isJava() bool {
	return c.consumer == trustkeep.Java8 || c.consumer == trustkeep.Java17
}

// javaFormats are those that only a JVM reads; BouncyCastle's need its provider.
func isJavaFormat(f trustkeep.Format) bool {
	switch f {
	case trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS:
		return true
	}
	return false
}

// store looks at what concerns the store as a whole.
func (c *compatibility) store() {
	switch {
	case isJavaFormat(c.facts.Format) && !c.isJava():
		c.add("", "format", "only Java reads "+string(c.facts.Format), "write PKCS#12")
	case c.isJava() && (c.facts.Format == trustkeep.PEM || c.facts.Format == trustkeep.OpenSSH):
		c.add("", "format", "Java's KeyStore does not read "+string(c.facts.Format), "write PKCS#12")
	case c.consumer == trustkeep.Windows2016 && c.facts.Format == trustkeep.PEM && c.has(keystore.KeyEntry):
		c.add("", "format", "Windows imports keys from PKCS#12 only", "write PKCS#12")
	}
	if c.facts.Format == trustkeep.PKCS12 {
		c.pkcs12()
	}
	if isJavaFormat(c.facts.Format) && c.isJava() {
		c.aliases()
	}
}

func (c *compatibility) has(kind keystore.EntryKind) bool {
	return slices.ContainsFunc(c.all, func(e compatibleEntry) bool { return e.Kind == kind })
}

func (c *compatibility) pkcs12() {
	if c.isJava() {
		// JDK: com.sun.crypto.provider.PBEKey takes 0x20 to 0x7E only, and so
		// no key and no encrypted certificate can be opened.
		if !c.facts.Printable {
			c.add("", "password-not-ascii", "Java's PKCS#12 takes passwords of printable ASCII only", "choose another password, or write JKS")
		}
		c.aliases()
		c.subjects()
	}
	if !c.facts.Protected && c.consumer == trustkeep.Windows2016 {
		c.add("", "password-missing", "Windows does not import PKCS#12 without MAC", "give it a password")
	}
	if !c.facts.Protected && c.consumer == trustkeep.OpenSSL11 {
		c.add("", "password-missing", "openssl pkcs12 wants a MAC, unless told -nomacver", "give it a password, or write PEM")
	}
	switch c.facts.Era {
	case "PBMAC1":
		c.add("", "algorithms", "it does not know the MAC PBMAC1 of RFC 9579", "write profile "+string(c.consumer))
	case "AES":
		switch c.consumer {
		case trustkeep.Windows2016:
			c.add("", "algorithms", "it knows neither AES nor SHA-256 in PKCS#12", "write profile "+string(trustkeep.Windows2016))
		case trustkeep.Java8:
			c.add("", "algorithms", "before update 301 it does not know AES and SHA-256 in PKCS#12", "write profile "+string(trustkeep.Java8)+", or update the JDK")
		}
	}
}

// aliases looks for those that fold to the same: Java has one entry for them.
func (c *compatibility) aliases() {
	seen := make(map[string]bool, len(c.all))
	for _, e := range c.all {
		folded := entry.Fold(e.Alias)
		if seen[folded] {
			c.add(e.Alias, "alias-clash", "another entry's alias differs in case only, and Java has one entry for both", "rename one of them")
		}
		seen[folded] = true
	}
}

// subjects looks for authorities of one name. Java puts the chains of PKCS#12
// together by name alone, so a key may get the wrong one.
func (c *compatibility) subjects() {
	issuers := make(map[string]bool)
	for _, e := range c.all {
		for _, cert := range e.chain {
			if o, ok := cert.Outline(); ok && !bytes.Equal(o.Issuer, o.Subject) {
				issuers[string(o.Issuer)] = true
			}
		}
	}
	first := make(map[string][]byte)
	reported := make(map[string]bool)
	for _, e := range c.all {
		for _, cert := range e.chain {
			o, ok := cert.Outline()
			if !ok || !issuers[string(o.Subject)] || reported[string(o.Subject)] {
				continue
			}
			if other := first[string(o.Subject)]; other == nil {
				first[string(o.Subject)] = cert.Raw
			} else if !bytes.Equal(other, cert.Raw) {
				reported[string(o.Subject)] = true
				c.add(e.Alias, "duplicate-subject", fmt.Sprintf("two certificates of the subject %s issue others, and Java puts chains together by name", trustkeep.PrintableName(o.Subject)),
					"keep the chains that the two belong to in separate stores, or write JKS")
			}
		}
	}
}

// entries looks at each entry.
func (c *compatibility) entries() {
	for _, e := range c.all {
		switch e.Kind {
		case keystore.KeyEntry:
			c.key(e)
		case keystore.SecretEntry:
			if !c.isJava() {
				c.add(e.Alias, "secret-key", "only Java keeps secret keys in such a store", "leave it out")
			}
		case keystore.OpaqueEntry:
			if len(e.chain) > 0 && c.isJava() && c.facts.Format == trustkeep.PKCS12 {
				c.add(e.Alias, "unmarked-certificate", "nothing marks the certificate as trusted, and Java hides such certificates", "set it as trusted if it is")
			} else if len(e.chain) == 0 {
				c.add(e.Alias, "not-understood", "the entry is kept as it is, and nobody may understand it", "leave it out")
			}
		}
		for _, cert := range e.chain {
			// An RDNSequence without elements.
			if o, ok := cert.Outline(); ok && c.isJava() && bytes.Equal(o.Issuer, []byte{0x30, 0}) {
				c.add(e.Alias, "empty-issuer", "a certificate names no issuer, and Java reads no store with such a certificate", "have the certificate made anew, with a subject")
			}
		}
		for _, cert := range e.chain[:min(1, len(e.chain))] {
			c.keyAlgorithm(e.Alias, certinfo.Describe(cert.Raw).KeyAlgorithm)
		}
	}
}

func (c *compatibility) key(e compatibleEntry) {
	if len(e.chain) == 0 {
		if c.isJava() && c.facts.Format != trustkeep.PEM {
			c.add(e.Alias, "key-without-certificate", "Java does not show private keys without a certificate", "add its certificate")
		}
		c.keyAlgorithm(e.Alias, e.Algorithm)
	}
	if e.OwnPassword && c.facts.Format == trustkeep.PKCS12 && c.now == trustkeep.PKCS12 {
		c.add(e.Alias, "key-password", "the key has a password of its own, which consumers of PKCS#12 do not expect", "give it the store's password: ChangeKeyPassword")
	}
}

// keyAlgorithm looks at the algorithm of a key, spelled as Entry.Algorithm.
func (c *compatibility) keyAlgorithm(alias, algorithm string) {
	reason := ""
	curve, isEC := strings.CutPrefix(algorithm, "EC ")
	nist := curve == "P-256" || curve == "P-384" || curve == "P-521"
	switch {
	case isEC && c.consumer == trustkeep.Java17 && !nist:
		reason = "JDK 16 and later know the curves P-256, P-384 and P-521 only"
	case isEC && c.consumer == trustkeep.Java8 && (strings.HasPrefix(curve, "brainpool") || curve == "explicit" || curve == "SM2"):
		reason = "JDK 8 does not know the curve"
	case isEC && c.consumer == trustkeep.Windows2016 && (curve == "explicit" || curve == "SM2"):
		reason = "Windows does not know the curve"
	case algorithm == "Ed25519" || algorithm == "Ed448" || algorithm == "X25519" || algorithm == "X448":
		switch c.consumer {
		case trustkeep.Java8:
			reason = "JDK 8 does not know the algorithm; JDK 15 was the first to"
		case trustkeep.Windows2016:
			reason = "Windows does not know the algorithm"
		}
	case strings.HasPrefix(algorithm, "ML-") || strings.HasPrefix(algorithm, "SLH-"):
		reason = "it is older than the algorithm"
	case strings.HasPrefix(algorithm, "RSA-PSS") && c.consumer == trustkeep.Windows2016:
		reason = "Windows does not import keys that are restricted to RSA-PSS"
	case strings.HasPrefix(algorithm, "RSA-PSS") && c.consumer == trustkeep.Java8:
		reason = "JDK 8 knows RSA-PSS from update 251 on"
	}
	if reason != "" {
		c.add(alias, "key-algorithm", algorithm+": "+reason, "have a key of another algorithm certified, such as EC P-256")
	}
}
