package keystore

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/pkcs7"
)

// The suffixes of exported files, and what is in the file.
const (
	SuffixCER = ".cer" // the certificate, PEM
	SuffixDER = ".der" // the certificate, DER
	SuffixPEM = ".pem" // the certificate and its chain, PEM
	SuffixP7B = ".p7b" // the certificate and its chain, PKCS#7, whose sets have no order
	SuffixP12 = ".p12" // the key, its certificate and the chain, PKCS#12
	SuffixPFX = ".pfx" // the same, as Windows calls it
)

// ExportPublic returns the certificate, in the form that the suffix stands for, and a
// name for the file. It is what partners need to trust the component and to encrypt to
// it; no private key is ever in it. Empty stands for SuffixCER. The error wraps
// ErrUnsupported for another suffix.
func (c *Component) ExportPublic(suffix string) (fileName string, data []byte, err error) {
	chain := c.current().chain
	switch suffix {
	case "", SuffixCER:
		suffix, data = SuffixCER, inPEM(chain[:1])
	case SuffixDER:
		data = bytes.Clone(chain[0])
	case SuffixPEM:
		data = inPEM(chain)
	case SuffixP7B:
		s := &entry.Store{}
		for _, der := range chain {
			s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Chain: []*entry.Certificate{entry.NewCertificate(der)}})
		}
		if data, err = pkcs7.Encode(s); err != nil {
			return "", nil, componentError("export", c.name, err)
		}
	default:
		return "", nil, componentError("export", c.name, fmt.Errorf("a certificate as %q: %w", trustkeep.Printable(suffix), trustkeep.ErrUnsupported))
	}
	return component.FileName(c.name) + suffix, data, nil
}

func inPEM(chain [][]byte) []byte {
	var out bytes.Buffer
	for _, der := range chain {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a Buffer takes everything
	}
	return out.Bytes()
}

// ExportOptions says how a private key is exported.
type ExportOptions struct {
	// Suffix is SuffixP12 or SuffixPFX, which differ in nothing else. Empty is
	// SuffixP12.
	Suffix string
	// Profile is who is to read the file; empty is trustkeep.Modern.
	Profile trustkeep.Profile
}

// ExportPrivate returns the private key with its certificate and chain as a PKCS#12
// store under a password of the caller's choice, and a name for the file. current is the
// component's own password.
//
// The error wraps ErrUnsupported for a public component, ErrEmpty when no password is
// given, ErrIncorrectPassword.
func (c *Component) ExportPrivate(current, password trustkeep.PasswordSource, o ExportOptions) (fileName string, data []byte, err error) {
	if o.Suffix == "" {
		o.Suffix = SuffixP12
	}
	if !slices.Contains([]string{SuffixP12, SuffixPFX}, o.Suffix) {
		return "", nil, componentError("export", c.name, fmt.Errorf("a private key as %q: %w", trustkeep.Printable(o.Suffix), trustkeep.ErrUnsupported))
	}
	data, err = c.sealed(current, password, trustkeep.SaveOptions{Profile: o.Profile})
	if err != nil {
		return "", nil, componentError("export", c.name, err)
	}
	return component.FileName(c.name) + o.Suffix, data, nil
}
