package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// The octets of the object identifiers 2.5.29.21 and 2.5.29.29.
var (
	reasonOID = []byte{0x55, 0x1d, 21}
	issuerOID = []byte{0x55, 0x1d, 29}
)

// parseCRL reads a list and keeps der. crypto/x509 reads all but the entries, of which it
// would make ten times the memory.
func parseCRL(der []byte) (*CRL, error) {
	l, err := parseList(der)
	if err != nil {
		return nil, fmt.Errorf("revocation: list: %w: %w", trustkeep.ErrCorrupt, err)
	}
	return l, nil
}

var errMalformed = errors.New("malformed list")

func parseList(der []byte) (*CRL, error) {
	head, entries, tbs, whole, err := split(der)
	if err != nil {
		return nil, err
	}
	l := &CRL{entries: entries}
	if l.head, err = x509.ParseRevocationList(head); err != nil {
		return nil, err
	}
	l.head.Raw, l.head.RawTBSRevocationList = whole, tbs
	l.scope, l.unusable = readScope(l.head)
	return l, l.readEntries()
}

// split parts a list into what is about the whole of it, in a list without entries, and the
// entries. All but head are parts of der.
func split(der []byte) (head, entries, tbs, whole []byte, err error) {
	input := cryptobyte.String(der)
	var outer, list, inner, before, revoked cryptobyte.String
	if !input.ReadASN1Element(&outer, tag.SEQUENCE) {
		return nil, nil, nil, nil, errMalformed
	}
	whole = outer
	if !outer.ReadASN1(&list, tag.SEQUENCE) || !list.ReadASN1Element(&inner, tag.SEQUENCE) {
		return nil, nil, nil, nil, errMalformed
	}
	tbs = inner
	if !inner.ReadASN1(&inner, tag.SEQUENCE) {
		return nil, nil, nil, nil, errMalformed
	}
	all := inner
	// Version, algorithm, issuer, thisUpdate and nextUpdate come before the entries.
	for _, want := range []tag.Tag{tag.INTEGER, tag.SEQUENCE, tag.SEQUENCE} {
		if !inner.ReadASN1Element(&before, want) {
			return nil, nil, nil, nil, errMalformed
		}
	}
	var which tag.Tag
	for inner.PeekASN1Tag(tag.UTCTime) || inner.PeekASN1Tag(tag.GeneralizedTime) {
		if !inner.ReadAnyASN1Element(&before, &which) {
			return nil, nil, nil, nil, errMalformed
		}
	}
	before = all[:len(all)-len(inner)]
	present := inner.PeekASN1Tag(tag.SEQUENCE)
	if present && !inner.ReadASN1(&revoked, tag.SEQUENCE) {
		return nil, nil, nil, nil, errMalformed
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			if present {
				b.AddASN1(tag.SEQUENCE, func(*cryptobyte.Builder) {}) // what follows is no entries
			}
			b.AddBytes(inner)
		})
		b.AddBytes(list)
	})
	head, err = b.Bytes()
	return head, revoked, tbs, whole, err
}

// readEntries checks the entries and sorts them.
func (l *CRL) readEntries() error {
	rest := cryptobyte.String(l.entries)
	if len(rest) > 1<<32-1 {
		return errMalformed
	}
	own := true // the entries are of the list's own issuer (RFC 5280 section 5.3.3)
	n := 0
	for count := rest; !count.Empty(); n++ {
		if !count.SkipASN1(tag.SEQUENCE) {
			return errMalformed
		}
	}
	l.index = make([]uint32, 0, n)
	for !rest.Empty() {
		at := len(l.entries) - len(rest)
		var e entry
		if err := e.read(&rest); err != nil {
			return err
		}
		if e.issuer != nil {
			own = bytes.Equal(e.issuer, l.head.RawIssuer)
			if l.unusable == nil {
				l.unusable = errors.New("list has entries of other issuers")
			}
		}
		// RFC 5280 section 5.3: a list with an entry that cannot be
		// understood must not be used to clear anybody.
		if e.critical && l.unusable == nil {
			l.unusable = errors.New("list has entries with a critical extension that is not understood")
		}
		if own {
			l.index = append(l.index, uint32(at))
		}
	}
	slices.SortFunc(l.index, func(a, b uint32) int { return bytes.Compare(l.serialAt(a), l.serialAt(b)) })
	l.compact()
	return nil
}

// compact leaves of the entries of one serial number the first for good, the first on hold, and
// the first that removes it, so that finding it stays cheap however often it is listed.
func (l *CRL) compact() {
	out := l.index[:0]
	for from := 0; from < len(l.index); {
		to := from + 1
		for to < len(l.index) && bytes.Equal(l.serial(from), l.serial(to)) {
			to++
		}
		if to-from == 1 {
			out = append(out, l.index[from])
			from = to
			continue
		}
		type first struct {
			at   uint32
			when time.Time
		}
		var kept [3]*first
		for _, at := range l.index[from:to] {
			e := l.entryAt(at)
			if k := &kept[weight(e.reason)]; *k == nil || e.when.Before((*k).when) {
				*k = &first{at, e.when}
			}
		}
		for _, k := range kept {
			if k != nil {
				out = append(out, k.at)
			}
		}
		from = to
	}
	l.index = out
}

