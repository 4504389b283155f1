package environment

import (
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// FuzzRecords feeds records that somebody else wrote to what atoms make of them. A record
// that is refused is reported; one that is taken can be asked everything.
func FuzzRecords(f *testing.F) {
	x, err := component.Create(f.Context(), "x", issue.Options{Subject: pkix.Name{CommonName: "x"}},
		component.Options{ID: "x", Password: trustkeep.Password("x")})
	if err != nil {
		f.Fatal(err)
	}
	p, err := component.Create(f.Context(), "p", pgp.GenerateOptions{UserIDs: []string{"p"}}, component.Options{ID: "p", Password: trustkeep.Password("p")})
	if err != nil {
		f.Fatal(err)
	}
	records := map[string]document{
		"connections/c":               &connectionRecord{Connection: Connection{ID: "c", Trusted: []string{"x"}, Identity: "x"}},
		"processes/p":                 &processRecord{Process: Process{ID: "p", Connections: []string{"c"}}},
		"partners/p":                  &partnerRecord{Partner: Partner{ID: "p", Members: []PartnerMember{{Component: "p", Uses: 3, Environment: "test"}}}},
		"environments/test":           &environmentRecord{Deployed: map[string]Deployment{"x": {}}, Roles: map[string]string{"tls": "x"}},
		"environments/test/atoms/one": &atomRecord{Peers: []seenPeer{{Name: "localhost", Chain: keystore.ChainOf(x)}}},
	}
	frozen := make(map[string]*componentRecord)
	for _, c := range []*component.Component{x, p} {
		d := new(componentRecord)
		if err := d.setContent(c); err != nil {
			f.Fatal(err)
		}
		records["components/"+c.ID()], frozen[c.ID()] = d, d.frozen()
	}
	records["environments/test/processes/p"] = &deployedRecord{Process: Process{ID: "p"}, Frozen: frozen}
	for key, d := range records {
		d.stamped().Format = formatVersion
		text, err := encode(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(key, text)
	}
	good := newInventory()
	for key, d := range records {
		text, _ := json.Marshal(d)
		good.apply(Record{Key: key, Value: text})
	}
	if len(good.damaged) > 0 || len(good.keys()) != len(records) {
		f.Fatalf("%d keys, damaged: %v", len(good.keys()), good.damaged)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		v := good.clone()
		v.apply(Record{Key: key, Value: value, Revision: 1})
		if err := v.damaged[key]; err != nil && !known(err) {
			t.Errorf("%v", err)
		}
		for id := range v.components {
			v.uses(id)
		}
		now := time.Unix(1, 0)
		for env, d := range v.environments {
			v.deployedTo(env, "one")
			d.substituted("x", "p")
			for _, place := range v.places(env, d, false) {
				_ = place
			}
		}
		for _, a := range v.atoms {
			for _, peer := range a.record.Peers {
				if v.environments[a.environment] != nil {
					v.judge(a.environment, a.id, peer, now)
				}
				peer.label()
			}
		}
		for _, h := range v.components {
			ExpiryQuery{Before: now.AddDate(1000, 0, 0)}.rows(h.component, Expiry{}, now)
		}
	})
}

func known(err error) bool {
	for _, s := range []error{trustkeep.ErrCorrupt, trustkeep.ErrUnsupported, trustkeep.ErrLimit, trustkeep.ErrEmpty} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}
