package partner_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/partner"
)

// cert is an item whose validity is in days of an imagined year.
type cert struct {
	name     string
	from, to int
	revoked  bool
}

func day(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

func (c cert) Fingerprint() string  { return c.name }
func (c cert) NotBefore() time.Time { return day(c.from) }
func (c cert) Revoked() bool        { return c.revoked }
func (c cert) NotAfter() time.Time {
	if c.to == 0 {
		return time.Time{}
	}
	return day(c.to)
}

type member = partner.Member[cert]

func TestResolve(t *testing.T) {
	both := partner.Encrypt | partner.Verify
	old, fresh := cert{"old", 0, 100, false}, cert{"new", 50, 200, false}
	for name, tt := range map[string]struct {
		members []member
		use     partner.Use
		at      int
		want    string
		err     error
	}{
		"before the new one":             {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both}}, partner.Encrypt, 40, "old", nil},
		"newest valid sends":             {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both}}, partner.Encrypt, 60, "new", nil},
		"order does not matter":          {[]member{{Item: fresh, Uses: both}, {Item: old, Uses: both}}, partner.Encrypt, 60, "new", nil},
		"preferred from keeps the old":   {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both, PreferredFrom: day(80)}}, partner.Encrypt, 60, "old", nil},
		"preferred from has come":        {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both, PreferredFrom: day(80)}}, partner.Encrypt, 80, "new", nil},
		"early is better than not":       {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both, PreferredFrom: day(150)}}, partner.Encrypt, 120, "new", nil},
		"back to the old on request":     {[]member{{Item: old, Uses: both, PreferredFrom: day(70)}, {Item: fresh, Uses: both}}, partner.Encrypt, 75, "old", nil},
		"revoked does not send":          {[]member{{Item: old, Uses: both}, {Item: cert{"new", 50, 200, true}, Uses: both}}, partner.Encrypt, 60, "old", nil},
		"never expires":                  {[]member{{Item: cert{"forever", 0, 0, false}, Uses: both}}, partner.Encrypt, 10_000, "forever", nil},
		"none valid":                     {[]member{{Item: old, Uses: both}}, partner.Encrypt, 100, "", partner.ErrNoneValid},
		"not yet valid":                  {[]member{{Item: fresh, Uses: both}}, partner.Encrypt, 10, "", trustkeep.ErrExpired},
		"all receive, newest first":      {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both}}, partner.Verify, 60, "new old", nil},
		"expired receives, last":         {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both}}, partner.Verify, 120, "new old", nil},
		"the future one receives, last":  {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: both}}, partner.Verify, 20, "old new", nil},
		"use not served":                 {[]member{{Item: old, Uses: both}}, partner.Decrypt, 10, "", trustkeep.ErrNotFound},
		"receipts have their own":        {[]member{{Item: old, Uses: both}, {Item: fresh, Uses: partner.VerifyMDN}}, partner.VerifyMDN, 60, "new", nil},
		"several uses at once":           {[]member{{Item: old, Uses: both}}, both, 10, "", trustkeep.ErrInvalid},
		"no use":                         {[]member{{Item: old, Uses: both}}, 0, 10, "", trustkeep.ErrInvalid},
		"empty set":                      {nil, partner.Sign, 0, "", trustkeep.ErrNotFound},
		"same day, the later preference": {[]member{{Item: old, Uses: both, PreferredFrom: day(60)}, {Item: cert{"other", 0, 100, false}, Uses: both}}, partner.Encrypt, 70, "old", nil},
	} {
		var s partner.Set[cert]
		for _, m := range tt.members {
			if err := s.Add(m); err != nil {
				t.Fatal(err)
			}
		}
		items, err := s.Resolve(tt.use, day(tt.at))
		var names []string
		for _, c := range items {
			names = append(names, c.name)
		}
		if got := strings.Join(names, " "); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestSet(t *testing.T) {
	var s partner.Set[cert]
	if err := s.Add(member{Item: cert{name: "x"}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no use: %v", err)
	}
	add := func(m member) {
		t.Helper()
		if err := s.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	add(member{Item: cert{"a", 0, 10, false}, Uses: partner.Encrypt, Variant: "production"})
	add(member{Item: cert{"b", 1, 10, false}, Uses: partner.Encrypt, Variant: "test"})
	add(member{Item: cert{"b", 1, 99, false}, Uses: partner.Encrypt, Variant: "test"}) // the extended copy
	if got := s.Members(); len(got) != 2 || got[1].Item.to != 99 {
		t.Errorf("%+v", got)
	}
	for variant, want := range map[string]string{"production": "a", "test": "b"} {
		if c, err := s.Variant(variant).Send(partner.Encrypt, day(5)); err != nil || c.name != want {
			t.Errorf("%s: %v, %v", variant, c, err)
		}
	}
	if got := s.Expiring(day(50)); len(got) != 1 || got[0].Item.name != "a" {
		t.Errorf("%+v", got)
	}
	if _, err := s.Send(partner.Verify, day(5)); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if err := s.Remove("a"); err != nil || len(s.Members()) != 1 {
		t.Errorf("%v", err)
	}
	if err := s.Remove("a"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if got := (partner.Encrypt | partner.VerifyMDN).String(); got != "encrypt|verify-mdn" {
		t.Error(got)
	}
}

func TestSetConcurrently(t *testing.T) {
	var s partner.Set[cert]
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				c := cert{fmt.Sprint(i, j), 0, 100, false}
				if err := s.Add(member{Item: c, Uses: partner.Sign}); err != nil {
					t.Error(err)
				}
				if _, err := s.Send(partner.Sign, day(1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.Members()); n != 400 {
		t.Errorf("%d members", n)
	}
}

func ExampleSet() {
	var s partner.Set[cert]
	s.Add(member{Item: cert{"old", 0, 100, false}, Uses: partner.Encrypt | partner.Verify})
	s.Add(member{Item: cert{"new", 50, 200, false}, Uses: partner.Encrypt | partner.Verify, PreferredFrom: day(80)})
	send, _ := s.Send(partner.Encrypt, day(60))
	receive, _ := s.Resolve(partner.Verify, day(60))
	fmt.Println("encrypt with", send.name)
	fmt.Println("accept", len(receive))
	// Output:
	// encrypt with old
	// accept 2
}

// A wrong call is ErrInvalid and nothing else.
func TestWrongCallsAreInvalid(t *testing.T) {
	s := new(partner.Set[partner.Item])
	_, several := s.Resolve(partner.Sign|partner.Encrypt, time.Now())
	_, none := s.Resolve(0, time.Now())
	_, receive := s.Send(partner.Decrypt, time.Now())
	for name, err := range map[string]error{
		"no use": s.Add(partner.Member[partner.Item]{Item: cert{}}), "no item": s.Add(partner.Member[partner.Item]{Uses: partner.Sign}),
		"several uses": several, "none": none, "Send to receive": receive,
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
