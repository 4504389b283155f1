package environment

import (
	"crypto/tls"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// samples are two values of each field of a connection, before and after an override.
func samples(t *testing.T) map[string][2]any {
	pin := func(c string) []truststore.Pin {
		p, err := truststore.ParsePin(strings.Repeat(c, 64))
		if err != nil {
			t.Fatal(err)
		}
		return []truststore.Pin{p}
	}
	strict := truststore.Strict()
	strict.DistrustAfter = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return map[string][2]any{
		"Trusted":            {[]string{"a"}, []string{"b", "c"}},
		"Identity":           {"x", "y"},
		"TrustedPartner":     {"acme", "other"},
		"IdentityPartner":    {"acme", "other"},
		"ServerName":         {"a.example", "b.example"},
		"Allow":              {[]truststore.Relaxation{truststore.AllowExpired}, []truststore.Relaxation{truststore.AllowAnyUsage}},
		"Pins":               {pin("a"), pin("b")},
		"ClientAuth":         {tlsctx.RequireClientAuth, tlsctx.RequestClientAuth},
		"Policy":             {truststore.Policy{NoSHA1: true}, strict},
		"ServerURI":          {"spiffe://a.example/x", "spiffe://b.example/x"},
		"ClientURI":          {"spiffe://a.example/y", "spiffe://b.example/y"},
		"TrustDomain":        {"a.example", "b.example"},
		"ConcealCAs":         {true, true},
		"MinVersion":         {uint16(tls.VersionTLS12), uint16(tls.VersionTLS13)},
		"MaxVersion":         {uint16(tls.VersionTLS12), uint16(tls.VersionTLS13)},
		"LegacyMinVersion":   {uint16(tls.VersionTLS10), uint16(tls.VersionTLS11)},
		"NextProtos":         {[]string{"h2"}, []string{"http/1.1"}},
		"CipherSuites":       {[]uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}},
		"LegacyCipherSuites": {[]uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}},
		"CurvePreferences":   {[]tls.CurveID{tls.X25519}, []tls.CurveID{tls.CurveP256, tls.CurveP384}},
		"Revocation":         {&Revocation{SoftFail: true}, &Revocation{AskOCSP: true, Timeout: time.Second}},
		"RevocationExempt":   {[]string{"d"}, []string{"e"}},
	}
}

// unnamed are fields that a connection has in every environment alike.
var unnamed = []string{"ID", "Revision", "Environments", "SSH"}

// TestEveryFieldIsOverridden fails for a field of Connection or SSH without a counterpart in
// Override: it must replace the value, survive JSON, share nothing, be told, and be reset.
func TestEveryFieldIsOverridden(t *testing.T) {
	reset := map[string]Override{"Trusted": {DeployedTrust: true}, "TrustedPartner": {DeployedTrust: true}, "Pins": {NoPins: true}, "Revocation": {NoRevocation: true}}
	all := samples(t)
	for field := range reflect.TypeFor[Connection]().Fields() {
		name := field.Name
		if slices.Contains(unnamed, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			sample, ok := all[name]
			if !ok {
				t.Fatal("no sample: how is it overridden?")
			}
			var c Connection
			reflect.ValueOf(&c).Elem().FieldByName(name).Set(reflect.ValueOf(sample[0]))
			o := overriding(t, name, sample[1])
			checkOverride(t, o, func(o Override) any {
				out := o.apply(c)
				for f, v := range reflect.ValueOf(out).Fields() {
					if f.Name != name && !v.IsZero() {
						t.Errorf("%s has changed too", f.Name)
					}
				}
				return reflect.ValueOf(out).FieldByName(name).Interface()
			}, sample[1])
			to, ok := reset[name]
			if !ok {
				v := reflect.New(field.Type)
				if field.Type.Kind() == reflect.Slice {
					v.Elem().Set(reflect.MakeSlice(field.Type, 0, 0))
				}
				to = overriding(t, name, v.Elem().Interface())
			}
			to = stored(t, to)
			if err := to.check(); err != nil {
				t.Error(err)
			}
			v := reflect.ValueOf(to.apply(c)).FieldByName(name)
			if v.Kind() == reflect.Slice && v.Len() > 0 || v.Kind() != reflect.Slice && !v.IsZero() {
				t.Errorf("not reset, but %v", v)
			}
			if empty := o.apply(Connection{}); reflect.DeepEqual(empty, Connection{}) {
				t.Error("nothing is put into the place of nothing")
			}
		})
	}
	for field := range reflect.TypeFor[SSH]().Fields() {
		if field.Name == "EnvironmentHosts" {
			if c := (Override{DeployedTrust: true}).apply(Connection{SSH: &SSH{User: "u", KnownHosts: "x", Pins: []string{"y"}}}); !reflect.DeepEqual(*c.SSH, SSH{User: "u", EnvironmentHosts: true}) {
				t.Errorf("DeployedTrust on a connection of SSH: %+v", c.SSH)
			}
			continue
		}
		t.Run("SSH."+field.Name, func(t *testing.T) {
			next := sampleOf(t, field.Type)
			checkOverride(t, overriding(t, "SSH"+field.Name, next), func(o Override) any {
				if !o.ofSSH() {
					t.Error("it passes on a connection of TLS")
				}
				return reflect.ValueOf(*o.apply(Connection{SSH: &SSH{User: "before"}}).SSH).FieldByName(field.Name).Interface()
			}, next)
		})
	}
}

