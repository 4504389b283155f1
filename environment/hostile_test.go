package environment

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/pgp"
)

// recordOf is a component at rest, with a password of each kind.
func recordOf(t *testing.T, id string) *componentRecord {
	t.Helper()
	c, err := component.Create(t.Context(), id, pgp.GenerateOptions{UserIDs: []string{id}}, component.Options{ID: id, Password: trustkeep.Password("p")})
	if err != nil {
		t.Fatal(err)
	}
	d := &componentRecord{stamp: stamp{Format: formatVersion}, Secrets: map[int]*secret{1: {Tag: "t"}}}
	if err := d.setContent(c); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRecordsThatContradictThemselvesAreCorrupt(t *testing.T) {
	text := func(v any) string {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	a := recordOf(t, "a")
	without := *a
	without.Secrets = map[int]*secret{1: nil}
	unstamped := *a
	unstamped.Format = 0
	deployed := func(frozen map[string]*componentRecord) string {
		return text(&deployedRecord{stamp: a.stamp, Process: Process{ID: "a"}, Frozen: frozen})
	}
	for _, c := range []struct{ name, key, value string }{
		{"nothing", "connections/a", `null`},
		{"an empty document", "connections/a", `{}`},
		{"no format", "components/a", text(&unstamped)},
		{"a negative format", "connections/a", `{"format":-1,"connection":{"id":"a"}}`},
		{"a connection without its ID", "connections/a", `{"format":1,"connection":{}}`},
		{"another connection", "connections/a", `{"format":1,"connection":{"id":"b"}}`},
		{"a mode of client authentication that there is not", "connections/a", `{"format":1,"connection":{"id":"a","clientAuth":77}}`},
		{"a relaxation that there is not", "connections/a", `{"format":1,"connection":{"id":"a","allow":["everything"]}}`},
		{"another process", "processes/a", `{"format":1,"process":{"id":"b"}}`},
		{"another partner", "partners/a", `{"format":1,"partner":{"id":"b"}}`},
		{"a partner's certificate for nothing", "partners/a", `{"format":1,"partner":{"id":"a","members":[{"component":"x"}]}}`},
		{"a partner's certificate for what there is not", "partners/a", `{"format":1,"partner":{"id":"a","members":[{"component":"x","purposes":["everything"]}]}}`},
		{"another component", "components/b", text(a)},
		{"no password where there is one", "components/a", text(&without)},
		{"a copy of nothing", "environments/e/processes/a", deployed(map[string]*componentRecord{"a": nil})},
		{"a copy of another component", "environments/e/processes/a", deployed(map[string]*componentRecord{"b": a})},
		{"a copy without its password", "environments/e/processes/a", deployed(map[string]*componentRecord{"a": &without})},
		{"another deployed process", "environments/e/processes/b", deployed(nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newInventory()
			v.apply(Record{Key: c.key, Value: []byte(c.value), Revision: 1})
			if err := v.damaged[c.key]; !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("taken for good: %v", err)
			}
		})
	}
	good := newInventory()
	good.apply(Record{Key: "components/a", Value: []byte(text(a)), Revision: 1})
	good.apply(Record{Key: "environments/e/processes/a", Value: []byte(deployed(map[string]*componentRecord{"a": a})), Revision: 1})
	if err := good.problem(); err != nil || len(good.components) != 1 || len(good.deployed) != 1 {
		t.Errorf("what is right: %v", err)
	}
}

// telltale is a password that redacts itself only where package fmt asks it to.
type telltale string

func (s telltale) Reveal() ([]byte, error) { return []byte(s), nil }
func (s telltale) String() string          { return "[redacted]" }

func TestNothingPrintsSecrets(t *testing.T) {
	o := Options{Sealer: PasswordSealer(telltale("hunter2"))}
	dataKey := []byte("hunter2+hunter2+hunter2+hunter2+")
	v, err := newVault(dataKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	tags, err := hkdf.Key(sha256.New, dataKey, nil, "trustkeep password tag", 32)
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{o: o, secrets: v}
	for _, v := range []any{o, &o, o.Sealer, r, &Environment{r: r}, &Running{scope{a: &Atom{r: r}}}, liveIdentity{scope{a: &Atom{r: r}}, "c"}} {
		var b strings.Builder
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, format+"\n", v)
		}
		j, _ := json.Marshal(v)
		b.Write(j)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		for _, secret := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), strings.Trim(fmt.Sprint([]byte("hunter2")), "[]"), strings.Trim(fmt.Sprint(tags), "[]"), fmt.Sprintf("%x", tags)} {
			if strings.Contains(b.String(), secret) {
				t.Errorf("%T prints its password as %q", v, secret)
			}
		}
	}
}
