package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

func TestListHasWhatUsersCanName(t *testing.T) {
	const code = `package p

const Code = "x"
const hidden = 1

type Number int

var Err, other error

type Base struct{}

func (Base) ByBase() {}

type base struct{}

func (*base) Promoted(n int) {}

type S struct {
	Base
	base
	Field  []Number
	hidden int
}

func (S) Value() (n int, err error) { return 0, nil }
func (*S) Pointer(more ...S)         {}
func (*S) private()                  {}

type Closed interface {
	Do() error
	closed()
}
type Alias = S

func F[T any](t T) *S { return nil }
func f()              {}
`
	const want = `const Code untyped string = "x"
func F[T any](t T) *S
method (*S) Pointer(more ...S)
method (*S) Promoted(n int)
method (Base) ByBase()
method (S) Value() (n int, err error)
type Alias = S
type Base struct
type Closed interface, Do() error
type Closed interface, not to be implemented elsewhere
type Number int
type S struct
type S struct, Base Base
type S struct, Field []Number
var Err error
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(types.Config).Check("p", fset, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := list(p)
	if got := l.String(); got != want || l.names != 8 {
		t.Errorf("%d names\n%s", l.names, got)
	}
}
