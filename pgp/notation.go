package pgp

import (
	"bytes"
	"crypto"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/compose"
)

// Notation is a name and a value within a signature (RFC 9580 section 5.2.3.24), such as
// the number of an order. Verifiers can require it.
type Notation struct {
	// Name is "name@domain" of a domain that is yours.
	Name string
	// Value is text, or any bytes.
	Value string
	// Critical makes the signature invalid for every verifier that does not expect the
	// notation.
	Critical bool
}

// contextNotation is what GopenPGP and openpgp.js name it, too.
const contextNotation = "context@proton.ch"

// SigningContext is a critical notation that says what a signature is for, such as
// "invoice": a verifier who requires it takes no signature that was made for something
// else, and others take none with it. GopenPGP has the same.
func SigningContext(purpose string) Notation {
	return Notation{Name: contextNotation, Value: purpose, Critical: true}
}

func (n Notation) check() error {
	const most = 1 << 12 // all subpackets together have to fit into 64 KiB
	if n.Name == "" || len(n.Name) > most || !utf8.ValidString(n.Name) || strings.ContainsAny(n.Name, "\x00\n\r") || len(n.Value) > most {
		return fail(trustkeep.ErrInvalid, "notation %q", trustkeep.Printable(n.Name))
	}
	return nil
}

// howToSign checks what a caller wants in signatures.
func howToSign(hash crypto.Hash, lifetime time.Duration, notations []Notation) (compose.How, error) {
	const most = 8
	how := compose.How{Hash: hash}
	if hash != 0 && hashNumber(hash) == 0 {
		return how, fail(trustkeep.ErrInvalid, "hash %s for signatures", hash)
	}
	if lifetime < 0 || lifetime > 0 && lifetime < time.Second || lifetime/time.Second > math.MaxUint32 {
		return how, fail(trustkeep.ErrInvalid, "signatures with a lifetime of %s", lifetime)
	}
	how.Lifetime = uint32(lifetime / time.Second)
	if len(notations) > most {
		return how, fail(trustkeep.ErrInvalid, "%d notations", len(notations))
	}
	for _, n := range notations {
		if err := n.check(); err != nil {
			return how, err
		}
		how.Notations = append(how.Notations, &packet.Notation{
			Name: n.Name, Value: []byte(n.Value), IsCritical: n.Critical, IsHumanReadable: utf8.ValidString(n.Value),
		})
	}
	return how, nil
}

// notationsOf returns the notations of a signature that its signer signed.
func notationsOf(sig *packet.Signature) []Notation {
	var out []Notation
	for _, n := range sig.Notations {
		if n.Name != packet.SaltNotationName { // made up by GopenPGP to randomize signatures
			out = append(out, Notation{n.Name, string(n.Value), n.IsCritical})
		}
	}
	return out
}

// checkNotations requires the notations that are expected, and no critical one besides.
func (x expectation) checkNotations(sig *packet.Signature) error {
	is := func(want Notation, have *packet.Notation) bool {
		return have.Name == want.Name && bytes.Equal(have.Value, []byte(want.Value))
	}
	for _, n := range sig.Notations {
		if n.IsCritical && !slices.ContainsFunc(x.notations, func(want Notation) bool { return is(want, n) }) {
			return fail(trustkeep.ErrRejected, "signature with the critical notation %q", trustkeep.Printable(n.Name))
		}
	}
	for _, want := range x.notations {
		if !slices.ContainsFunc(sig.Notations, func(n *packet.Notation) bool { return is(want, n) }) {
			return fail(trustkeep.ErrRejected, "signature without the notation %q that is required", trustkeep.Printable(want.Name))
		}
	}
	return nil
}
