package given

import (
	"errors"
	"io"
	"testing"

	"github.com/trustkeep/trustkeep"
)

type value struct{}

type source struct{ s *value }

func (s *source) Snapshot() (*value, error) { return s.s, nil }

type sourceFunc func() (*value, error)

func (f sourceFunc) Snapshot() (*value, error) { return f() }

func TestIsNil(t *testing.T) {
	for i, v := range []any{nil, (*value)(nil), sourceFunc(nil), []byte(nil), map[string]int(nil), (chan int)(nil)} {
		if !IsNil(v) || NilPointer(v) != (v != nil) {
			t.Errorf("%d: %T is something", i, v)
		}
	}
	for _, v := range []any{0, "", value{}, &value{}, []byte{}, map[string]int{}, io.EOF} {
		if IsNil(v) || NilPointer(v) {
			t.Errorf("%T is nothing", v)
		}
	}
}

func TestSnapshot(t *testing.T) {
	for i, s := range []interface{ Snapshot() (*value, error) }{nil, (*source)(nil), sourceFunc(nil), &source{}} {
		if got, err := Snapshot(s); got != nil || !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if got, err := Snapshot(&source{new(value)}); got == nil || err != nil {
		t.Error(err)
	}
	if _, err := Snapshot(sourceFunc(func() (*value, error) { return nil, io.EOF })); err != io.EOF {
		t.Error(err)
	}
}
