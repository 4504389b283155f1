// Package testleak looks for secrets in everything by which a value may get into a log.
package testleak

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

// hidden holds a value where no method of it is called, exported where they are.
type (
	hidden[T any] struct {
		value   T
		pointer *T
		list    []T
		named   map[string]T
		iface   any
	}
	exported[T any] struct {
		Value   T
		Pointer *T
		List    []T
		Named   map[string]T
	}
)

// Check fails if v shows a secret, or the first 12 bytes of one, alone or within other types.
// A secret of less than 6 bytes cannot be told from other text.
func Check[T any](t testing.TB, v T, secrets ...[]byte) {
	t.Helper()
	e := exported[T]{v, &v, []T{v}, map[string]T{"a": v}}
	h := hidden[T]{v, &v, []T{v}, map[string]T{"a": v}, &v}
	check(t, "", secrets, v, &v, e, &e, []any{v}, []any{&v}, h, &h)
}

// CheckExported is Check, but does not put v into fields that are not exported: there a
// secret that v holds as a mere slice of bytes cannot be hidden. Neither can it from %p,
// with which package fmt asks no value how to print.
func CheckExported[T any](t testing.TB, v T, secrets ...[]byte) {
	t.Helper()
	e := exported[T]{v, &v, []T{v}, map[string]T{"a": v}}
	check(t, "p", secrets, v, &v, e, &e, []any{v}, []any{&v})
}

func check(t testing.TB, without string, secrets [][]byte, values ...any) {
	t.Helper()
	var all []string
	for _, s := range secrets {
		if len(s) < 6 {
			t.Fatal("the secret is too short to be told from other text")
		}
		all = append(all, forms(s)...)
	}
	for _, printed := range values {
		for how, text := range printings(printed, without) {
			for _, form := range all {
				if strings.Contains(text, form) {
					t.Errorf("%T by %s shows a secret as %q", printed, how, form)
					break
				}
			}
		}
	}
}

// forms are the texts by which the start of a secret may show up.
func forms(secret []byte) []string {
	secret = secret[:min(12, len(secret))]
	var syntax []string
	for _, b := range secret {
		syntax = append(syntax, fmt.Sprintf("0x%x", b))
	}
	decimal := strings.Trim(fmt.Sprint(secret), "[]")
	return []string{
		string(secret), decimal, strings.ReplaceAll(decimal, " ", ","), strings.ReplaceAll(decimal, " ", ", "),
		strings.Join(syntax, ", "), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		fmt.Sprintf("% x", secret), base64.StdEncoding.EncodeToString(secret[:len(secret)/3*3]), strings.Trim(fmt.Sprintf("%o", secret), "[]"),
		strings.Trim(fmt.Sprintf("%b", secret), "[]"), strings.Trim(fmt.Sprintf("%c", secret), "[]"), strings.Trim(fmt.Sprintf("%U", secret), "[]"),
	}
}

// Text is what printing v alone yields, for whoever looks for something else. %p is left out.
func Text(v any) string {
	var out strings.Builder
	for _, text := range printings(v, "p") {
		out.WriteString(text + "\n")
	}
	return out.String()
}

// printings are all the ways in which a value may get into a log.
func printings(v any, without string) map[string]string {
	out := make(map[string]string)
	for _, flags := range []string{"", "+", "#", " ", "-"} {
		for _, verb := range "vsqxXdobcUeEfFgGtpO" {
			if strings.ContainsRune(without, verb) {
				continue
			}
			format := "%" + flags + string(verb)
			out[format] = fmt.Sprintf(format, v)
		}
	}
	var buf bytes.Buffer
	take := func(name string) {
		out[name] = buf.String()
		buf.Reset()
	}
	// What cannot be encoded is an error, and what was written before it counts.
	encoded := func(name string, err error) {
		if err != nil {
			buf.WriteString(err.Error())
		}
		take(name)
	}
	encoded("JSON", json.NewEncoder(&buf).Encode(v))
	encoded("XML", xml.NewEncoder(&buf).Encode(v))
	encoded("gob", gob.NewEncoder(&buf).Encode(v))
	out["error"] = fmt.Errorf("in an error: %w: %v", errors.ErrUnsupported, v).Error()
	slog.New(slog.NewTextHandler(&buf, nil)).Info("text", "v", v, slog.Group("group", "v", v))
	take("slog text")
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("JSON", "v", v, slog.Group("group", "v", v))
	take("slog JSON")
	return out
}
