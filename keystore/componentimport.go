package keystore

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// componentOptions are the options of a kind, with those of an operation.
func (o Options) componentOptions(of content.Options) Options {
	of.Over(&o.Limits, &o.Clock, &o.Rand)
	return o
}

// Parse runs the stages of an import that are about the content.
func (k componentKind) Parse(file []byte, old content.Content, o content.Options) (content.Content, error) {
	var before *certificateContent
	if old != nil {
		var err error
		if before, err = asCertificate(old); err != nil {
			return nil, err
		}
	}
	if pgp, pem := content.Armor(file); pgp && pem {
		return nil, fmt.Errorf("an OpenPGP block beside PEM: %w", trustkeep.ErrUnsupported)
	}
	password, err := storefile.Reveal(o.Password)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	options := k.o.componentOptions(o)
	source := trustkeep.PasswordFunc(func() ([]byte, error) { return bytes.Clone(password.Bytes()), nil })
	ks, err := options.Parse(file, source)
	if err != nil {
		return nil, err
	}
	defer func() { ks.Close() }()
	keys, certs, err := contentOf(ks, o.Alias)
	if err != nil {
		return nil, err
	}
	if before != nil && (len(keys) > 0) != (before.store != nil) {
		return nil, fmt.Errorf("a component cannot take over a file of the other kind: %w", trustkeep.ErrUnsupported)
	}
	if len(keys) > 0 {
		key, err := onlyKey(keys)
		if err != nil {
			return nil, err
		}
		if own := ownPassword(key, o); own != nil {
			// Known by its alias only now.
			options.KeyPasswords = map[string]trustkeep.PasswordSource{key: own}
			again, err := options.Parse(file, source)
			if err != nil {
				return nil, err
			}
			ks.Close()
			ks = again
		}
		return k.importPrivate(ks, key, o, before)
	}
	return k.importPublic(certs, o, before)
}

// ownPassword is that of a key, if it is not the store's.
func ownPassword(alias string, o content.Options) trustkeep.PasswordSource {
	for name, p := range o.KeyPasswords {
		if p != nil && entry.Fold(name) == entry.Fold(alias) {
			return p
		}
	}
	return o.KeyPassword
}

// Entries implements content.Lister: keys, and certificates that no key has.
func (k componentKind) Entries(file []byte, o content.Options) ([]string, error) {
	if pgp, _ := content.Armor(file); pgp {
		return nil, fmt.Errorf("an OpenPGP block beside PEM: %w", trustkeep.ErrUnsupported)
	}
	ks, err := k.o.componentOptions(o).Parse(file, o.Password)
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	var out []string
	for _, e := range ks.Entries() {
		switch {
		case e.Kind == KeyEntry, e.Kind == TrustedEntry:
			out = append(out, e.Alias)
		case e.Kind == SecretEntry:
			return nil, fmt.Errorf("entry %q is a secret key: %w", trustkeep.Printable(e.Alias), trustkeep.ErrUnsupported)
		case len(e.RawChain) == 0 && e.Err != nil:
			return nil, e.Err // it may be a key
		}
	}
	for alias := range o.KeyPasswords {
		if !slices.ContainsFunc(out, func(have string) bool { return entry.Fold(have) == entry.Fold(alias) }) {
			return nil, fmt.Errorf("password for key %q: %w", trustkeep.Printable(alias), trustkeep.ErrNotFound)
		}
	}
	return out, nil
}

func onlyKey(keys []string) (string, error) {
	if len(keys) > 1 {
		return "", &trustkeep.Error{
			Op: "choose key", Err: fmt.Errorf("%d private keys in the file: %w", len(keys), trustkeep.ErrUnsupported),
			Hint: fmt.Sprintf("a component holds one; Options.Alias chooses, %q for example", trustkeep.Printable(keys[0])),
		}
	}
	return keys[0], nil
}

// contentOf returns the aliases of the keys and the certificates that no key has. An
// alias, where one is given, chooses: the certificate of that alias comes first.
func contentOf(ks *Keystore, alias string) (keys []string, certs [][]byte, err error) {
	for _, e := range ks.Entries() {
		switch e.Kind {
		case KeyEntry:
			keys = append(keys, e.Alias)
		case TrustedEntry:
			if len(e.RawChain) == 0 {
				return nil, nil, fmt.Errorf("entry %q: %w", trustkeep.Printable(e.Alias), e.Err)
			}
			certs = append(certs, e.RawChain[0])
		case SecretEntry:
			if alias == "" {
				return nil, nil, fmt.Errorf("entry %q is a secret key: %w", trustkeep.Printable(e.Alias), trustkeep.ErrUnsupported)
			}
		case OpaqueEntry:
			if alias == "" && len(e.RawChain) == 0 && e.Err != nil {
				return nil, nil, e.Err // it may be the key, or a link of the chain
			}
		}
	}
	if alias != "" {
		e, err := ks.Entry(alias)
		switch {
		case err != nil:
			return nil, nil, err
		case e.Kind == KeyEntry:
			return []string{e.Alias}, nil, nil
		case e.Kind == TrustedEntry:
			return nil, slices.Insert(certs, 0, e.RawChain[0]), nil
		}
		return nil, nil, fmt.Errorf("entry %q is of kind %s: %w", trustkeep.Printable(alias), e.Kind, trustkeep.ErrUnsupported)
	}
	if len(keys)+len(certs) == 0 {
		return nil, nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	}
	return keys, certs, nil
}

