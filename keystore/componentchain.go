package keystore

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/certpath"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// CodeMissingIssuer (warning): the chain of a component has a gap. What is beyond it is kept.
// Package audit has the same code for chains that end before a root.
const CodeMissingIssuer trustkeep.Code = "missing-issuer"

// Findings implements component.Component.Findings.
func (c *certificateContent) Findings() []trustkeep.Finding {
	chain := distinct(c.chain)
	linked := entry.NewIndex(chain).Chain(chain[0])
	o, ok := linked[len(linked)-1].Outline()
	if !ok || bytes.Equal(o.Issuer, o.Subject) || len(linked) == len(chain) {
		return nil
	}
	last := certinfo.Describe(linked[len(linked)-1].Raw)
	return []trustkeep.Finding{{
		Subject: last.Subject, Code: CodeMissingIssuer, Severity: trustkeep.Warning,
		Text:   fmt.Sprintf("the chain lacks %s, which signed %s; %d certificates of the file that are no part of it are kept", last.Issuer, last.Subject, len(chain)-len(linked)),
		Remedy: "add it with CompleteChain",
	}}
}

// EditChain implements component.Component.CompleteChain and SetChain.
func (c *certificateContent) EditChain(file []byte, replace bool, o content.Options) (content.Content, error) {
	given, err := certificatesOf(file, o)
	if err != nil {
		return nil, err
	}
	edit := completed
	if replace {
		edit = replacedBy
	}
	chain, err := edit(distinct(c.chain), given)
	if err != nil {
		return nil, err
	}
	if slices.EqualFunc(chain, c.chain, func(a *entry.Certificate, der []byte) bool { return bytes.Equal(a.Raw, der) }) {
		return c, nil
	}
	if c.store == nil {
		return checkedContent(rawOf(chain), nil)
	}
	ks, err := c.open(o.Password, o)
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	alias := ks.Aliases()[0]
	if err := ks.editChain("edit chain", alias, func([]*entry.Certificate) ([]*entry.Certificate, error) { return chain, nil }); err != nil {
		return nil, err
	}
	return protect(ks, alias, o)
}

// maxGiven bounds the certificates to choose issuers from, such as the bundle of a CA.
const maxGiven = 1000

// certificatesOf returns the certificates of a file. Keys in it are ignored.
func certificatesOf(file []byte, o content.Options) ([]*entry.Certificate, error) {
	ks, err := Options{}.componentOptions(o).Parse(file, nil)
	if err != nil {
		return nil, err
	}
	defer ks.Close()
	var all [][]byte
	for _, e := range ks.Entries() {
		all = append(all, e.RawChain...)
	}
	switch {
	case len(all) == 0:
		return nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	case len(all) > maxGiven:
		return nil, fmt.Errorf("%d certificates, at most %d: %w", len(all), maxGiven, trustkeep.ErrLimit)
	}
	given := distinct(all)
	for i, c := range given {
		given[i] = entry.NewCertificate(bytes.Clone(c.Raw)) // which was a part of the store
	}
	return given, nil
}

// linked reports why one certificate is not the issuer of another.
func linked(child, parent *entry.Certificate) error {
	c, err := child.X509()
	if err != nil {
		return err
	}
	p, err := parent.X509()
	if err != nil {
		return err
	}
	return certpath.Link(c, p)
}

// completed puts the certificates that are given where they continue a chain, each checked by
// its signature. What the chain has stays, in order.
func completed(chain, given []*entry.Certificate) ([]*entry.Certificate, error) {
	index := entry.NewIndex(slices.Concat(chain, given))
	out := []*entry.Certificate{chain[0]}
	added := false
	for len(out) < maxChain {
		last := out[len(out)-1]
		next := index.Issuer(last)
		if next == nil || contains(out, next.Raw) {
			break
		}
		if !contains(chain, next.Raw) {
			if err := linked(last, next); err != nil && added {
				break // a namesake in a bundle
			} else if err != nil {
				return nil, err
			}
			added = true
		}
		out = append(out, next)
	}
	last := out[len(out)-1]
	if o, ok := last.Outline(); !added && (!ok || !bytes.Equal(o.Issuer, o.Subject)) {
		d := certinfo.Describe(last.Raw)
		return nil, fmt.Errorf("missing issuer: none of the certificates is that of \"%s\", which signed that of \"%s\": %w", d.Issuer, d.Subject, trustkeep.ErrNotFound)
	}
	for _, c := range chain {
		if !contains(out, c.Raw) {
			out = append(out, c)
		}
	}
	return out, nil
}

// replacedBy returns the first certificate of a chain with those that are given as its issuers,
// in order. Each of them must have signed another one, checked by its signature.
func replacedBy(chain, given []*entry.Certificate) ([]*entry.Certificate, error) {
	leaf := chain[0]
	all := append([]*entry.Certificate{leaf}, slices.DeleteFunc(given, func(c *entry.Certificate) bool { return bytes.Equal(c.Raw, leaf.Raw) })...)
	if len(all) > maxChain {
		return nil, fmt.Errorf("a chain of %d certificates, at most %d: %w", len(all), maxChain, trustkeep.ErrLimit)
	}
	placed := all[:1:1]
	for i := 0; i < len(placed); i++ {
		for _, c := range all[1:] {
			if !contains(placed, c.Raw) && named(placed[i], c) && linked(placed[i], c) == nil {
				placed = append(placed, c)
			}
		}
	}
	for _, c := range all {
		if !contains(placed, c.Raw) {
			err := whyStray(all, c)
			return nil, &trustkeep.Error{Op: "set chain", Err: err, Hint: "give the issuers of the component's certificate and no others"}
		}
	}
	return inOrder(leaf, placed), nil
}

// named reports whether a certificate names another one as its issuer.
func named(child, parent *entry.Certificate) bool {
	c, ok := child.Outline()
	p, okToo := parent.Outline()
	return ok && okToo && bytes.Equal(c.Issuer, p.Subject)
}

// whyStray explains why a certificate is no link of a chain.
func whyStray(all []*entry.Certificate, stray *entry.Certificate) error {
	for _, c := range all {
		if named(c, stray) && !bytes.Equal(c.Raw, stray.Raw) {
			if err := linked(c, stray); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("\"%s\" has signed none of the other certificates: %w", certinfo.Describe(stray.Raw).Subject, trustkeep.ErrInvalid)
}
