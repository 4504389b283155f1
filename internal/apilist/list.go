package main

import (
	"fmt"
	"go/constant"
	"go/types"
	"slices"
	"strings"
)

// api is what a package exports.
type api struct {
	p     *types.Package
	names int // declared by the package itself, without fields and methods
	lines []string
}

func (a *api) String() string { return strings.Join(a.lines, "\n") + "\n" }

func (a *api) addf(format string, args ...any) {
	a.lines = append(a.lines, fmt.Sprintf(format, args...))
}

func (a *api) typeOf(t types.Type) string {
	return types.TypeString(t, func(other *types.Package) string {
		if other == a.p {
			return ""
		}
		return other.Name()
	})
}

// signature is a parameter list with its results, without "func".
func (a *api) signature(t types.Type) string { return strings.TrimPrefix(a.typeOf(t), "func") }

func list(p *types.Package) *api {
	a := &api{p: p}
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		a.names++
		switch o := o.(type) {
		case *types.Const:
			value := o.Val().String()
			if o.Val().Kind() == constant.String {
				value = o.Val().ExactString()
			}
			a.addf("const %s %s = %s", name, a.typeOf(o.Type()), value)
		case *types.Var:
			a.addf("var %s %s", name, a.typeOf(o.Type()))
		case *types.Func:
			a.addf("func %s%s", name, a.signature(o.Type()))
		case *types.TypeName:
			a.typeName(o)
		}
	}
	slices.Sort(a.lines)
	return a
}

func (a *api) typeName(o *types.TypeName) {
	if o.IsAlias() {
		a.addf("type %s = %s", o.Name(), a.typeOf(types.Unalias(o.Type())))
		return
	}
	named := o.Type().(*types.Named)
	name := o.Name()
	switch t := named.Underlying().(type) {
	case *types.Struct:
		a.addf("type %s struct", name)
		for f := range t.Fields() {
			if f.Exported() {
				a.addf("type %s struct, %s %s", name, f.Name(), a.typeOf(f.Type()))
			}
		}
	case *types.Interface:
		hidden := ""
		for m := range t.Methods() {
			if !m.Exported() {
				hidden = ", not to be implemented elsewhere"
			} else {
				a.addf("type %s interface, %s%s", name, m.Name(), a.signature(m.Type()))
			}
		}
		a.addf("type %s interface%s", name, hidden)
		return
	default:
		a.addf("type %s %s", name, a.typeOf(t))
	}
	direct := types.NewMethodSet(named)
	for s := range types.NewMethodSet(types.NewPointer(named)).Methods() {
		if !s.Obj().Exported() || promotedByExported(named, s) {
			continue
		}
		star := "*"
		if direct.Lookup(s.Obj().Pkg(), s.Obj().Name()) != nil {
			star = ""
		}
		a.addf("method (%s%s) %s%s", star, name, s.Obj().Name(), a.signature(s.Type()))
	}
}

// promotedByExported says whether a method belongs to an embedded field that is
// listed itself.
func promotedByExported(named *types.Named, s *types.Selection) bool {
	t, ok := named.Underlying().(*types.Struct)
	return ok && len(s.Index()) > 1 && t.Field(s.Index()[0]).Exported()
}
