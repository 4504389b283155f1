package keystore

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/pkcs12"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Incompatibility is a reason for which somebody could not read a store, or would
// read it otherwise than it is meant.
type Incompatibility struct {
	Consumer trustkeep.Profile
	Alias    string // empty: about the store
	Code     string // stable, for programs: "password-not-ascii"
	Text     string // for people
	Remedy   string // what would help
}

// String describes the incompatibility in one line.
func (i Incompatibility) String() string {
	s := string(i.Consumer) + ": "
	if i.Alias != "" {
		s += fmt.Sprintf("%q: ", trustkeep.Printable(i.Alias))
	}
	return s + i.Text + "; " + i.Remedy
}

// Consumers returns those that CanRead knows about.
func Consumers() []trustkeep.Profile {
	return []trustkeep.Profile{trustkeep.Java8, trustkeep.Java17, trustkeep.OpenSSL11, trustkeep.Windows2016}
}

// CanRead says beforehand what would keep a consumer from reading the store as
// SaveWith would write it with these options. A consumer is what one of the
// profiles Java8, Java17, OpenSSL11 or Windows2016 is named after; the empty one
// stands for all of them, and others have no known incompatibilities. Nothing
// found is no proof: only what is listed here is looked for.
//
// The codes: password-not-ascii, password-missing, algorithms (of the profile),
// format, duplicate-subject, empty-issuer, alias-clash, key-algorithm,
// key-without-certificate, unmarked-certificate, secret-key, key-password,
// not-understood.
//
// No key is unlocked, so the algorithm of a key without certificate is not seen.
// The error is that of asking for the password.
func (k *Keystore) CanRead(consumer trustkeep.Profile, o trustkeep.SaveOptions) (found []Incompatibility, err error) {
	password, err := storefile.Reveal(o.Password)
	if err != nil {
		return nil, fmt.Errorf("keystore: can read: %w", err)
	}
	defer password.Wipe()
	k.look(func(s *state) {
		c := &compatibility{k: s, format: o.Format, profile: o.Profile, password: password.Bytes()}
		if c.format == "" {
			c.format = s.format
		}
		if c.profile == "" && c.format == s.format {
			c.profile = s.profile
		}
		switch {
		case o.NoPassword || c.profile == trustkeep.Passwordless:
			c.password = nil
		case password == nil:
			c.password = s.password.Bytes()
		}
		found = c.check(consumer)
	})
	return found, nil
}

func (c *compatibility) check(consumer trustkeep.Profile) []Incompatibility {
	consumers := []trustkeep.Profile{consumer}
	if consumer == "" {
		consumers = Consumers()
	}
	for _, c.consumer = range consumers {
		c.store()
		c.entries()
	}
	return c.found
}

// compatibility is one check.
type compatibility struct {
	k        *state
	format   trustkeep.Format
	profile  trustkeep.Profile
	password []byte
	consumer trustkeep.Profile
	found    []Incompatibility
}

func (c *compatibility) add(alias, code, text, remedy string) {
	c.found = append(c.found, Incompatibility{c.consumer, alias, code, text, remedy})
}

func (c *compatibility) isJava() bool {
	return c.consumer == trustkeep.Java8 || c.consumer == trustkeep.Java17
}

// known reports whether anything is known about the consumer.
func (c *compatibility) known() bool {
	return c.isJava() || c.consumer == trustkeep.OpenSSL11 || c.consumer == trustkeep.Windows2016
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
	case !c.known():
		return
	case isJavaFormat(c.format) && !c.isJava():
		c.add("", "format", "only Java reads "+string(c.format), "write PKCS#12")
	case c.isJava() && (c.format == trustkeep.PEM || c.format == trustkeep.OpenSSH):
		c.add("", "format", "Java's KeyStore does not read "+string(c.format), "write PKCS#12")
	case c.consumer == trustkeep.Windows2016 && c.format == trustkeep.PEM && c.has(entry.Key):
		c.add("", "format", "Windows imports keys from PKCS#12 only", "write PKCS#12")
	}
	if c.format == trustkeep.PKCS12 {
		c.pkcs12()
	}
	if isJavaFormat(c.format) && c.isJava() {
		c.aliases()
	}
}

func (c *compatibility) has(kind entry.Kind) bool {
	for _, it := range c.k.items {
		if it.e.Kind == kind {
			return true
		}
	}
	return false
}

