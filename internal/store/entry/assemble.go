package entry

import "bytes"

// Assemble pairs loose keys with loose certificates, as PKCS#12 and PEM have
// them, and orders the chains. keys are of kind Key without a chain; certs
// have one certificate each, of any kind, and may carry a LocalKeyID and
// Marked.
//
// A key is paired by local key ID (RFC 7292 section 4.2), else by public key,
// where the codec knows it: ToBeOpened says for which keys it is wanted.
// Its chain is then completed from all the certificates. A certificate that
// became part of a chain is no entry of its own unless it is Marked. One that
// belongs to no key is Trusted in an input without keys and Opaque beside
// keys, since there nobody said that it is to be trusted.
func Assemble(keys, certs []*Entry) []*Entry {
	if len(keys) == 0 {
		for _, e := range certs {
			e.Kind = Trusted
		}
		return certs
	}
	all := make([]*Certificate, len(certs))
	for i, e := range certs {
		all[i] = e.Chain[0]
	}
	index := NewIndex(all)
	pairing := newPairing(certs)
	used := make(map[string]bool) // by DER: writers repeat a CA for each key
	for _, k := range keys {
		leaf := pairing.leafOf(k)
		if leaf == nil {
			continue
		}
		k.Chain = index.Chain(leaf.Chain[0])
		if k.Alias == "" {
			k.Alias = leaf.Alias
		}
		for _, c := range k.Chain {
			used[string(c.Raw)] = true
		}
	}
	out := append([]*Entry(nil), keys...)
	for _, e := range certs {
		switch {
		case e.Marked:
			e.Kind = Trusted
		case used[string(e.Chain[0].Raw)]:
			e.Chain[0].Label = e.Alias
			e.Chain[0].Attributes = e.Attributes
			e.Chain[0].LocalKeyID = e.LocalKeyID
			continue
		default:
			e.Kind = Opaque
		}
		out = append(out, e)
	}
	return out
}

// ToBeOpened returns the keys of which nothing but the public key can tell to
// which certificate they belong, and which therefore have to be opened.
func ToBeOpened(keys, certs []*Entry) []*Entry {
	if len(certs) == 0 {
		return nil
	}
	ids := make(map[string]bool)
	for _, c := range certs {
		if len(c.LocalKeyID) > 0 {
			ids[string(c.LocalKeyID)] = true
		}
	}
	var out []*Entry
	for _, e := range keys {
		k := e.Key
		if k != nil && k.Unlock != nil && k.PublicKeyInfo == nil && k.Opened == nil && k.OpenErr == nil && !ids[string(e.LocalKeyID)] {
			out = append(out, e)
		}
	}
	return out
}

// pairing finds the certificate of a key.
type pairing struct {
	certs  []*Entry
	byID   map[string][]*Entry
	bySPKI map[string]*Entry   // built when first needed
	byName map[string][]*Entry // likewise
}

func newPairing(certs []*Entry) *pairing {
	p := &pairing{certs: certs, byID: make(map[string][]*Entry)}
	for _, e := range certs {
		if len(e.LocalKeyID) > 0 {
			p.byID[string(e.LocalKeyID)] = append(p.byID[string(e.LocalKeyID)], e)
		}
	}
	return p
}

func (p *pairing) leafOf(k *Entry) *Entry {
	if len(k.LocalKeyID) > 0 {
		switch same := p.byID[string(k.LocalKeyID)]; len(same) {
		case 0:
		case 1:
			return same[0]
		default:
			leaf := endEntity(same)
			p.byID[string(k.LocalKeyID)] = []*Entry{leaf}
			return leaf
		}
	}
	if e := p.byPublicKey(k); e != nil {
		return e
	}
	if k.Alias != "" {
		// The only link left for a key whose public half cannot be
		// computed here.
		if p.byName == nil {
			p.byName = make(map[string][]*Entry)
			for _, e := range p.certs {
				if len(e.LocalKeyID) == 0 && !e.Marked {
					p.byName[e.Alias] = append(p.byName[e.Alias], e)
				}
			}
		}
		if named := p.byName[k.Alias]; len(named) == 1 && !mismatches(k, named[0]) {
			return named[0]
		}
	}
	return nil
}

// endEntity picks, among certificates that carry the same local key ID, the
// one that issued none of the others: some writers put the ID on the whole
// chain.
func endEntity(same []*Entry) *Entry {
	issuers := make(map[string]bool, len(same)) // names
	for _, e := range same {
		if o, ok := e.Chain[0].Outline(); ok && !bytes.Equal(o.Issuer, o.Subject) {
			issuers[string(o.Issuer)] = true
		}
	}
	for _, e := range same {
		if o, ok := e.Chain[0].Outline(); ok && !issuers[string(o.Subject)] {
			return e
		}
	}
	return same[0]
}

func (p *pairing) byPublicKey(k *Entry) *Entry {
	spki := publicKeyOf(k)
	if spki == nil {
		return nil
	}
	if p.bySPKI == nil {
		p.bySPKI = make(map[string]*Entry, len(p.certs))
		for _, e := range p.certs {
			o, ok := e.Chain[0].Outline()
			if !ok {
				continue
			}
			key := string(o.PublicKey)
			if have := p.bySPKI[key]; have == nil || have.Marked && !e.Marked {
				p.bySPKI[key] = e
			}
		}
	}
	return p.bySPKI[string(spki)]
}

// publicKeyOf is nil where the codec does not know the public half of the key.
func publicKeyOf(k *Entry) []byte {
	if k.Key == nil {
		return nil
	}
	return k.Key.PublicKeyInfo
}

func mismatches(k, cert *Entry) bool {
	spki := publicKeyOf(k)
	o, ok := cert.Chain[0].Outline()
	return spki != nil && ok && !bytes.Equal(spki, o.PublicKey)
}