func sampleOf(t *testing.T, of reflect.Type) any {
	switch of.Kind() {
	case reflect.String:
		return "next"
	case reflect.Slice:
		return []string{"next"}
	case reflect.Int:
		return 3072
	case reflect.Int64:
		return time.Minute
	case reflect.Bool:
		return true
	}
	t.Fatalf("no sample of %v", of)
	return nil
}

// overriding is an Override of one field.
func overriding(t *testing.T, name string, to any) Override {
	t.Helper()
	var o Override
	field := reflect.ValueOf(&o).Elem().FieldByName(name)
	if !field.IsValid() {
		t.Fatalf("Override has no %s", name)
	}
	value := reflect.ValueOf(to)
	if value.Type() != field.Type() {
		p := reflect.New(value.Type())
		p.Elem().Set(value)
		value = p
	}
	field.Set(value)
	return o
}

func stored(t *testing.T, o Override) Override {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var out Override
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

func checkOverride(t *testing.T, o Override, applied func(Override) any, want any) {
	t.Helper()
	if got := applied(o); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	if got := applied(stored(t, o.owned())); !reflect.DeepEqual(got, want) {
		t.Errorf("from JSON %v, not %v", got, want)
	}
	if o.describe() == "" {
		t.Error("not told in events")
	}
}

// TestConnectionsSurviveJSON: what is stored is what was set.
func TestConnectionsSurviveJSON(t *testing.T) {
	c := Connection{ID: "c", Environments: []string{"test"}, SSH: &SSH{User: "u"}}
	for name, sample := range samples(t) {
		reflect.ValueOf(&c).Elem().FieldByName(name).Set(reflect.ValueOf(sample[1]))
	}
	for field, v := range reflect.ValueOf(c).Fields() {
		if v.IsZero() && field.Name != "Revision" {
			t.Errorf("%s has no sample", field.Name)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var got Connection
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%v\n%+v\n%+v", err, got, c)
	}
	told := c.describe()
	for name := range samples(t) {
		if !strings.HasPrefix(name, "Trusted") && !strings.HasPrefix(name, "Identity") && !strings.Contains(told, name) {
			t.Errorf("%s is not told: %s", name, told)
		}
	}
}

// TestEveryFieldOfABuilderIsDecidedAbout fails for a new field of tlsctx.Builder: it is that of
// a connection, or here is why not.
func TestEveryFieldOfABuilderIsDecidedAbout(t *testing.T) {
	besides := map[string]string{
		"Global": "deployed", "MayBeEmpty": "deployed", "Trusted": "from components", "Identity": "from components",
		"Revocation": "a checker of the program", "RevocationExempt": "from components",
		"Accepted": "remembers peers", "AcceptedBestEffort": "remembers peers",
		"Authorize": "a function of the program", "Routes": "each destination is a connection", "TicketSecret": "a secret of the program",
		"InsecureKeyLog": "for debugging", "Clock": "of the registry", "Rand": "for tests",
	}
	var c Connection
	for name, sample := range samples(t) {
		reflect.ValueOf(&c).Elem().FieldByName(name).Set(reflect.ValueOf(sample[0]))
	}
	var b tlsctx.Builder
	c.configure(&b)
	for field, v := range reflect.ValueOf(b).Fields() {
		if !field.IsExported() || besides[field.Name] != "" {
			continue
		}
		if want := reflect.ValueOf(c).FieldByName(field.Name); !want.IsValid() || !reflect.DeepEqual(v.Interface(), want.Interface()) {
			t.Errorf("tlsctx.Builder.%s is no setting of a connection", field.Name)
		}
	}
}
