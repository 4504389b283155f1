package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestTicketStateKnowsEveryField: whatever is set in a Builder changes the state that tickets
// are bound to, unless it is known to decide nothing about clients. A field of a new type has
// to be given a value here.
func TestTicketStateKnowsEveryField(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	cert := pki.Root.Cert
	state := func(b Builder) string {
		t.Helper()
		s, err := b.ticketState(&generation{})
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	samples := map[reflect.Type]any{}
	for _, v := range []any{
		true, uint16(tls.VersionTLS13), "x", []string{"x"}, RequireClientAuth, []uint16{1}, []tls.CurveID{tls.X25519}, time.Second,
		[]truststore.Relaxation{truststore.AllowExpired}, []truststore.Pin{truststore.PinKey(cert)}, []*x509.Certificate{cert}, truststore.Strict(),
		func(context.Context, Peer) error { return nil }, func(Peer) {}, time.Now, new(Routes),
	} {
		samples[reflect.TypeOf(v)] = v
	}
	interfaces := []any{new(anyChecker), truststore.New(cert), trustkeep.Password("x"), StaticIdentity(pki.Root.TLSCertificate()), io.MultiWriter(), io.MultiReader()}
	seen := map[string]string{state(Builder{}): "nothing"}
	for i := range reflect.TypeFor[Builder]().NumField() {
		field := reflect.TypeFor[Builder]().Field(i)
		if !field.IsExported() {
			continue
		}
		var b Builder
		value := reflect.ValueOf(&b).Elem().Field(i)
		if sample, ok := samples[field.Type]; ok {
			value.Set(reflect.ValueOf(sample))
		}
		for _, v := range interfaces {
			if field.Type.Kind() == reflect.Interface && reflect.TypeOf(v).Implements(field.Type) {
				value.Set(reflect.ValueOf(v))
			}
		}
		if value.IsZero() {
			t.Errorf("%s: no value of type %s", field.Name, field.Type)
			continue
		}
		s := state(b)
		if as, ok := seen[s]; ok != slices.Contains(notOfTickets, field.Name) {
			t.Errorf("%s: the state is that of %s", field.Name, as)
		} else if !ok {
			seen[s] = field.Name
		}
	}
}

type anyChecker struct{}

func (*anyChecker) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, nil
}
