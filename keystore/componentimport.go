package keystore

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/component"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// componentAlias is that of a component's key while it is worked on. In the store that is
// kept and exported it has the component's name.
const componentAlias = "component"

// importRevision runs the stages of an import up to the policy. before is what the file
// is to replace; nil for a new component.
func importRevision(ctx context.Context, name string, data []byte, o ComponentOptions, before *revision) (*revision, error) {
	reading := o.reading()
	if err := component.Admit(ctx, name, data, limits.New(reading.Limits), o.Scanner); err != nil {
		return nil, err
	}
	password, err := reveal(o.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	ks, err := reading.Parse(data, password.Bytes())
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	keys, certs, err := contentOf(ks, o.Alias)
	if err != nil {
		return nil, err
	}
	switch {
	case len(keys) > 1:
		return nil, &trustkeep.Error{
			Op: "choose key", Err: fmt.Errorf("%d private keys in the file: %w", len(keys), trustkeep.ErrUnsupported),
			Hint: fmt.Sprintf("a component holds one; ComponentOptions.Alias chooses, %q for example", trustkeep.Printable(keys[0])),
		}
	case len(keys) == 1:
		return importPrivate(ks, keys[0], name, o, before)
	}
	chain, err := oneChain(certs)
	if err != nil {
		return nil, err
	}
	return newRevision(chain, nil), nil
}

// contentOf returns the aliases of the keys and the certificates that are offered for
// trusting. Certificates beside keys belong to their chains or to nobody.
func contentOf(ks *Keystore, alias string) (keys []string, certs [][]byte, err error) {
	entries := ks.Entries()
	if alias != "" {
		e, err := ks.Entry(alias)
		if err != nil {
			return nil, nil, err
		}
		if e.Kind != KeyEntry && e.Kind != TrustedEntry {
			return nil, nil, fmt.Errorf("entry %q is of kind %s: %w", trustkeep.Printable(alias), e.Kind, trustkeep.ErrUnsupported)
		}
		entries = []Entry{e}
	}
	for _, e := range entries {
		switch e.Kind {
		case KeyEntry:
			keys = append(keys, e.Alias)
		case TrustedEntry:
			if len(e.RawChain) == 0 {
				return nil, nil, fmt.Errorf("entry %q: %w", trustkeep.Printable(e.Alias), e.Err)
			}
			certs = append(certs, e.RawChain[0])
		case SecretEntry:
			return nil, nil, fmt.Errorf("entry %q is a secret key: %w", trustkeep.Printable(e.Alias), trustkeep.ErrUnsupported)
		}
	}
	if len(keys)+len(certs) == 0 {
		return nil, nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	}
	return keys, certs, nil
}

// oneChain puts certificates in order, the one that issued none of the others first. They
// must be one chain: a component is one certificate.
func oneChain(certs [][]byte) ([][]byte, error) {
	var all []*entry.Certificate
	for _, der := range certs {
		repeated := false
		for _, c := range all {
			repeated = repeated || bytes.Equal(c.Raw, der)
		}
		if !repeated {
			all = append(all, entry.NewCertificate(der))
		}
	}
	index := entry.NewIndex(all)
	issuers := make(map[*entry.Certificate]bool)
	for _, c := range all {
		issuers[index.Issuer(c)] = true
	}
	for _, c := range all {
		if issuers[c] {
			continue
		}
		if chain := index.Chain(c); len(chain) == len(all) {
			out := make([][]byte, len(chain))
			for i, c := range chain {
				out[i] = bytes.Clone(c.Raw)
			}
			return out, nil
		}
		break
	}
	return nil, &trustkeep.Error{
		Op: "choose certificate", Err: fmt.Errorf("%d certificates that are no single chain: %w", len(all), trustkeep.ErrUnsupported),
		Hint: "a component holds one certificate with its chain; ComponentOptions.Alias chooses",
	}
}

// importPrivate takes over a private key and its chain, which must belong together.
func importPrivate(ks *Keystore, alias, name string, o ComponentOptions, before *revision) (*revision, error) {
	e, err := ks.Entry(alias)
	if err != nil {
		return nil, err
	}
	if len(e.RawChain) == 0 {
		return nil, fmt.Errorf("private key without certificate: %w", trustkeep.ErrEmpty)
	}
	info, err := ks.CheckKey(alias)
	if err != nil {
		return nil, err
	}
	if info.Usable && !info.Matched {
		return nil, fmt.Errorf("the certificate cannot be compared with its key: %w", trustkeep.ErrKeyMismatch)
	}
	own := o.reading().New()
	if err := own.CopyFrom(ks, alias); err != nil {
		return nil, err
	}
	if err := own.OrderChain(alias); err != nil {
		return nil, err
	}
	if err := completeChain(own, alias, before); err != nil {
		return nil, err
	}
	return protect(own, alias, name, o)
}

// completeChain appends issuers that the certificate before had and the file left out, as
// exports of the mere certificate do.
func completeChain(ks *Keystore, alias string, before *revision) error {
	if before == nil {
		return nil
	}
	e, err := ks.Entry(alias)
	if err != nil || len(e.Chain) != len(e.RawChain) {
		return err // a certificate that crypto/x509 does not parse has no checked issuer
	}
	last := e.Chain[len(e.Chain)-1]
	for _, der := range before.chain {
		c, err := x509.ParseCertificate(der)
		if err != nil || bytes.Equal(last.RawIssuer, last.RawSubject) || has(e.Chain, c) || !bytes.Equal(c.RawSubject, last.RawIssuer) || last.CheckSignatureFrom(c) != nil {
			continue
		}
		if err := ks.AppendToChain(alias, c); err != nil {
			return err
		}
		e.Chain, last = append(e.Chain, c), c
	}
	return nil
}

// protect makes a revision of the only entry of a store, a private key, under the
// component's password.
func protect(ks *Keystore, alias, name string, o ComponentOptions) (*revision, error) {
	defer ks.Close()
	store, err := sealComponent(ks, alias, name, o.protection(), SaveOptions{Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	e := ks.Entries()[0]
	return newRevision(e.RawChain, store), nil
}

// sealComponent writes a store with one key as PKCS#12. A password is mandatory, and an
// empty one is none.
func sealComponent(ks *Keystore, alias, name string, password trustkeep.PasswordSource, o SaveOptions) ([]byte, error) {
	secret, err := reveal(password)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	if len(secret.Bytes()) == 0 {
		return nil, &trustkeep.Error{Op: "protect key", Err: fmt.Errorf("no password: %w", trustkeep.ErrEmpty), Hint: "a private key is never kept without one"}
	}
	if err := ks.Rename(alias, component.FileName(name)); err != nil {
		return nil, err
	}
	o.Format, o.Password, o.NoPassword = trustkeep.PKCS12, password, false
	return ks.Encode(o)
}