// entry is one revocation.
type entry struct {
	serial   []byte // content of the INTEGER
	when     time.Time
	reason   int
	issuer   []byte // name of another issuer
	critical bool   // has an extension that is critical and not understood
}

// read takes an entry off a list.
func (e *entry) read(rest *cryptobyte.String) error {
	var body, serial, extensions cryptobyte.String
	var value big.Int
	var present bool
	if !rest.ReadASN1(&body, tag.SEQUENCE) || !body.ReadASN1Element(&serial, tag.INTEGER) {
		return errMalformed
	}
	again := serial
	if !serial.ReadASN1(&serial, tag.INTEGER) || !again.ReadASN1Integer(&value) || !readTime(&body, &e.when) || !body.ReadOptionalASN1(&extensions, &present, tag.SEQUENCE) {
		return errMalformed
	}
	e.serial = serial
	reasons := 0
	for !extensions.Empty() {
		var x, id, content cryptobyte.String
		var critical bool
		var parsed asn1.ObjectIdentifier
		if !extensions.ReadASN1(&x, tag.SEQUENCE) {
			return errMalformed
		}
		if again := x; !again.ReadASN1ObjectIdentifier(&parsed) || !x.ReadASN1(&id, tag.OBJECT_IDENTIFIER) ||
			x.PeekASN1Tag(tag.BOOLEAN) && !x.ReadASN1Boolean(&critical) || !x.ReadASN1(&content, tag.OCTET_STRING) {
			return errMalformed
		}
		switch {
		case bytes.Equal(id, reasonOID):
			var reason int
			if !content.ReadASN1Enum(&reason) {
				return errMalformed
			}
			if reasons++; reasons == 1 || final(reason) {
				e.reason = reason // of several, the one that is not undone
			}
		case bytes.Equal(id, issuerOID):
			e.issuer = directoryName(content)
		case critical:
			e.critical = true
		}
	}
	return nil
}

func readTime(s *cryptobyte.String, out *time.Time) bool {
	if s.PeekASN1Tag(tag.UTCTime) {
		return s.ReadASN1UTCTime(out)
	}
	return s.ReadASN1GeneralizedTime(out)
}

// directoryName returns the name in GeneralNames of one directory name, and something that is
// no name for anything else.
func directoryName(names cryptobyte.String) []byte {
	var outer, name cryptobyte.String
	if !names.ReadASN1(&outer, tag.SEQUENCE) || !outer.ReadASN1(&name, tag.Tag(4).ContextSpecific().Constructed()) || !outer.Empty() {
		return []byte{}
	}
	return name
}

// serial returns the number of the i-th entry.
func (l *CRL) serial(i int) []byte { return l.serialAt(l.index[i]) }

// serialAt returns the number of the entry there, which was read before.
func (l *CRL) serialAt(at uint32) []byte {
	rest := cryptobyte.String(l.entries[at:])
	var body, serial cryptobyte.String
	_ = rest.ReadASN1(&body, tag.SEQUENCE) && body.ReadASN1(&serial, tag.INTEGER)
	return serial
}

// find returns the entry of a certificate that counts the most at a time: one that is not
// undone before one on hold, and any before one that removes the certificate. It returns
// nil for none. Of a list that is out at that time, all entries count: it names what is revoked,
// however the issuer has dated that.
func (l *CRL) find(serial *big.Int, until time.Time) (found *entry) {
	key := serialKey(serial)
	if key == nil {
		return nil
	}
	out := !l.head.ThisUpdate.After(until)
	i, _ := slices.BinarySearchFunc(l.index, key, func(at uint32, key []byte) int { return bytes.Compare(l.serialAt(at), key) })
	for ; i < len(l.index) && bytes.Equal(l.serial(i), key); i++ {
		e := l.entryAt(l.index[i])
		if !out && e.when.After(until) {
			continue
		}
		if found == nil || weight(e.reason) > weight(found.reason) {
			found = &e
		}
	}
	return found
}

// entryAt reads the entry there, which was read before.
func (l *CRL) entryAt(at uint32) (e entry) {
	rest := cryptobyte.String(l.entries[at:])
	_ = e.read(&rest)
	return e
}

// serialKey is the content of a serial number's INTEGER.
func serialKey(serial *big.Int) []byte {
	if serial == nil {
		return nil
	}
	der, err := asn1.Marshal(serial)
	var raw asn1.RawValue
	if err == nil {
		_, err = asn1.Unmarshal(der, &raw)
	}
	if err != nil {
		return nil
	}
	return raw.Bytes
}

// The reasons that can be undone (RFC 5280 section 5.3.1).
const (
	hold    = 6
	removed = 8
)

// final reports whether a revocation for that reason is not undone.
func final(reason int) bool { return reason != hold && reason != removed }

func weight(reason int) int {
	switch reason {
	case removed:
		return 0
	case hold:
		return 1
	}
	return 2
}
