// Package given looks at interfaces that callers hand over. The nil pointer that an ignored
// error leaves behind is a wrong call there, and no reason to panic: the call may come from a
// handshake in a goroutine of a server.
package given

import (
	"reflect"

	"github.com/trustkeep/trustkeep"
)

// IsNil reports whether an interface holds nothing, or a nil pointer, function, map, slice or
// channel.
func IsNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Slice, reflect.Chan:
		return r.IsNil()
	}
	return false
}

// NilPointer reports whether an interface that may be left unset was set to a nil pointer.
func NilPointer(v any) bool { return v != nil && IsNil(v) }

// Snapshot asks a truststore.Source, S being truststore.Snapshot. It fails with
// trustkeep.ErrInvalid for a nil source and for one without an answer.
func Snapshot[S any](source interface{ Snapshot() (*S, error) }) (*S, error) {
	if IsNil(source) {
		return nil, &trustkeep.Error{Op: "nil trust", Err: trustkeep.ErrInvalid, Hint: "was the error of loading it checked?"}
	}
	s, err := source.Snapshot()
	if err == nil && s == nil {
		err = &trustkeep.Error{Op: "nil snapshot", Err: trustkeep.ErrInvalid}
	}
	return s, err
}
