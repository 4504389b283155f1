package pgp

import "errors"

func asError[E error](err error, target *E) bool { return errors.As(err, target) }

func isSentinel(err, sentinel error) bool { return errors.Is(err, sentinel) }
