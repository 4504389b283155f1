package testleak

import (
	"fmt"
	"strings"
	"testing"
)

type (
	text    struct{ secret string }
	octets  struct{ Secret []byte }
	pointer struct{ inner *octets }
	quiet   struct{ secret func() string }
	// methods has all that is asked for, and still shows in a field that is not exported.
	methods struct{ secret string }
)

func (methods) Format(f fmt.State, _ rune)   { fmt.Fprint(f, "…") }
func (methods) MarshalText() ([]byte, error) { return nil, nil }

// recorder notes failures.
type recorder struct {
	testing.TB
	failed []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}
func (r *recorder) Helper() {}

func TestCheck(t *testing.T) {
	const secret = "hunter2canary"
	leaks := func(check func(testing.TB)) bool {
		r := &recorder{TB: t}
		check(r)
		return len(r.failed) > 0 && strings.Contains(r.failed[0], "shows a secret")
	}
	for name, check := range map[string]func(testing.TB){
		"text":    func(t testing.TB) { Check(t, text{secret}, []byte(secret)) },
		"octets":  func(t testing.TB) { Check(t, octets{[]byte(secret)}, []byte(secret)) },
		"pointer": func(t testing.TB) { Check(t, &octets{[]byte(secret)}, []byte(secret)) },
		"behind":  func(t testing.TB) { Check(t, &pointer{&octets{[]byte(secret)}}, []byte(secret)) },
		"error":   func(t testing.TB) { Check(t, fmt.Errorf("wrong password %s", secret), []byte(secret)) },
		"methods": func(t testing.TB) { Check(t, methods{secret}, []byte(secret)) },
	} {
		if !leaks(check) {
			t.Errorf("%s: not found", name)
		}
	}
	if leaks(func(t testing.TB) { Check(t, quiet{func() string { return secret }}, []byte(secret)) }) {
		t.Error("found where there is none")
	}
}
