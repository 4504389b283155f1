package smime_test

import (
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/smime"
)

// The rates are those of package cms, by which the same content is signed and sealed.
func BenchmarkSignAndSeal(b *testing.B) {
	p := newPeople(b)
	const size = 64 << 20
	for _, e := range []smime.Encoding{smime.Binary, smime.Base64} {
		b.Run(e.String(), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				entity := io.MultiReader(strings.NewReader("Content-Transfer-Encoding: binary\r\n\r\n"), io.LimitReader(lines{}, size))
				r, w := io.Pipe()
				go func() { w.CloseWithError(smime.SignOptions{Encoding: e}.Sign(w, entity, p.rsa)) }()
				if err := (smime.SealOptions{Encoding: e}).Seal(io.Discard, r, p.rsa.Cert); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	p := newPeople(b)
	const size = 64 << 20
	for _, e := range []smime.Encoding{smime.Binary, smime.Base64} {
		b.Run(e.String(), func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				entity := io.MultiReader(strings.NewReader("Content-Transfer-Encoding: binary\r\n\r\n"), io.LimitReader(lines{}, size))
				signed, w := io.Pipe()
				go func() { w.CloseWithError(smime.SignOptions{Encoding: e}.Sign(w, entity, p.rsa)) }()
				sealed, sw := io.Pipe()
				go func() { sw.CloseWithError(smime.SealOptions{Encoding: e}.Seal(sw, signed, p.rsa.Cert)) }()
				if _, err := p.options().Read(io.Discard, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
