package trustkeep_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// canary is what must not come out anywhere. Fragments of it count as well,
// because verbs such as %.3s and %x cut and recode.
const canary = "s3cr3t-canary"

// leaks reports whether out holds the canary as it is, in hex, in base64 or as
// a list of byte values.
func leaks(out string) bool {
	for _, form := range []string{
		canary,
		canary[:3],
		fmt.Sprintf("%x", canary),
		fmt.Sprintf("%X", canary),
		fmt.Sprintf("% x", canary),
		"czNjcjN0LWNhbmFye", // base64
		strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
	} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

func TestPasswordIsRedactedByFmt(t *testing.T) {
	p := trustkeep.Password(canary)
	type login struct {
		User string
		Pass trustkeep.PasswordSource
	}
	values := map[string]any{
		"value":      p,
		"pointer":    &p,
		"interface":  any(p),
		"field":      login{"ann", p},
		"field of *": &login{"ann", p},
		"slice":      []trustkeep.PasswordSource{p},
		"map value":  map[string]trustkeep.PasswordSource{"k": p},
		"map key":    map[trustkeep.PasswordSource]int{p: 1},
	}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%+q", "%x", "%X", "% x", "%#x", "%d", "%t", "%c", "%U",
		"%20s", "%-20v", "%.3s", "%T"}
	for name, value := range values {
		for _, verb := range verbs {
			out := fmt.Sprintf(verb, value)
			if leaks(out) {
				t.Errorf("%s with %s: %s", name, verb, out)
			}
			// %T and, for pointers, %x and the like print no content at all.
			if verb == "%v" && name != "pointer" && !strings.Contains(out, "[redacted]") {
				t.Errorf("%s with %s: %q does not say [redacted]", name, verb, out)
			}
		}
	}
	for _, out := range []string{fmt.Sprint(p), fmt.Sprintln(p), fmt.Errorf("x: %v", p).Error()} {
		if leaks(out) || !strings.Contains(out, "[redacted]") {
			t.Errorf("got %q", out)
		}
	}
}

func TestPasswordIsRedactedByEncoders(t *testing.T) {
	p := trustkeep.Password(canary)
	encoders := map[string]func(v any) (string, error){
		"json": func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"xml":  func(v any) (string, error) { b, err := xml.Marshal(v); return string(b), err },
		"gob": func(v any) (string, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(v)
			return b.String(), err
		},
		"slog text": func(v any) (string, error) {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("login", "value", v)
			return b.String(), nil
		},
		"slog json": func(v any) (string, error) {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("login", "value", v)
			return b.String(), nil
		},
	}
	type login struct{ Pass trustkeep.PasswordSource }
	for name, encode := range encoders {
		for _, value := range []any{p, login{p}, &login{p}} {
			out, err := encode(value)
			if name == "gob" && err != nil && !leaks(out+err.Error()) {
				continue // an interface of a type that is not registered
			}
			if err != nil {
				t.Errorf("%s of %T: %v", name, value, err)
			}
			if leaks(out) || !strings.Contains(out, "[redacted]") {
				t.Errorf("%s of %T: %q", name, value, out)
			}
		}
	}
}

func TestPasswordFromEnv(t *testing.T) {
	const name = "TRUSTKEEP_TEST_PASSWORD"
	t.Setenv(name, canary)
	source := trustkeep.PasswordFromEnv(name)
	if got := reveal(t, source); got != canary {
		t.Errorf("got %q", got)
	}
	if out := fmt.Sprintf("%v %+v %#v", source, source, source); leaks(out) {
		t.Errorf("prints as %s", out)
	}

	t.Setenv(name, "") // set to nothing is the empty password, not none
	if got, err := source.Reveal(); err != nil || got == nil || len(got) != 0 {
		t.Errorf("set to nothing: %q, nil %v, error %v", got, got == nil, err)
	}

	os.Unsetenv(name) // t.Setenv restores it
	if _, err := source.Reveal(); !errors.Is(err, trustkeep.ErrNotFound) || !strings.Contains(err.Error(), name) {
		t.Errorf("unset: %v", err)
	}
}

func TestPasswordFromFile(t *testing.T) {
	tests := []struct{ name, content, want string }{
		{"as is", canary, canary},
		{"line", canary + "\n", canary},
		{"line of DOS", canary + "\r\n", canary},
		{"byte order mark", "\xef\xbb\xbf" + canary + "\n", canary},
		{"two line ends", canary + "\n\n", canary + "\n"},
		{"inner line end", "a\nb\n", "a\nb"},
		{"blanks", " a \n", " a "},
		{"empty", "", ""},
		{"empty line", "\n", ""},
		{"non-ASCII", "pässwörd 鍵\n", "pässwörd 鍵"},
	}
	for _, test := range tests {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := trustkeep.PasswordFromFile(path).Reveal()
		if err != nil || got == nil || string(got) != test.want {
			t.Errorf("%s: %q (nil %v), want %q, error %v", test.name, got, got == nil, test.want, err)
		}
	}
}

func TestPasswordFromFileRefuses(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte(canary), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		large:                         trustkeep.ErrLimit,
		filepath.Join(dir, "missing"): os.ErrNotExist,
	} {
		got, err := trustkeep.PasswordFromFile(path).Reveal()
		if !errors.Is(err, want) || got != nil || leaks(err.Error()) {
			t.Errorf("%s: %d octets, %v", filepath.Base(path), len(got), err)
		}
	}
}

// Package fmt does not ask a value in an unexported field how to print.
func TestPasswordInUnexportedFieldIsSilent(t *testing.T) {
	type login struct{ pass trustkeep.PasswordSource }
	for _, source := range []trustkeep.PasswordSource{
		trustkeep.Password(canary), trustkeep.PasswordFunc(trustkeep.Password(canary).Reveal),
	} {
		l := login{source}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			for _, value := range []any{l, &l, []login{l}} {
				if out := fmt.Sprintf(verb, value); leaks(out) {
					t.Errorf("%s prints %s", verb, out)
				}
			}
		}
	}
}

// The caller may overwrite what Reveal returned, so no two calls may share it.
func TestRevealReturnsCopies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRUSTKEEP_TEST_PASSWORD", canary)
	for _, source := range []trustkeep.PasswordSource{
		trustkeep.Password(canary),
		trustkeep.PasswordFromEnv("TRUSTKEEP_TEST_PASSWORD"),
		trustkeep.PasswordFromFile(path),
	} {
		first, err := source.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		clear(first)
		if got := reveal(t, source); got != canary {
			t.Errorf("%T: after clearing the first result: %q", source, got)
		}
	}
}

func TestPasswordFunc(t *testing.T) {
	calls := 0
	source := trustkeep.PasswordFunc(func() ([]byte, error) { calls++; return []byte(canary), nil })
	for want := 1; want <= 2; want++ {
		if got := reveal(t, source); got != canary || calls != want {
			t.Errorf("call %d: %q after %d calls", want, got, calls)
		}
	}
	boom := errors.New("vault sealed")
	if _, err := trustkeep.PasswordFunc(func() ([]byte, error) { return nil, boom }).Reveal(); err != boom {
		t.Errorf("got %v", err)
	}
}

func reveal(t *testing.T, source trustkeep.PasswordSource) string {
	t.Helper()
	b, err := source.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPasswordFuncThatIsNil(t *testing.T) {
	if p, err := trustkeep.PasswordFunc(nil).Reveal(); !errors.Is(err, trustkeep.ErrInvalid) || p != nil {
		t.Errorf("%q, %v", p, err)
	}
}
