package bridge

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
)

// Outcome is the result of asking for a second opinion.
type Outcome uint8

// The outcomes. The zero Outcome is invalid.
const (
	// Agreed: the peer reads what was to be written.
	Agreed Outcome = iota + 1
	// Disagreed: the peer reads something else, fails or panics.
	Disagreed
	// NotAsked: the peer does not support such a store.
	NotAsked
)

// String returns "agreed", "disagreed", "not asked" or "invalid".
func (v Outcome) String() string {
	switch v {
	case Agreed:
		return "agreed"
	case Disagreed:
		return "disagreed"
	case NotAsked:
		return "not asked"
	}
	return "invalid"
}

// Opinion is the result of an independent implementation reading an encoded store.
type Opinion struct {
	Peer    string // "keystore-go" or "go-pkcs12"; empty if there is none for the format
	Outcome Outcome
	// Reason explains Disagreed and NotAsked, and names what Agreed leaves out, such as
	// keys that stayed locked. It is safe to log.
	Reason string
}

// String returns `go-pkcs12 disagreed: reason`.
func (o Opinion) String() string {
	text := o.Outcome.String()
	if o.Peer != "" {
		text = o.Peer + " " + text
	}
	if o.Reason != "" {
		text += ": " + o.Reason
	}
	return text
}

// Check is a value for SaveOptions.Check: it fails unless an independent implementation reads
// the encoded store as intended. The error wraps trustkeep.ErrRejected if the peer disagrees,
// and trustkeep.ErrUnsupported if it cannot be asked.
func Check(e trustkeep.Encoded) error {
	return check(e, false)
}

// CheckIfExpressible is Check, but accepts stores that no peer can read.
func CheckIfExpressible(e trustkeep.Encoded) error {
	return check(e, true)
}

func check(e trustkeep.Encoded, allowNotAsked bool) error {
	o := Ask(e)
	failure := func(cause error, hint string) error {
		return &trustkeep.Error{Op: "bridge: check", Format: string(e.Container), Err: fmt.Errorf("%s: %w", o, cause), Hint: hint}
	}
	switch o.Outcome {
	case Agreed:
		return nil
	case NotAsked:
		if allowNotAsked {
			return nil
		}
		return failure(trustkeep.ErrUnsupported, "CheckIfExpressible saves such stores unchecked")
	}
	return failure(trustkeep.ErrRejected, "the old store is kept")
}

// Ask returns the opinion of the independent implementation for the format of an encoded
// store.
func Ask(e trustkeep.Encoded) Opinion {
	switch e.Container {
	case trustkeep.JKS:
		return ask("keystore-go", e, askKeystoreGo)
	case trustkeep.PKCS12:
		return ask("go-pkcs12", e, askPKCS12)
	}
	return Opinion{Outcome: NotAsked, Reason: fmt.Sprintf("there is no second implementation of %s", e.Container)}
}

// ask calls a peer, whose panic is a disagreement.
func ask(peer string, e trustkeep.Encoded, judge func(trustkeep.Encoded, []byte) (Outcome, string)) (o Opinion) {
	o = Opinion{Peer: peer}
	password, err := reveal(e.Password)
	if err != nil {
		o.Outcome, o.Reason = NotAsked, "password: "+err.Error()
		return o
	}
	defer clear(password)
	defer func() {
		if r := recover(); r != nil {
			o.Outcome, o.Reason = Disagreed, trustkeep.Printable(fmt.Sprintf("panic: %v", r))
		}
	}()
	o.Outcome, o.Reason = judge(e, password)
	o.Reason = trustkeep.Printable(o.Reason)
	return o
}

// readable asks the peer once this module has read the store. The peers allocate whatever a
// damaged length asks for, which ends the process, and take a damaged algorithm for one that
// they do not know.
func readable(e trustkeep.Encoded, password []byte, askPeer func() (Outcome, string)) (Outcome, string) {
	store, err := formats.Parse(bytes.Clone(e.Data), entry.ReadOptions{Password: password, Budget: limits.New(trustkeep.Limits{})})
	switch {
	case errors.Is(err, trustkeep.ErrLimit):
		return NotAsked, err.Error()
	case err != nil:
		return Disagreed, "this module does not read it: " + err.Error()
	case store.Format != e.Container:
		return Disagreed, fmt.Sprintf("it is %s", store.Format)
	}
	return askPeer()
}

func reveal(p trustkeep.PasswordSource) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	return p.Reveal()
}
