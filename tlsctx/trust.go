package tlsctx

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/truststore"
)

// Origin is where the trust of a connection comes from.
type Origin string

// The origins.
const (
	// FromTrusted is the connection's own trust, Builder.Trusted.
	FromTrusted Origin = "trusted"
	// FromGlobal is the trust of the environment, Builder.Global.
	FromGlobal Origin = "global"
	// FromSystem are the roots of the operating system.
	FromSystem Origin = "system"
	// FromNowhere is that of a server that asks for no certificates.
	FromNowhere Origin = "none"
)

// origin is the one place where precedence is decided: the connection's own
// trust replaces the environment's.
func (b Builder) origin() Origin {
	switch {
	case b.Trusted != nil:
		return FromTrusted
	case b.Global != nil:
		return FromGlobal
	}
	return FromSystem
}

// source returns the source that counts, nil for the system's roots.
func (b Builder) source() truststore.Source {
	switch b.origin() {
	case FromTrusted:
		return b.Trusted
	case FromGlobal:
		return b.Global
	}
	return nil
}

// snapshotOf asks a source. Unless that is meant, an empty answer is none.
func snapshotOf(origin Origin, source truststore.Source, mayBeEmpty bool) (*truststore.Snapshot, error) {
	s, err := given.Snapshot(source)
	if err != nil {
		return nil, fmt.Errorf("%s trust: %w", origin, err)
	}
	if s.Empty() && !mayBeEmpty {
		return nil, &trustkeep.Error{
			Op: string(origin) + " trust", Err: trustkeep.ErrEmpty,
			Hint: "the store has no certificate and would trust nobody",
		}
	}
	return s, nil
}

// clientTrust returns what a client trusts now.
func (b Builder) clientTrust() (*truststore.Snapshot, error) {
	if b.origin() == FromSystem {
		return truststore.Platform()
	}
	return snapshotOf(b.origin(), b.source(), b.MayBeEmpty)
}

// trustNow is clientTrust for explanations, which also want to see an empty
// store.
func (b Builder) trustNow() (*truststore.Snapshot, error) {
	if b.origin() == FromSystem {
		return truststore.Platform()
	}
	return given.Snapshot(b.source())
}