// importPublic takes over a certificate and its chain.
func (k componentKind) importPublic(certs [][]byte, o content.Options, before *certificateContent) (content.Content, error) {
	all := distinct(certs)
	var chain []*entry.Certificate
	if o.Alias != "" {
		chain = entry.NewIndex(all).Chain(all[0])
	} else if chain = oneChain(all); chain == nil {
		return nil, &trustkeep.Error{
			Op: "choose certificate", Err: fmt.Errorf("%d certificates that are no single chain: %w", len(all), trustkeep.ErrUnsupported),
			Hint: "a component holds one certificate with its chain; Options.Alias chooses",
		}
	}
	if before != nil {
		chain = append(chain, missingIssuers(chain, distinct(before.chain))...)
	}
	return checkedContent(rawOf(chain), nil)
}

// distinct leaves out repeated certificates.
func distinct(certs [][]byte) (all []*entry.Certificate) {
	have := make(map[string]bool, len(certs))
	for _, der := range certs {
		if !have[string(der)] {
			have[string(der)] = true
			all = append(all, entry.NewCertificate(der))
		}
	}
	return all
}

func rawOf(chain []*entry.Certificate) [][]byte {
	out := make([][]byte, len(chain))
	for i, c := range chain {
		out[i] = bytes.Clone(c.Raw) // which is a part of the file
	}
	return out
}

// oneChain puts certificates in order: the only one that none of the others names as its
// issuer, its chain, and then those that are another way up, such as that of a
// cross-signed CA. It returns nil unless there is one to start from: a component is one
// certificate.
func oneChain(all []*entry.Certificate) []*entry.Certificate {
	issuers := make(map[string]bool)
	for _, c := range all {
		if o, ok := c.Outline(); ok && !bytes.Equal(o.Issuer, o.Subject) {
			issuers[string(o.Issuer)] = true
		}
	}
	var leaf *entry.Certificate
	for _, c := range all {
		o, _ := c.Outline()
		if issuers[string(o.Subject)] {
			continue
		}
		if leaf != nil {
			return nil
		}
		leaf = c
	}
	if leaf == nil {
		return nil
	}
	return inOrder(leaf, all)
}

// inOrder returns the chain of a certificate as far as all have it, and then the rest.
func inOrder(leaf *entry.Certificate, all []*entry.Certificate) []*entry.Certificate {
	chain := entry.NewIndex(all).Chain(leaf)
	linked := len(chain)
	for _, c := range all {
		if !contains(chain[:linked], c.Raw) {
			chain = append(chain, c)
		}
	}
	return chain
}

// importPrivate takes over a private key and its chain, which must belong together.
func (k componentKind) importPrivate(ks *Keystore, alias string, o content.Options, before *certificateContent) (content.Content, error) {
	e, err := ks.Entry(alias)
	if err != nil {
		return nil, err
	}
	var spare, beside [][]byte
	var others [][][]byte // the chains of other keys
	for _, other := range ks.Entries() {
		switch other.Kind {
		case KeyEntry:
			if other.Alias != e.Alias {
				others = append(others, other.RawChain)
			}
		case OpaqueEntry:
			beside = append(beside, other.RawChain...)
			spare = append(spare, other.RawChain...)
		case TrustedEntry:
			spare = append(spare, other.RawChain...)
		}
	}
	if len(e.RawChain) == 0 {
		if len(spare) > 0 {
			return nil, fmt.Errorf("none of the %d certificates in the file is that of the private key: %w", len(spare), trustkeep.ErrKeyMismatch)
		}
		return nil, fmt.Errorf("private key without certificate: %w", trustkeep.ErrEmpty)
	}
	reading := ks.current().remaining()
	info, err := ks.checkKey(alias, reading)
	if err != nil {
		return nil, err
	}
	if info.Usable && !info.Matched {
		return nil, fmt.Errorf("the certificate cannot be compared with its key: %w", trustkeep.ErrKeyMismatch)
	}
	own := k.o.componentOptions(o).New()
	if err := own.copyFrom(ks, reading, alias); err != nil {
		return nil, err
	}
	if before != nil {
		spare = append(spare, before.chain...)
	}
	err = own.editChain("complete chain", alias, func([]*entry.Certificate) ([]*entry.Certificate, error) {
		chain := distinct(e.RawChain)
		chain = distinct(rawOf(append(chain, otherWays(chain, distinct(beside))...)))
		chain = append(chain, missingIssuers(chain, distinct(spare))...)
		if !ends(chain) {
			chain = distinct(rawOf(append(chain, beyondGap(beside, others)...)))
		}
		return inOrder(chain[0], chain), nil
	})
	if err != nil {
		return nil, err
	}
	return protect(own, alias, o)
}

