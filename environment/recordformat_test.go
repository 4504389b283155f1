package environment

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// formatOfFields has all fields of records: the format that a record with one has, 1 for those that
// the first format had. "free" fields are later, but ignoring them loosens nothing, for the reason
// given. "inside" are the fields of what is only found inside a field of format 2.
//
// A field that is added needs an entry. If a program that ignores it trusts more, presents more or
// runs more than was meant, it needs a format of its own: see recordformat.go. Formats that were
// released do not change, so that such a field needs the next one.
var formatOfFields = map[string]string{
	"stamp.Format": "1", "stamp.Actor": "1", "stamp.Time": "1", "stamp.Deleting": "1",

	"connectionRecord.Connection": "1",
	"Connection.ID":               "1", "Connection.Trusted": "1", "Connection.Identity": "1", "Connection.ServerName": "1",
	"Connection.Allow": "1", "Connection.Pins": "1", "Connection.ClientAuth": "1", "Connection.SSH": "1",
	"Connection.Environments": "2", "Connection.TrustedPartner": "2", "Connection.IdentityPartner": "2", "Connection.Policy": "2",
	"Connection.ServerURI": "2", "Connection.ClientURI": "2", "Connection.TrustDomain": "2", "Connection.ConcealCAs": "2",
	"Connection.MinVersion": "2", "Connection.MaxVersion": "2", "Connection.LegacyMinVersion": "2", "Connection.NextProtos": "2",
	"Connection.CipherSuites": "2", "Connection.LegacyCipherSuites": "2", "Connection.CurvePreferences": "2",
	"Connection.Revocation": "2", "Connection.RevocationExempt": "2",
	"Connection.Revision": "free: not in records",

	"SSH.User": "1", "SSH.KnownHosts": "1", "SSH.Pins": "1",
	"SSH.EnvironmentHosts": "2", "SSH.Legacy": "2", "SSH.MinRSABits": "2", "SSH.Timeout": "2",

	"Policy.Refuse": "inside", "Policy.MinRSABits": "inside", "Policy.KeyTypes": "inside", "Policy.NoSHA1": "inside", "Policy.DistrustAfter": "inside",
	"Revocation.SoftFail": "inside", "Revocation.LeafOnly": "inside", "Revocation.RequireStaple": "inside", "Revocation.FetchCRLs": "inside",
	"Revocation.AskOCSP": "inside", "Revocation.Timeout": "inside", "Revocation.MaxAge": "inside",

	"processRecord.Process": "1", "Process.ID": "1", "Process.Connections": "1", "Process.Components": "1",
	"Process.Revision": "free: not in records",

	"partnerRecord.Partner": "1", "Partner.ID": "1", "Partner.Members": "1",
	"Partner.Revision":        "free: not in records",
	"PartnerMember.Component": "1", "PartnerMember.Uses": "1", "PartnerMember.PreferredFrom": "1", "PartnerMember.Environment": "1",

	"environmentRecord.Deployed": "1", "environmentRecord.Substitutions": "1", "environmentRecord.Overrides": "1", "environmentRecord.Roles": "1",
	"environmentRecord.Held": "2", "environmentRecord.KnownHosts": "2",
	"environmentRecord.Known": "free: Rollback alone asks it, of who goes back",
	"Deployment.Component":    "free: not in records", "Deployment.All": "free: not in records",
	"Deployment.Atoms": "1", "Deployment.Time": "1", "Deployment.Actor": "1",
	"Substitution.Component": "1", "Substitution.Process": "1", "Substitution.Replacement": "1",
	"identity.Version": "free: see Known", "identity.Fingerprint": "free: see Known",

	"Override.Trusted": "1", "Override.Identity": "1", "Override.ServerName": "1",
	"Override.SSHUser": "1", "Override.SSHKnownHosts": "1", "Override.SSHPins": "1",
	"Override.TrustedPartner": "2", "Override.DeployedTrust": "2", "Override.IdentityPartner": "2", "Override.Allow": "2", "Override.Pins": "2",
	"Override.NoPins": "2", "Override.ClientAuth": "2", "Override.Policy": "2", "Override.ServerURI": "2", "Override.ClientURI": "2",
	"Override.TrustDomain": "2", "Override.ConcealCAs": "2", "Override.MinVersion": "2", "Override.MaxVersion": "2",
	"Override.LegacyMinVersion": "2", "Override.NextProtos": "2", "Override.CipherSuites": "2", "Override.LegacyCipherSuites": "2",
	"Override.CurvePreferences": "2", "Override.Revocation": "2", "Override.NoRevocation": "2", "Override.RevocationExempt": "2",
	"Override.SSHLegacy": "2", "Override.SSHMinRSABits": "2", "Override.SSHTimeout": "2",
	"Override.Revision": "free: not in records",

	"deployedRecord.Process": "1", "deployedRecord.Connections": "1", "deployedRecord.Frozen": "1",
	"deployedRecord.Atoms": "2", "deployedRecord.Partners": "2",
	"deployedRecord.Defined": "free: what Stale compares; Connections is what runs",

	"componentRecord.Type": "1", "componentRecord.X509": "1", "componentRecord.PGP": "1", "componentRecord.Secrets": "1",
	"State.ID": "1", "State.Name": "1", "State.Versions": "1",
	"State.Pending": "free: keys that wait are not in use", "State.LastRequest": "free: a number",
	"VersionState.Number": "1", "VersionState.Replaced": "1",
	"Stored.Chain": "1", "Stored.Store": "1", "Stored.Data": "1",
	"PendingState.Number": "free: see Pending", "PendingState.Made": "free: see Pending", "PendingState.Request": "free: see Pending",
	"secret.Sealed": "1", "secret.Reference": "1", "secret.Tag": "1",

	"atomRecord.Attached": "1", "atomRecord.Peers": "1",
	"atomRecord.Heard": "free: Lagging alone reads it", "atomRecord.Index": "free: as Heard",
	"seenPeer.Connection": "1", "seenPeer.Process": "1", "seenPeer.Name": "1", "seenPeer.Client": "1", "seenPeer.Chain": "1",
	"seenPeer.Count": "1", "seenPeer.Last": "1", "seenPeer.ByBase": "1",
	"seenPeer.HostKey": "free: dry runs alone read it",

	"vaultRecord.Keys": "1", "wrappedKey.ID": "1", "wrappedKey.Wrapped": "1",

	// Programs of before do not read these records, and have no password then.
	"ringRecord.Generation": "1", "ringRecord.Recipients": "1", "ringRecord.Former": "1",
	"ringRecipient.Name": "1", "ringRecipient.Key": "1", "ringRecipient.Enc": "1", "ringRecipient.Wrapped": "1",
	"formerKey.Generation": "1", "formerKey.Sealed": "1",
	"exposedRecord.Entries": "1", "exposedKeyOf.Component": "1", "exposedKeyOf.Version": "1", "exposedKeyOf.Key": "1", "exposedKeyOf.Until": "1",
	"exposedKeyOf.Recipient": "1", "exposedKeyOf.Fingerprint": "1",
	"sealedRecord.Generation": "1", "sealedRecord.Number": "1", "sealedRecord.Secrets": "1",
	"sealedSecret.Sealed": "1", "contentID.Version": "1", "contentID.Digest": "1",
}

