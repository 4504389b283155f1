package environment

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/trustkeep/trustkeep"
)

// String names the options without the signer, whose key package fmt would print.
func (o Options) String() string {
	text := "environment.Options"
	if o.Authority != nil {
		text += " of registry " + trustkeep.Printable(o.Authority.Registry())
	}
	return text
}

// String says whether the registry is signed, and under which Authority.
func (r *Registry) String() string {
	l, ok := r.storage.(*ledger)
	if !ok {
		return "registry that is not signed: whoever can write to the storage decides what is trusted"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("registry %s, signed, authority %d", trustkeep.Printable(l.authority.Registry()), l.authority.Number())
}

// Format implements fmt.Formatter as String.
func (r *Registry) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// String names the atom, its environment, and says whether it applies signed states alone.
func (a *Atom) String() string {
	text := "atom " + a.id + " of environment " + a.env
	if a.gate == nil {
		return text + ", not signed: whoever can write to the storage decides what is trusted"
	}
	a.gate.mu.Lock()
	defer a.gate.mu.Unlock()
	text += fmt.Sprintf(", signed, authority %d", a.gate.authority.Number())
	if a.gate.index != nil {
		text += fmt.Sprintf(", index %d", a.gate.index.statement().Number)
	}
	return text
}

// Format implements fmt.Formatter as String.
func (a *Atom) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// Format implements fmt.Formatter as String.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, o.String()) }

// LogValue implements slog.LogValuer as String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalText implements encoding.TextMarshaler as String.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }
