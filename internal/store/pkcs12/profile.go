package pkcs12

import (
	"crypto"

	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// Source is what Parse records of how a file was written, for FromSource.
type Source struct {
	MAC   pbe.MACParams // zero: none
	Certs pbe.Params    // of the first encrypted safe; zero: none
	Keys  pbe.Params    // of the first shrouded key; zero: none
}

// Profile says how a file is written. It is a comparable value; make others by
// changing a copy.
type Profile struct {
	Name string
	// MAC is how the file is authenticated; zero is not at all.
	MAC pbe.MACParams
	// Certs is how certificates and everything that is not a key are
	// encrypted; zero is not at all.
	Certs pbe.Params
	// Keys is how private and secret keys are encrypted. With the zero
	// value no key with a password can be written.
	Keys pbe.Params
	// MarkTrusted marks trusted certificates for Java, also those that
	// were not marked when they were read. Java sees no others.
	MarkTrusted bool
}

// WithIterations returns the profile with another cost of all its derivations.
func (p Profile) WithIterations(n int64) Profile {
	for _, count := range []*int64{&p.MAC.Iterations, &p.Certs.Iterations, &p.Keys.Iterations} {
		if *count != 0 {
			*count = n
		}
	}
	return p
}

// Modern is what JDK 17 and OpenSSL 3 write: AES-256-CBC under
// PBKDF2-HMAC-SHA256, MAC of SHA-256, 10,000 iterations each. Read by JDK 8u301
// and later, OpenSSL 1.1.0 and later, and Windows Server 2019 and later.
func Modern() Profile {
	return Profile{
		Name:  "modern",
		MAC:   pbe.MACParams{KDF: pbe.PKCS12, Hash: crypto.SHA256, Iterations: 10_000, SaltLength: 20},
		Certs: pbe.Modern(10_000), Keys: pbe.Modern(10_000), MarkTrusted: true,
	}
}

// Current is Modern, and where fips.Enforced, which has no key derivation of
// PKCS#12, Modern2026.
func Current() Profile {
	if fips.Enforced() {
		return Modern2026()
	}
	return Modern()
}

// Legacy is SHA-1 and 3DES for everything, which every reader knows; OpenSSL 3
// without its legacy provider too.
func Legacy() Profile {
	return Profile{
		Name:  "legacy",
		MAC:   pbe.MACParams{KDF: pbe.PKCS12, Hash: crypto.SHA1, Iterations: 100_000, SaltLength: 20},
		Certs: pbe.Legacy3DES(50_000), Keys: pbe.Legacy3DES(50_000), MarkTrusted: true,
	}
}

// LegacyRC2 is Legacy with 40-bit RC2 for the certificates, as JDK 8 and
// OpenSSL before 3 wrote them. OpenSSL 3 reads it with -legacy only.
func LegacyRC2() Profile {
	p := Legacy()
	p.Name, p.Certs = "legacy-rc2", pbe.LegacyRC2(50_000)
	return p
}

// Modern2026 is Modern with PBMAC1 of RFC 9579 for a MAC. Read by JDK 26,
// OpenSSL 3.4 and later and NSS 3.103 and later.
func Modern2026() Profile {
	p := Modern()
	p.Name = "modern2026"
	p.MAC = pbe.MACParams{KDF: pbe.PBKDF2, Hash: crypto.SHA256, PRF: crypto.SHA256, Iterations: 10_000, SaltLength: 20, KeyLength: 32}
	return p
}

// Passwordless is a trust store without MAC and encryption, as the cacerts of
// JDK 18 and later is. It cannot hold keys that need a password.
func Passwordless() Profile { return Profile{Name: "passwordless", MarkTrusted: true} }

// FromSource is the profile by which the store was written, as far as this
// package writes it: with the same algorithms and iterations. It is Modern for
// a store that was not read from PKCS#12.
func FromSource(s *entry.Store) Profile {
	source, ok := s.Source.(Source)
	if !ok || s.Format != entry.PKCS12 {
		return Current()
	}
	p := Profile{Name: "source", MAC: source.MAC, Certs: source.Certs, Keys: source.Keys}
	if p.Keys == (pbe.Params{}) {
		// There was no encrypted key by which to go on.
		switch {
		case p.Certs == (pbe.Params{}):
			p.Keys = Current().Keys
		case p.Certs.Cipher == pbe.RC240:
			p.Keys = pbe.Legacy3DES(p.Certs.Iterations)
		default:
			p.Keys = p.Certs
		}
	}
	return p
}

// Era says who knows the algorithms: "PBMAC1", "AES" (which stands for SHA-256
// too) or "" for those that everybody knows.
func (s Source) Era() string {
	switch {
	case s.MAC.KDF == pbe.PBKDF2:
		return "PBMAC1"
	case s.MAC.Hash > crypto.SHA1, s.Certs.KDF == pbe.PBKDF2, s.Keys.KDF == pbe.PBKDF2, s.Certs.KDF == pbe.Scrypt, s.Keys.KDF == pbe.Scrypt:
		return "AES"
	}
	return ""
}