// otherWays returns those of the certificates beside a key that a chain could go through
// as well, by their names. PKCS#12 and PEM do not say which certificates are a key's, and
// a component that is exported in one and imported again is to be the same.
func otherWays(chain, beside []*entry.Certificate) (others []*entry.Certificate) {
	bySubject := make(map[string][]*entry.Certificate)
	for _, c := range beside {
		if o, ok := c.Outline(); ok {
			bySubject[string(o.Subject)] = append(bySubject[string(o.Subject)], c)
		}
	}
	chain = slices.Clone(chain)
	for i := 0; i < len(chain); i++ {
		o, ok := chain[i].Outline()
		if !ok {
			continue
		}
		found := bySubject[string(o.Issuer)]
		delete(bySubject, string(o.Issuer))
		others, chain = append(others, found...), append(chain, found...)
	}
	return others
}

// ends reports whether a chain leads from its first certificate to a self-issued one.
func ends(chain []*entry.Certificate) bool {
	linked := entry.NewIndex(chain).Chain(chain[0])
	o, ok := linked[len(linked)-1].Outline()
	return ok && bytes.Equal(o.Issuer, o.Subject)
}

// beyondGap returns those of the certificates beside a key that may continue its chain behind
// an issuer that the file lacks: CAs that are not in the chain of another key.
func beyondGap(beside [][]byte, others [][][]byte) (out []*entry.Certificate) {
	taken := make(map[string]bool)
	index := entry.NewIndex(distinct(beside))
	for _, chain := range others {
		for _, first := range chain {
			for _, c := range index.Chain(entry.NewCertificate(first)) {
				taken[string(c.Raw)] = true
			}
		}
	}
	for _, c := range distinct(beside) {
		parsed, err := c.X509()
		if !taken[string(c.Raw)] && (err != nil || parsed.IsCA || parsed.Version < 3) {
			out = append(out, c)
		}
	}
	return out
}

// missingIssuers returns, in order, what continues a chain whose file leaves issuers out,
// as exports of the mere certificate do. What the file says of its own certificates is
// taken as it is; these come from elsewhere and are checked by signature.
func missingIssuers(chain, spare []*entry.Certificate) (missing []*entry.Certificate) {
	linked := entry.NewIndex(chain).Chain(chain[0])
	last := linked[len(linked)-1]
	index := entry.NewIndex(spare)
	for len(linked)+len(missing) < maxChain {
		next := index.Issuer(last)
		if next == nil || contains(chain, next.Raw) || contains(missing, next.Raw) {
			break
		}
		child, err := last.X509()
		if err != nil {
			break // one that crypto/x509 does not parse has no checked issuer
		}
		parent, err := next.X509()
		if err != nil || limits.IssuedBy(child, parent) != nil {
			break
		}
		missing, last = append(missing, next), next
	}
	return missing
}

// protect makes content of the only entry of a store, a private key, under the component's
// password, and closes the store.
func protect(ks *Keystore, alias string, o content.Options) (content.Content, error) {
	defer ks.Close()
	store, err := sealComponent(ks, alias, o, trustkeep.SaveOptions{Rand: o.Rand})
	if err != nil {
		return nil, err
	}
	return checkedContent(ks.Entries()[0].RawChain, store)
}

// checkedContent makes sure that content can be restored once it is stored.
func checkedContent(chain [][]byte, store []byte) (content.Content, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("private key without certificate: %w", trustkeep.ErrEmpty)
	}
	if i := slices.IndexFunc(chain, notACertificate); i >= 0 {
		return nil, fmt.Errorf("certificate %d of the chain: %w", i+1, trustkeep.ErrCorrupt)
	}
	return newCertificateContent(chain, store), nil
}

// sealComponent writes a store with one key as PKCS#12. A password is mandatory, and an
// empty one is none.
func sealComponent(ks *Keystore, alias string, o content.Options, save trustkeep.SaveOptions) ([]byte, error) {
	secret, err := storefile.Reveal(o.Protection())
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	if len(secret.Bytes()) == 0 {
		return nil, &trustkeep.Error{Op: "protect key", Err: fmt.Errorf("no password: %w", trustkeep.ErrInvalid), Hint: "a private key is never kept without one"}
	}
	if err := ks.Rename(alias, content.FileName(o.Name)); err != nil {
		return nil, err
	}
	if save.Profile == "" {
		save.Profile = trustkeep.Modern
	}
	save.Format, save.NoPassword = trustkeep.PKCS12, false
	save.Password = storefile.Revealed(secret)
	return ks.Encode(save)
}
