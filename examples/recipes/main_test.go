package main

import (
	"strings"
	"testing"
)

func TestRecipes(t *testing.T) {
	var out strings.Builder
	if failed := run(t.Context(), &out); failed > 0 {
		t.Errorf("%d failed", failed)
	}
	t.Log("\n" + out.String())
	if n := strings.Count(out.String(), "works / refused"); n != len(recipes()) {
		t.Errorf("%d of %d are proved", n, len(recipes()))
	}
}
