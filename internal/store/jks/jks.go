// Package jks reads and writes the two key store formats of the JDK that
// predate PKCS#12: JKS (provider SUN) and JCEKS (provider SunJCE).
//
// Neither format has a specification; the layout is that of the JDK's
// sun.security.provider.JavaKeyStore and
// com.sun.crypto.provider.JceKeyStore:
//
//	store       magic u32, version u32 (1 or 2), count u32, entries, digest
//	key         1 u32, alias UTF, created i64 ms, EncryptedPrivateKeyInfo block,
//	            chain length u32, certificates
//	trusted     2 u32, alias UTF, created i64 ms, certificate
//	secret      3 u32, alias UTF, created i64 ms, Java object (JCEKS only)
//	certificate type UTF (from version 2 on), DER block
//	digest      SHA-1 of password, "Mighty Aphrodite" and all before it
//
// Both are weak: the digest is one SHA-1 over the password, and Sun's own key
// protection one SHA-1 per 20 bytes, so either lets passwords be guessed as
// fast as SHA-1 runs. Write them for consumers that read nothing else.
package jks

import (
	"crypto/sha1"
	"crypto/subtle"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

const (
	magicJKS   = 0xFEEDFEED
	magicJCEKS = 0xCECECECE

	tagKey     = 1
	tagTrusted = 2
	tagSecret  = 3

	headerSize = 12
	x509Type   = "X.509"
)

// Source is what Parse records about the input in entry.Store.Source.
type Source struct {
	// CaseExact: some alias is not in lower case, so the file was not
	// written by the JDK's types JKS or JCEKS, which store aliases folded,
	// but by CaseExactJKS or another program.
	CaseExact bool
}

// Parse reads a JKS or JCEKS of version 1 or 2; the magic number tells which.
//
// The digest is verified before anything else is read. A nil password leaves
// it unverified, as in Java, and sets Unauthenticated; the empty password is a
// password. Certificates and protected keys alias data, which must not change
// afterwards. No key is opened unless opts.Unlock says so. Aliases keep their
// spelling, entries and chains their order.
//
// Errors wrap trustkeep.ErrCorrupt, ErrUnsupported (version, class of a
// secret key), ErrLimit, or ErrIncorrectPassword where the digest does not
// match: the format cannot tell a wrong password from an altered file. Two
// aliases that fold equal are ErrCorrupt and ErrExists.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := parse(data, opts)
	if err != nil {
		return nil, fmt.Errorf("jks: %w", err)
	}
	if opts.Unlock {
		entry.UnlockAll(s.Entries, opts.Password, opts.Budget)
	}
	return s, nil
}

func parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	if len(data) < headerSize+sha1.Size {
		return nil, fmt.Errorf("shorter than an empty store: %w", trustkeep.ErrCorrupt)
	}
	if opts.Password == nil {
		return parseUnchecked(data, opts)
	}
	if err := fips.Refuse("the SHA-1 digest of JKS and JCEKS"); err != nil {
		return nil, err
	}
	body, stored := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
	computed := digest(opts.Password, body)
	if subtle.ConstantTimeCompare(computed[:], stored) != 1 {
		return parseLonger(data, opts)
	}
	return readStore(body, opts.Budget)
}

// parseUnchecked reads a file without a password. The JDK does not look at what comes
// behind the entries then.
func parseUnchecked(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, rest, err := readUpToDigest(data, opts)
	if err != nil {
		return nil, err
	}
	s.Unauthenticated = true
	s.Findings = append(s.Findings, entry.Unchecked())
	if rest > sha1.Size {
		s.Findings = append(s.Findings, bytesBehind(rest))
	}
	return s, nil
}

// readUpToDigest reads the entries. rest is how many bytes are behind them, at least a digest.
func readUpToDigest(data []byte, opts entry.ReadOptions) (s *entry.Store, rest int, err error) {
	s, rest, err = readEntries(data, opts.Budget)
	if err == nil && rest < sha1.Size {
		err = fmt.Errorf("%d bytes of digest: %w", rest, trustkeep.ErrCorrupt)
	}
	return s, rest, err
}

func bytesBehind(rest int) entry.Finding {
	return entry.Finding{
		Code: "bytes-behind-digest",
		Text: fmt.Sprintf("%d bytes follow the digest, which nothing vouches for; they were ignored, as the JDK does", rest-sha1.Size),
	}
}

// parseLonger reads a file whose digest is not its end: the JDK does not look at what
// comes behind it. A file that is broken on its face, such as one cut short, is told
// from one that only the password or the digest is wrong for.
func parseLonger(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, rest, err := readUpToDigest(data, opts)
	if err != nil {
		return nil, err
	}
	if rest == sha1.Size {
		return nil, fmt.Errorf("digest mismatch, wrong password or altered file: %w", trustkeep.ErrIncorrectPassword)
	}
	body := data[:len(data)-rest]
	computed := digest(opts.Password, body)
	if subtle.ConstantTimeCompare(computed[:], data[len(body):len(body)+sha1.Size]) != 1 {
		return nil, fmt.Errorf("%d bytes after the last entry, and no digest that matches: %w: %w", rest-sha1.Size, trustkeep.ErrCorrupt, trustkeep.ErrIncorrectPassword)
	}
	s.Findings = append(s.Findings, bytesBehind(rest))
	return s, nil
}

// digest is JavaKeyStore.getPreKeyedHash.
func digest(password, body []byte) (sum [sha1.Size]byte) {
	units := javaio.PasswordUnits(password)
	defer clear(units)
	h := sha1.New()
	h.Write(units)
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}