func (c *compatibility) pkcs12() {
	if c.isJava() {
		// JDK: com.sun.crypto.provider.PBEKey takes 0x20 to 0x7E only, and so
		// no key and no encrypted certificate can be opened.
		for _, b := range c.password {
			if b < 0x20 || b > 0x7e {
				c.add("", "password-not-ascii", "Java's PKCS#12 takes passwords of printable ASCII only", "choose another password, or write JKS")
				break
			}
		}
		c.aliases()
		c.subjects()
	}
	if c.password == nil && c.consumer == trustkeep.Windows2016 {
		c.add("", "password-missing", "Windows does not import PKCS#12 without MAC", "give it a password")
	}
	if c.password == nil && c.consumer == trustkeep.OpenSSL11 {
		c.add("", "password-missing", "openssl pkcs12 wants a MAC, unless told -nomacver", "give it a password, or write PEM")
	}
	switch c.algorithms() {
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

// algorithms sums up what the profile will apply: "PBMAC1", "AES" or "" for what
// everybody knows.
func (c *compatibility) algorithms() string {
	switch c.profile {
	case trustkeep.Modern2026:
		return "PBMAC1"
	case trustkeep.Modern, trustkeep.Java17, trustkeep.OpenSSL11:
		return "AES"
	case "":
		if c.format != c.k.format || c.k.source == nil {
			return "AES" // trustkeep.Modern
		}
		if source, ok := c.k.source.(pkcs12.Source); ok {
			return source.Era()
		}
	}
	return ""
}

// aliases looks for those that fold to the same: Java has one entry for them.
func (c *compatibility) aliases() {
	seen := make(map[string]bool, len(c.k.items))
	for _, it := range c.k.items {
		folded := entry.Fold(it.e.Alias)
		if seen[folded] {
			c.add(it.e.Alias, "alias-clash", "another entry's alias differs in case only, and Java has one entry for both", "rename one of them")
		}
		seen[folded] = true
	}
}

// subjects looks for authorities of one name. Java puts the chains of PKCS#12
// together by name alone, so a key may get the wrong one.
func (c *compatibility) subjects() {
	issuers := make(map[string]bool)
	for _, it := range c.k.items {
		for _, cert := range it.e.Chain {
			if o, ok := cert.Outline(); ok && !bytes.Equal(o.Issuer, o.Subject) {
				issuers[string(o.Issuer)] = true
			}
		}
	}
	first := make(map[string][]byte)
	reported := make(map[string]bool)
	for _, it := range c.k.items {
		for _, cert := range it.e.Chain {
			o, ok := cert.Outline()
			if !ok || !issuers[string(o.Subject)] || reported[string(o.Subject)] {
				continue
			}
			if other := first[string(o.Subject)]; other == nil {
				first[string(o.Subject)] = cert.Raw
			} else if !bytes.Equal(other, cert.Raw) {
				reported[string(o.Subject)] = true
				c.add(it.e.Alias, "duplicate-subject", fmt.Sprintf("two certificates of the subject %s issue others, and Java puts chains together by name", certinfo.Name(o.Subject)),
					"keep the chains that the two belong to in separate stores, or write JKS")
			}
		}
	}
}

// entries looks at each entry.
func (c *compatibility) entries() {
	if !c.known() {
		return
	}
	for _, it := range c.k.items {
		e := it.e
		switch e.Kind {
		case entry.Key:
			c.key(it)
		case entry.Secret:
			if !c.isJava() {
				c.add(e.Alias, "secret-key", "only Java keeps secret keys in such a store", "leave it out")
			}
		case entry.Opaque:
			if len(e.Chain) > 0 && c.isJava() && c.format == trustkeep.PKCS12 {
				c.add(e.Alias, "unmarked-certificate", "nothing marks the certificate as trusted, and Java hides such certificates", "set it as trusted if it is")
			} else if len(e.Chain) == 0 {
				c.add(e.Alias, "not-understood", "the entry is kept as it is, and nobody may understand it", "leave it out")
			}
		}
		for _, cert := range e.Chain {
			// An RDNSequence without elements.
			if o, ok := cert.Outline(); ok && c.isJava() && bytes.Equal(o.Issuer, []byte{0x30, 0}) {
				c.add(e.Alias, "empty-issuer", "a certificate names no issuer, and Java reads no store with such a certificate", "have the certificate made anew, with a subject")
			}
		}
		for _, cert := range e.Chain[:min(1, len(e.Chain))] {
			c.keyAlgorithm(e.Alias, DescribeCertificate(cert.Raw).KeyAlgorithm)
		}
	}
}

func (c *compatibility) key(it *item) {
	if len(it.e.Chain) == 0 {
		if c.isJava() && c.format != trustkeep.PEM {
			c.add(it.e.Alias, "key-without-certificate", "Java does not show private keys without a certificate", "add its certificate")
		}
		if it.e.Key != nil {
			c.keyAlgorithm(it.e.Alias, it.e.Key.AlgorithmName())
		}
	}
	if c.k.ownPassword(it) && c.format == trustkeep.PKCS12 && c.k.format == trustkeep.PKCS12 {
		c.add(it.e.Alias, "key-password", "the key has a password of its own, which consumers of PKCS#12 do not expect", "give it the store's password: ChangeKeyPassword")
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
