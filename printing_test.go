package trustkeep_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// Texts of strangers are printed by PrintableName, DescribeCertificate and Printable alone,
// which bound the work before they begin. These types print such texts by themselves,
// unbounded, as do pointers to them and lists of them.
var strangers = []string{
	"crypto/x509/pkix.Name", "crypto/x509/pkix.RDNSequence", "crypto/x509/pkix.RelativeDistinguishedNameSET",
	"crypto/x509/pkix.AttributeTypeAndValue",
	"crypto/x509.Certificate", "crypto/x509.CertificateRequest", "crypto/x509.RevocationList",
	"crypto/x509.CertificateInvalidError", "crypto/x509.HostnameError", "crypto/x509.UnknownAuthorityError", "crypto/x509.SystemRootsError",
	"crypto/tls.CertificateVerificationError", "crypto/tls.ConnectionState", "crypto/tls.Certificate",
}

// printsNone are the packages whose functions take values of any type and print none, by
// their import path, and such functions of this module.
var printsNone = []string{"errors", "encoding/asn1", "reflect", "sync", "sync/atomic", "runtime", "crypto/x509"}

// mayTakeApart lists who may use the attributes of a pkix.Name or the list that
// ToRDNSequence makes of them, and what for.
var mayTakeApart = map[string]string{
	"name.go":            "encodes the name of a certificate made by hand",
	"audit/known.go":     "compares with the names that products ship",
	"issue/names.go":     "looks for control characters",
	"issue/new.go":       "compares, and asks whether there is a name",
	"issue/options.go":   "asks whether there is a name",
	"truststore/edit.go": "makes an alias of at most 64 characters",
	"truststore/name.go": "compares the common name",
	"pkitest/pkitest.go": "a name that the test gave",
	"pkitest/ugly.go":    "a name that the test gave",
	"pkitest/files.go":   "a name that the test gave",
	"internal/testpki":   "a name that the test gave",
}

// quoting are the functions of crypto/x509 whose errors repeat what a stranger wrote.
var quoting = []string{"Verify", "VerifyHostname", "ParseCertificate", "ParseCertificates", "ParseCertificateRequest", "ParseRevocationList"}

func isError(o types.Object) bool {
	return o != nil && o.Type() != nil && types.Identical(o.Type(), types.Universe.Lookup("error").Type())
}

// printed finds where a package prints what it must not.
func printed(info *types.Info, fset *token.FileSet, files []*ast.File) (found []string) {
	for _, file := range files {
		name := fset.Position(file.Pos()).Filename
		if name == "internal/errtext/errtext.go" { // prints those without texts of strangers
			continue
		}
		_, apart := mayTakeApart[name]
		if _, ok := mayTakeApart[path.Dir(name)]; ok {
			apart = true
		}
		bounded := map[ast.Expr]bool{} // arguments of Printable
		say := func(n ast.Node, format string, a ...any) {
			found = append(found, fmt.Sprintf("%v: %s", fset.Position(n.Pos()), fmt.Sprintf(format, a...)))
		}
		foreign := map[types.Object]token.Pos{} // errors of crypto/x509, and where they came from
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					id, ok := left.(*ast.Ident)
					if !ok {
						continue
					}
					variable := info.ObjectOf(id)
					if delete(foreign, variable); len(n.Rhs) == 1 && isError(variable) {
						if call, ok := n.Rhs[0].(*ast.CallExpr); ok {
							if callee, _ := calleeOf(info, call).(*types.Func); packageOf(callee) == "crypto/x509" && slices.Contains(quoting, callee.Name()) {
								foreign[variable] = n.Pos()
							}
						}
					}
				}
			case *ast.CallExpr:
				if callee, _ := calleeOf(info, n).(*types.Func); packageOf(callee) == "fmt" {
					for _, arg := range n.Args {
						if id, ok := arg.(*ast.Ident); ok && foreign[info.ObjectOf(id)].IsValid() {
							say(arg, "an error of crypto/x509 is printed")
						}
					}
				}
				callee, _ := calleeOf(info, n).(*types.Func)
				if packageOf(callee) == module && callee.Name() == "Printable" {
					bounded[n.Args[0]] = true
				}
				if slices.Contains(printsNone, packageOf(callee)) {
					break
				}
				sig, ok := info.TypeOf(n.Fun).Underlying().(*types.Signature)
				if !ok {
					break
				}
				for i, arg := range n.Args {
					if !takesAny(sig, i, n.Ellipsis.IsValid()) {
						continue
					}
					if stranger := strangerIn(info.TypeOf(arg)); stranger != "" {
						say(arg, "%s is handed to what may print it", stranger)
					}
				}
			case *ast.SelectorExpr:
				s := info.Selections[n]
				if s == nil {
					break
				}
				from := strangerIn(s.Recv())
				switch {
				case s.Kind() == types.MethodVal && from != "" && slices.Contains([]string{"String", "Error"}, n.Sel.Name):
					say(n, "(%s).%s", from, n.Sel.Name)
				case from == "crypto/x509/pkix.Name" && !apart && !bounded[n]:
					say(n, "(%s).%s", from, n.Sel.Name)
				}
			}
			return true
		})
	}
	return found
}

