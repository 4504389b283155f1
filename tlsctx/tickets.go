package tlsctx

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// minTicketSecret is the shortest secret of session tickets. Nothing slows down guessing it
// from a ticket.
const minTicketSecret = 32

// sharedKeys derives the ticket keys of a generation from Builder.TicketSecret (HKDF, RFC 5869):
// that of the day, which seals, and those of the day before and after, since the clocks of two
// servers differ. All that decides whether a session may go on is in the derivation, so servers
// that differ in it cannot open each other's tickets, and clients make a full handshake.
func (b Builder) sharedKeys(g *generation, now time.Time) ([]ticketKey, error) {
	state, err := b.ticketState(g)
	if err != nil {
		return nil, fmt.Errorf("session ticket secret: %w", err)
	}
	secret, err := b.TicketSecret.Reveal()
	if err != nil {
		return nil, fmt.Errorf("session ticket secret: %w", err)
	}
	defer clear(secret)
	if len(secret) < minTicketSecret {
		return nil, &trustkeep.Error{
			Op: "session ticket secret", Err: trustkeep.ErrInvalid,
			Hint: fmt.Sprintf("it needs %d octets at least, made at random: openssl rand -base64 32", minTicketSecret),
		}
	}
	today := now.UTC().Truncate(ticketKeyRotation)
	var keys []ticketKey
	for _, day := range []time.Time{today, today.Add(-ticketKeyRotation), today.Add(ticketKeyRotation)} {
		key, err := hkdf.Key(sha256.New, secret, state, "trustkeep session tickets "+day.Format(time.RFC3339), 32)
		if err != nil {
			return nil, fmt.Errorf("session ticket key: %w", err)
		}
		keys = append(keys, ticketKey{made: day, key: [32]byte(key)})
	}
	return keys, nil
}

// notOfTickets are the fields of a Builder that are no policy about clients, or have a digest of
// their own in ticketState.
var notOfTickets = []string{"Global", "Trusted", "Identity", "Routes", "ServerName", "ServerURI", "TicketSecret", "InsecureKeyLog", "Accepted", "AcceptedBestEffort", "Clock", "Rand"}

// ticketState is a digest of the policy, the trust and the identity. Functions and interfaces,
// such as Authorize, count as being there or not: resumed handshakes ask those of the server
// that they reach. All other fields are in it, those of later versions included.
func (b Builder) ticketState(g *generation) ([]byte, error) {
	h := sha256.New()
	policy := reflect.ValueOf(b)
	for i := range policy.NumField() {
		field := policy.Type().Field(i)
		if !field.IsExported() || slices.Contains(notOfTickets, field.Name) {
			continue
		}
		text, err := digestible(policy.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %v", field.Name, trustkeep.ErrInvalid, err)
		}
		note(h, field.Name, text)
	}
	if g.trust != nil {
		trust, err := g.trust.Digest()
		if err != nil {
			return nil, err
		}
		note(h, "trust", trust[:])
	}
	for _, c := range g.certs {
		note(h, "identity", slices.Concat(c.Certificate...))
	}
	return h.Sum(nil), nil
}

// note adds a named value of any length to a digest.
func note(h hash.Hash, name string, value []byte) {
	sum := sha256.Sum256(value)
	io.WriteString(h, strings.Join([]string{name, string(sum[:])}, "\x00"))
}

func digestible(v reflect.Value) ([]byte, error) {
	switch v.Kind() {
	case reflect.Func, reflect.Interface, reflect.Pointer, reflect.Chan:
		return fmt.Append(nil, !v.IsNil()), nil
	case reflect.Slice:
		if v.Len() == 0 {
			return nil, nil // nil or not
		}
	}
	if certs, ok := v.Interface().([]*x509.Certificate); ok {
		var out []byte
		for _, c := range certs {
			if c != nil {
				out = append(out, c.Raw...)
			}
		}
		return out, nil
	}
	return json.Marshal(v.Interface())
}
