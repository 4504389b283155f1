package keystore

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs7"
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

func (c *certificateContent) ExportPublic(suffix string) (f content.File, err error) {
	f.Suffix = suffix
	switch suffix {
	case "", SuffixCER:
		f.Suffix, f.Data = SuffixCER, inPEM(c.chain[:1])
	case SuffixDER:
		f.Data = bytes.Clone(c.chain[0])
	case SuffixPEM:
		f.Data = inPEM(c.chain)
	case SuffixP7B:
		s := &entry.Store{}
		for _, der := range c.chain {
			s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Chain: []*entry.Certificate{entry.NewCertificate(der)}})
		}
		f.Data, err = pkcs7.Encode(s)
	default:
		err = fmt.Errorf("a certificate as %q: %w", trustkeep.Printable(suffix), trustkeep.ErrUnsupported)
	}
	return f, err
}

func inPEM(chain [][]byte) []byte {
	var out bytes.Buffer
	for _, der := range chain {
		pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a Buffer takes everything
	}
	return out.Bytes()
}

func (c *certificateContent) ExportPrivate(e content.ExportOptions, o content.Options) (f content.File, err error) {
	if f.Suffix = e.Suffix; f.Suffix == "" {
		f.Suffix = SuffixP12
	}
	if !slices.Contains([]string{SuffixP12, SuffixPFX}, f.Suffix) {
		return f, fmt.Errorf("a private key as %q: %w", trustkeep.Printable(f.Suffix), trustkeep.ErrUnsupported)
	}
	f.Data, err = c.sealed(o, trustkeep.SaveOptions{Profile: e.Profile, Rand: o.Rand})
	return f, err
}

func (c *certificateContent) Files() []content.File {
	out := []content.File{{Suffix: SuffixCER, Data: inPEM(c.chain[:1])}}
	if c.store != nil {
		out = append(out, content.File{Suffix: SuffixP12, Data: bytes.Clone(c.store)})
	}
	return out
}