func calleeOf(info *types.Info, call *ast.CallExpr) types.Object {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		return info.Uses[fun]
	case *ast.SelectorExpr:
		return info.Uses[fun.Sel]
	}
	return nil
}

// packageOf returns the import path of a function's package, empty for none.
func packageOf(f *types.Func) string {
	if f == nil || f.Pkg() == nil {
		return ""
	}
	return f.Pkg().Path()
}

// takesAny reports whether parameter i of a function is of an interface type.
func takesAny(sig *types.Signature, i int, spread bool) bool {
	params := sig.Params()
	last := params.Len() - 1
	switch {
	case last < 0:
		return false
	case sig.Variadic() && i >= last && !spread:
		return types.IsInterface(params.At(last).Type().(*types.Slice).Elem())
	}
	t := params.At(min(i, last)).Type()
	if _, generic := t.(*types.TypeParam); generic {
		return false
	}
	return types.IsInterface(t)
}

// strangerIn returns the name of the type of strangers that a type is, points to or lists.
func strangerIn(t types.Type) string {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return strangerIn(t.Elem())
	case *types.Slice:
		return strangerIn(t.Elem())
	case *types.Array:
		return strangerIn(t.Elem())
	case *types.Map:
		return strangerIn(t.Elem())
	case *types.Named:
		if o := t.Obj(); o.Pkg() != nil {
			if name := o.Pkg().Path() + "." + o.Name(); slices.Contains(strangers, name) {
				return name
			}
		}
		if s, ok := t.Underlying().(*types.Slice); ok {
			return strangerIn(s.Elem())
		}
	}
	return ""
}

func newInfo() *types.Info {
	return &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Selections: make(map[*ast.SelectorExpr]*types.Selection), Uses: make(map[*ast.Ident]types.Object), Defs: make(map[*ast.Ident]types.Object)}
}

func TestNamesArePrintedByPrintableNameAlone(t *testing.T) {
	code := newGoCode(t)
	packages := make(map[string][]*ast.File)
	var fset *token.FileSet
	eachSource(t, func(folder, file string, set *token.FileSet, tree *ast.File) {
		fset = set
		if strings.HasPrefix(folder, recipes) && !testtool.Long() {
			return
		}
		if ok, err := build.Default.MatchFile(folder, path.Base(file)); ok && err == nil && !strings.HasSuffix(file, "_test.go") {
			packages[folder] = append(packages[folder], tree)
		}
	})
	for folder, files := range packages {
		info := newInfo()
		config := types.Config{Importer: code.imports}
		if _, err := config.Check(path.Join(module, folder), fset, files, info); err != nil {
			t.Fatal(err)
		}
		for _, what := range printed(info, fset, files) {
			t.Errorf("%s; use trustkeep.PrintableName, internal/certinfo or internal/errtext", what)
		}
	}
}

// The rule finds what it is to find.
func TestPrintedNamesAreFound(t *testing.T) {
	code := newGoCode(t)
	const source = `package p
import ("crypto/tls"; "crypto/x509"; "crypto/x509/pkix"; "errors"; "fmt"; "log/slog"; "github.com/trustkeep/trustkeep")
func f(c *x509.Certificate, list *x509.RevocationList, err error, any func(...any)) {
	_ = c.Subject.String()
	_ = fmt.Sprintf("%v", c.Issuer)
	_ = fmt.Sprint(list.Issuer)
	_ = c.Subject.ToRDNSequence()
	slog.Info("x", "peer", c)
	any(1, []*x509.Certificate{c})
	_ = "CN=" + c.Subject.CommonName
	var name x509.HostnameError
	if errors.As(err, &name) { _ = name.Error(); _ = fmt.Errorf("x: %w", name) }
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok { _ = e.Error() }
	var r pkix.RDNSequence
	print := r.String
	_ = print
	_ = trustkeep.Printable(c.Subject.CommonName)
	_ = trustkeep.PrintableName(c.RawSubject)
	_, err = x509.ParseCertificate(nil)
	_ = fmt.Errorf("x: %w", err)
	err = errors.New("x")
	_ = fmt.Errorf("x: %w", err)
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	info := newInfo()
	config := types.Config{Importer: code.imports}
	if _, err := config.Check("p", fset, []*ast.File{file}, info); err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, what := range printed(info, fset, []*ast.File{file}) {
		var line int
		fmt.Sscanf(what, "p.go:%d:", &line)
		lines = append(lines, line)
	}
	slices.Sort(lines)
	if want := []int{4, 5, 6, 7, 8, 9, 10, 12, 12, 13, 15, 20}; !slices.Equal(lines, want) {
		t.Errorf("lines %v, want %v", lines, want)
	}
}
