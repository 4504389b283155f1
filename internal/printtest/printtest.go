// Package printtest is for tests that nothing prints a secret.
package printtest

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// NoSecret fails the test if one of the secrets shows, whole or by its first 12 octets, where v
// is printed: by any verb of package fmt, JSON, XML, gob, slog or in an error; by itself, by its
// address, in slices, maps and fields of structs, exported or not. name is for the message.
func NoSecret[T any](t testing.TB, name string, v T, secrets ...string) {
	t.Helper()
	text := Everything(v)
	for _, secret := range secrets {
		if len(secret) < 6 {
			t.Fatalf("%s: the secret is too short to be told from other text", name)
		}
		for _, form := range Forms([]byte(secret)) {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s prints a secret: %.200q", name, text[max(0, i-80):])
				break
			}
		}
	}
}

type (
	hidden[T any] struct {
		value   T
		pointer *T
		list    []T
		byName  map[string]T
		any     any
	}
	shown[T any] struct {
		Value   T
		Pointer *T
		List    []T
		ByName  map[string]T
		Any     any
	}
)

// Everything is what printing v and what holds it yields, in all ways there are.
func Everything[T any](v T) string {
	var out strings.Builder
	for _, one := range []any{
		v, &v, []T{v}, []*T{&v}, map[string]T{"v": v}, [1]T{v},
		hidden[T]{v, &v, []T{v}, map[string]T{"v": v}, v}, &hidden[*T]{&v, new(&v), []*T{&v}, map[string]*T{"v": &v}, &v},
		shown[T]{v, &v, []T{v}, map[string]T{"v": v}, v}, &shown[*T]{&v, new(&v), []*T{&v}, map[string]*T{"v": &v}, &v},
	} {
		out.WriteString(Itself(one))
		fmt.Fprintf(&out, "%p\n", one)
	}
	return out.String()
}

// Itself is what printing v alone yields, as far as v is asked: %p asks no method.
func Itself(v any) string {
	var out bytes.Buffer
	for _, flags := range []string{"", "+", "#", " "} {
		for _, verb := range "vsqxXdobcUeEfFgGtO" {
			fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", v)
		}
	}
	for _, err := range []error{
		json.NewEncoder(&out).Encode(v), xml.NewEncoder(&out).Encode(v), gob.NewEncoder(&out).Encode(v),
		fmt.Errorf("in an error: %w: %v", errors.ErrUnsupported, v),
	} {
		fmt.Fprintln(&out, err)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).With("with", v).Info("a value", "v", v, slog.Group("in a group", "v", v))
	}
	return out.String()
}

// Forms are the texts by which a secret may show.
func Forms(secret []byte) []string {
	whole := []string{string(secret), base64.StdEncoding.EncodeToString(secret)}
	secret = secret[:min(len(secret), 12)]
	var syntax []string
	for _, b := range secret {
		syntax = append(syntax, fmt.Sprintf("0x%x", b))
	}
	octets := func(verb string) string { return strings.Trim(fmt.Sprintf(verb, secret), "[]") }
	decimal := octets("%d")
	return append(whole, string(secret), decimal, strings.ReplaceAll(decimal, " ", ","), strings.ReplaceAll(decimal, " ", ", "),
		strings.Join(syntax, ", "), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		octets("% x"), octets("% X"), base64.StdEncoding.EncodeToString(secret[:len(secret)/3*3]),
		octets("%o"), octets("%b"), octets("%c"), octets("%U"))
}
