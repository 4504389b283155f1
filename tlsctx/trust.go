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
		return b.platform()
	}
	return snapshotOf(b.origin(), b.source(), b.MayBeEmpty)
}

// platform returns the system's roots, the same snapshot each time if they are remembered.
func (b Builder) platform() (*truststore.Snapshot, error) {
	if b.system != nil {
		return b.system, nil
	}
	return truststore.Platform()
}

// remembering is the Builder with the system's roots as they are now, for what lasts: each
// snapshot of them is another, and connections and sessions are kept by snapshot. Go reads
// them once for each process, so nothing is missed.
func (b Builder) remembering() (Builder, error) {
	var err error
	if b.origin() == FromSystem {
		b.system, err = truststore.Platform()
	}
	return b, err
}

// trustNow is clientTrust for explanations, which also want to see an empty
// store.
func (b Builder) trustNow() (*truststore.Snapshot, error) {
	if b.origin() == FromSystem {
		return b.platform()
	}
	return given.Snapshot(b.source())
}
