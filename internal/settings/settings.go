// Package settings compares structs of settings field by field, for what follows a definition:
// fields of later versions are looked at without anybody listing them.
package settings

import (
	"reflect"
	"slices"
)

// Merge returns mine with all fields of next that mine has unchanged from base. Functions, which
// cannot be compared, and unexported fields stay those of mine.
func Merge[T any](mine, base, next *T) T {
	out := *mine
	to, from, now := reflect.ValueOf(&out).Elem(), reflect.ValueOf(base).Elem(), reflect.ValueOf(next).Elem()
	for i := range to.NumField() {
		if field := to.Type().Field(i); field.IsExported() && field.Type.Kind() != reflect.Func && same(to.Field(i), from.Field(i)) {
			to.Field(i).Set(now.Field(i))
		}
	}
	return out
}

// Differ names the first exported field that differs, in the order of the struct, those apart that
// are named; empty if none does. Functions do not count.
func Differ[T any](a, b *T, apart ...string) string {
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		field := va.Type().Field(i)
		if field.IsExported() && field.Type.Kind() != reflect.Func && !slices.Contains(apart, field.Name) && !same(va.Field(i), vb.Field(i)) {
			return field.Name
		}
	}
	return ""
}

// Same reports whether two values are the same: lists by their elements, all else by ==.
func Same(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	return va.Type() == vb.Type() && same(va, vb)
}

// same compares lists by their elements, nil being another than an empty one, those within an interface
// too, and all else by ==. Values that have no == are never the same.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		a, b = a.Elem(), b.Elem()
		return a.Type() == b.Type() && same(a, b)
	case reflect.Slice:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	}
	return a.Comparable() && b.Comparable() && a.Equal(b)
}
