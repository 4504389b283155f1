// Package pemfile reads and writes bundles of PEM blocks (RFC 7468) in every
// spelling that is in use: certificates, revocation lists and private keys of
// any form, plain or encrypted, in any order, with whatever text between them.
package pemfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/openssh"
	"github.com/trustkeep/trustkeep/internal/store/pkcs7"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// Parse reads all blocks of data.
//
// Keys and certificates are paired by a localKeyID in the text before them, as
// openssl pkcs12 prints it, else by public key; encrypted keys that have to be
// paired by public key are opened with the password for it, on the cores there
// are. In a file without keys all certificates are trusted. Blocks without a
// friendlyName get an alias by the rule of package entry. Entries keep the
// order in which the file has their first block.
//
// A block that cannot be read becomes an Opaque entry with an error and does
// not hide the rest; when nothing else is there, its error is returned. Input
// that ends inside a block is trustkeep.ErrCorrupt. A password that opens none
// of the encrypted keys, where there are any, is
// trustkeep.ErrIncorrectPassword; no password leaves them locked.
//
// The entries share memory with data, which must not change afterwards.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := parse(data, opts)
	if err != nil {
		return nil, fmt.Errorf("pemfile: %w", err)
	}
	return s, nil
}

func parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	scan := scanner{data: normalize(data)}
	var blocks []*block
	for {
		b, err := scan.next()
		if err != nil {
			return nil, err
		}
		if b == nil {
			break
		}
		if err := opts.Budget.Entries(1); err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	if len(blocks) == 0 {
		return nil, corrupt("no PEM block")
	}
	r := &reader{opts: opts}
	for i, c := range decodeAll(blocks) {
		if err := r.add(blocks[i], c); err != nil {
			return nil, err
		}
	}
	for _, line := range scan.ignored {
		r.find("", "stray-line", fmt.Sprintf("line %d has a BEGIN or END that belongs to no block", line))
	}
	return r.store()
}

// content is what a block holds.
type content struct {
	der  []byte
	cert *entry.Entry // for certificates
	err  error
}

// chunk is how many blocks are decoded at a stretch.
const chunk = 32

// decodeAll decodes the blocks on the cores there are.
func decodeAll(blocks []*block) []content {
	contents := make([]content, len(blocks))
	entry.Parallel((len(blocks)+chunk-1)/chunk, func(i int) {
		var scratch []byte
		for j := i * chunk; j < min(len(blocks), (i+1)*chunk); j++ {
			b, c := blocks[j], &contents[j]
			if c.der, c.err = b.decode(&scratch); c.err == nil && isCertificate(b.label) {
				c.cert, c.err = newCertificate(b, c.der)
			}
		}
	})
	return contents
}

// reader collects what the blocks hold.
type reader struct {
	opts     entry.ReadOptions
	keys     []*entry.Entry
	certs    []*entry.Entry
	others   []*entry.Entry
	all      []*entry.Entry // the three in the order of the file
	findings []entry.Finding
	guessed  *entry.Entry // see pairByExclusion
	usable   bool         // some block could be read
	firstErr error        // of a block that could not
	broken   int          // blocks that could not
}

// maxBroken bounds the memory for errors. A file with more broken blocks than
// that is not one that somebody wants to keep for the rest of it.
const maxBroken = 1000

func (r *reader) find(alias, code, text string) {
	r.findings = append(r.findings, entry.Finding{Alias: alias, Code: code, Text: text})
}

// put appends e, which comes from the block b, to a list.
func (r *reader) put(list *[]*entry.Entry, b *block, e *entry.Entry) {
	if n := b.notes; n != nil {
		if n.named {
			e.Alias, e.Unnamed = n.alias, false
		}
		e.LocalKeyID, e.Created = n.localKeyID, n.created
	}
	r.all = append(r.all, e)
	*list = append(*list, e)
}

// add interprets one block. An error ends the reading.
func (r *reader) add(b *block, c content) error {
	switch {
	case isCertificate(b.label) && c.err == nil:
		c.cert.Marked = b.notes != nil && b.notes.trusted
		r.put(&r.certs, b, c.cert)
	case isKey(b.label) && c.err == nil:
		c.err = r.addKey(b, c.der)
	case b.label == "X509 CRL" && c.err == nil:
		var crl *entry.Entry
		if crl, c.err = entry.NewCRL(c.der); c.err == nil {
			r.put(&r.others, b, crl)
		}
	case IsPKCS7(b.label) && c.err == nil:
		c.err = r.addPKCS7(b, c.der)
	case b.label == "EC PARAMETERS" && c.err == nil:
		// openssl ecparam -genkey writes one before the key, which has
		// them too.
		return nil
	case isKnown(b.label) || b.err != nil:
		// c.err says how it is broken.
	default:
		// For other programs; whether it is base64 is theirs to know.
		c.err = nil
		r.addOpaque(b, nil)
	}
	if c.err != nil {
		err := fmt.Errorf("line %d: %s: %w", b.line, blockName(b), c.err)
		if errors.Is(err, trustkeep.ErrLimit) {
			return err
		}
		if r.firstErr == nil {
			r.firstErr = err
		}
		if r.broken++; r.broken > maxBroken {
			return fmt.Errorf("more than %d broken blocks: %w", maxBroken, trustkeep.ErrLimit)
		}
		r.addOpaque(b, fmt.Errorf("pemfile: %w", err))
		return nil
	}
	r.usable = true
	return nil
}

