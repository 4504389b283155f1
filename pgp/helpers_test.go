package pgp

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
)

// quick are options with which a password costs next to nothing.
var quick = Options{Rand: quickkdf.Rand()}

func asError[E error](err error, target *E) bool { return errors.As(err, target) }

func isSentinel(err, sentinel error) bool { return errors.Is(err, sentinel) }

// cheap makes passwords cheap, unless the test shows what other programs read:
// they have to read what production writes.
func cheap(t testing.TB, o Options) Options {
	if o.Rand == nil && !strings.HasPrefix(t.Name(), "TestInterop") {
		o.Rand = quick.Rand
	}
	return o
}

// pw and passwords are short for what tests need all the time.
func pw(literal string) trustkeep.PasswordSource { return trustkeep.Password(literal) }

func passwords(literals ...string) []trustkeep.PasswordSource {
	var out []trustkeep.PasswordSource
	for _, l := range literals {
		out = append(out, pw(l))
	}
	return out
}