func allDocuments() []document {
	return []document{
		newConnectionRecord(), newProcessRecord(), newPartnerRecord(), newEnvironmentRecord(), newDeployedRecord(), newComponentRecord(),
		newAtomRecord(), newVaultRecord(), newRingRecord(), new(sealedRecord), new(exposedRecord),
	}
}

// fieldsOf calls f with each exported field of structs that a type is made of.
func fieldsOf(of reflect.Type, seen map[reflect.Type]bool, f func(reflect.Type, reflect.StructField)) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		fieldsOf(of.Elem(), seen, f)
	case reflect.Struct:
		if seen[of] || !strings.HasPrefix(of.PkgPath(), "github.com/trustkeep/") {
			return
		}
		seen[of] = true
		for field := range of.Fields() {
			if field.IsExported() && !field.Anonymous {
				f(of, field)
			}
			if field.IsExported() || field.Anonymous {
				fieldsOf(field.Type, seen, f)
			}
		}
	}
}

// set gives a value that is not the zero one.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		if value.Kind() == reflect.Pointer {
			set(value)
		}
		v.SetMapIndex(reflect.Zero(v.Type().Key()), value)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		set(v.Field(0))
	default:
		v.Set(reflect.ValueOf(1).Convert(v.Type()))
	}
}

// TestNewFieldsHaveALaterFormat: a record with a field that programs of before would ignore, at the
// cost of a restriction, has a format that they refuse; others have the format of before.
func TestNewFieldsHaveALaterFormat(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	stamped := 0
	for _, name := range files {
		if text, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		} else if !strings.HasSuffix(name, "_test.go") {
			stamped += strings.Count(string(text), "\n\tstamp\n")
		}
	}
	if n := len(allDocuments()); n != stamped {
		t.Fatalf("%d kinds of records, and %d have a stamp: is one missing in allDocuments?", n, stamped)
	}

	found := make(map[string]bool)
	seen := make(map[reflect.Type]bool)
	for _, d := range allDocuments() {
		fieldsOf(reflect.TypeOf(d), seen, func(of reflect.Type, field reflect.StructField) {
			name := of.Name() + "." + field.Name
			found[name] = true
			if formatOfFields[name] == "" {
				t.Errorf("%s has no entry in formatOfFields: what does a program do that ignores it?", name)
			}
		})
	}
	for name := range formatOfFields {
		if !found[name] {
			t.Errorf("%s is no field of a record", name)
		}
	}

	// What holds each struct that has fields of format 2, with nothing else in it.
	holders := map[reflect.Type][]func() (document, reflect.Value){
		reflect.TypeFor[Connection](): {
			func() (document, reflect.Value) {
				d := newConnectionRecord()
				return d, reflect.ValueOf(&d.Connection).Elem()
			},
			func() (document, reflect.Value) {
				d := newDeployedRecord()
				d.Connections = make([]Connection, 2)
				return d, reflect.ValueOf(&d.Connections[1]).Elem()
			},
		},
		reflect.TypeFor[SSH](): {
			func() (document, reflect.Value) {
				d := newConnectionRecord()
				d.Connection.SSH = new(SSH)
				return d, reflect.ValueOf(d.Connection.SSH).Elem()
			},
			func() (document, reflect.Value) {
				d := newDeployedRecord()
				d.Connections = []Connection{{SSH: new(SSH)}}
				return d, reflect.ValueOf(d.Connections[0].SSH).Elem()
			},
		},
	}
	asked := 0
	ask := func(name string, d document) {
		asked++
		want := 1
		if formatOfFields[name] == "2" {
			want = 2
		}
		if got := d.format(); got != want {
			t.Errorf("%T with %s: format %d, not %d", d, name, got, want)
		}
	}
	for of, all := range holders {
		for _, fresh := range all {
			for field := range of.Fields() {
				d, v := fresh()
				set(v.FieldByName(field.Name))
				ask(of.Name()+"."+field.Name, d)
			}
		}
	}
	for field := range reflect.TypeFor[Override]().Fields() {
		var o Override
		set(reflect.ValueOf(&o).Elem().FieldByName(field.Name))
		d := newEnvironmentRecord()
		d.Overrides = map[string]Override{"a": {}, "b": o, "c": {}}
		ask("Override."+field.Name, d)
	}
	for _, d := range allDocuments() {
		of := reflect.TypeOf(d).Elem()
		for field := range of.Fields() {
			if !field.IsExported() {
				continue
			}
			fresh := reflect.New(of)
			set(fresh.Elem().FieldByName(field.Name))
			ask(of.Name()+"."+field.Name, fresh.Interface().(document))
		}
	}
	if asked < 100 {
		t.Errorf("%d fields asked", asked)
	}
}

// TestARefusedFormatIsUnsupported: what a program of before says to a record of a later format, and that
// a record of the first one is written as it was.
func TestARefusedFormatIsUnsupported(t *testing.T) {
	for _, x := range []struct {
		c    Connection
		want int
	}{
		{Connection{ID: "a", Trusted: []string{"ca"}, Pins: []truststore.Pin{{}}}, 1},
		{Connection{ID: "a", NextProtos: []string{}, Policy: truststore.Policy{}}, 1},
		{Connection{ID: "a", Environments: []string{"test"}}, 2},
		{Connection{ID: "a", Policy: truststore.Strict()}, 2},
	} {
		if got := x.c.format(); got != x.want {
			t.Errorf("%+v: format %d, not %d", x.c, got, x.want)
		}
	}
	later, err := json.Marshal(map[string]any{"format": formatVersion + 1, "connection": map[string]string{"id": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	v := newInventory()
	v.apply(Record{Key: "connections/a", Value: later, Revision: 1})
	if err := v.damaged["connections/a"]; !errors.Is(err, trustkeep.ErrUnsupported) || len(v.connections) != 0 {
		t.Errorf("%v, %d connections", err, len(v.connections))
	}
}