func (r *reader) addOpaque(b *block, err error) {
	r.put(&r.others, b, &entry.Entry{
		Alias: blockName(b), Unnamed: true, Kind: entry.Opaque, Raw: b.text, Err: err,
	})
}

// blockName is the alias of a block that says nothing else about itself.
func blockName(b *block) string {
	return cmp.Or(strings.ToLower(trustkeep.Printable(b.label)), "block")
}

// addKey adds the private key of a block.
func (r *reader) addKey(b *block, der []byte) error {
	var key *entry.PrivateKey
	var err error
	alias := ""
	switch {
	case b.isLegacyEncrypted():
		key, err = b.legacyKey(der)
	case b.label == openssh.Label:
		key, alias, err = openssh.NewKey(der)
	default:
		key, err = pkcs8.NewKey(der, r.opts.Budget)
	}
	if err != nil {
		return err
	}
	key.Protected = b.text
	alias = strings.ToValidUTF8(alias, "\ufffd")
	r.put(&r.keys, b, &entry.Entry{Kind: entry.Key, Alias: alias, Unnamed: alias == "", Key: key})
	return nil
}

// addPKCS7 adds the certificates and lists of a block. The text before it can
// name one entry, not several.
func (r *reader) addPKCS7(b *block, der []byte) error {
	certs, others, err := pkcs7.Read(der, r.opts)
	if err != nil {
		return err
	}
	if len(certs)+len(others) > 1 {
		b.notes = nil
	}
	for _, e := range certs {
		r.put(&r.certs, b, e)
	}
	for _, e := range others {
		r.put(&r.others, b, e)
	}
	return nil
}

// store puts the parts together.
func (r *reader) store() (*entry.Store, error) {
	if !r.usable && r.firstErr != nil {
		return nil, r.firstErr
	}
	if len(r.keys)+len(r.certs)+len(r.others) == 0 {
		return nil, fmt.Errorf("parameters without a key: %w", trustkeep.ErrUnsupported)
	}
	if isPGP(r.others) && len(r.keys)+len(r.certs) == 0 {
		return nil, fmt.Errorf("an OpenPGP message or key: %w", trustkeep.ErrUnsupported)
	}
	if err := r.unlock(); err != nil {
		return nil, err
	}
	r.pairByExclusion()
	entries := r.assemble()
	nameAll(entries)
	entry.Deduplicate(entries)
	r.review(entries)
	return &entry.Store{Format: entry.PEM, Entries: entries, Unauthenticated: true, Findings: r.findings}, nil
}

// assemble pairs keys and certificates and restores the order of the file.
func (r *reader) assemble() []*entry.Entry {
	assembled := entry.Assemble(r.keys, r.certs)
	for _, e := range r.keys {
		if e.Alias != "" && e != r.guessed {
			e.Unnamed = false // its certificate's name, if it had none
		}
	}
	if len(assembled)+len(r.others) == len(r.all) {
		return r.all
	}
	// Certificates that went into chains are no entries any more.
	left := make(map[*entry.Entry]bool, len(assembled)+len(r.others))
	for _, e := range slices.Concat(assembled, r.others) {
		left[e] = true
	}
	return slices.DeleteFunc(r.all, func(e *entry.Entry) bool { return !left[e] })
}

// nameAll makes up the aliases of certificates and keys without one.
func nameAll(entries []*entry.Entry) {
	entry.Parallel((len(entries)+chunk-1)/chunk, func(i int) {
		for _, e := range entries[i*chunk : min(len(entries), (i+1)*chunk)] {
			switch {
			case e.Alias != "":
				continue
			case len(e.Chain) > 0:
				e.Alias = entry.NameFor(e.Chain[0])
			default:
				e.Alias = "key"
			}
			e.Unnamed = true
		}
	})
}

// Labels returns the label of the first BEGIN line and the number of all of
// them, which is 0 for what is no PEM.
func Labels(data []byte) (first string, n int) {
	data = normalize(data)
	if n = bytes.Count(data, []byte(beginTag)); n > 0 {
		at := bytes.Index(data, []byte(beginTag)) + len(beginTag)
		first, _, _ = (&scanner{data: data}).label(at)
	}
	return first, n
}

func isCertificate(label string) bool {
	switch label {
	case "CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE", trustedLabel:
		return true
	}
	return false
}

func isKey(label string) bool {
	return label == "PRIVATE KEY" || strings.HasSuffix(label, " PRIVATE KEY") &&
		!strings.HasPrefix(label, "PGP ")
}

// IsPKCS7 reports whether blocks of that label hold PKCS#7 or CMS.
func IsPKCS7(label string) bool {
	switch label {
	case "PKCS7", "PKCS #7 SIGNED DATA", "CMS":
		return true
	}
	return false
}

func isKnown(label string) bool {
	return isCertificate(label) || isKey(label) || IsPKCS7(label) || label == "X509 CRL" || label == "EC PARAMETERS"
}

func isPGP(others []*entry.Entry) bool {
	for _, e := range others {
		if !bytes.HasPrefix(e.Raw, []byte(beginTag+"PGP ")) {
			return false
		}
	}
	return len(others) > 0
}
