package revocation

import (
	"bytes"
	"errors"
	"fmt"
)

// judgeLists says what lists, in whatever order, mean for a certificate:
//
//   - A revocation that is not undone counts in every list that the issuer has signed, also in
//     one that has expired, covers other certificates or is a delta list.
//   - A certificate on hold is revoked, unless a newer list that covers it says otherwise.
//   - The newest current list that covers the certificate, and it alone, clears it.
//
// Lists of one scope are ordered by their numbers, all others by date.
func (c *Checker) judgeLists(q question, lists []*CRL) (v finding) {
	until := q.at.Add(c.o.Skew)
	type listed struct {
		*CRL
		hold *entry
	}
	var onHold []listed
	newest := map[string]*CRL{}  // by scope, of those that cover the certificate
	current := map[string]*CRL{} // of those, the ones that are not out of date
	for _, l := range lists {
		if !bytes.Equal(l.head.RawIssuer, q.cert.RawIssuer) {
			v.because(errors.New("list is of another issuer"))
			continue
		}
		if err := l.signedBy(q.issuer, q.id); err != nil {
			v.because(err)
			continue
		}
		if l.scope.attributes {
			v.because(errors.New("list is for attribute certificates"))
			continue
		}
		e := l.find(q.cert.SerialNumber, until)
		if e != nil && final(e.reason) {
			v.revoked = revoked(e.when, e.reason, "the list of "+l.name())
			return v
		}
		if l.head.ThisUpdate.After(until) {
			v.because(fmt.Errorf("the list of %s %w", l.name(), notBefore(l.head.ThisUpdate)))
			continue
		}
		if e != nil && e.reason == hold {
			onHold = append(onHold, listed{l, e})
		}
		if err := l.covers(q.cert); err != nil {
			v.because(err)
			continue
		}
		put(newest, l)
		if _, err := c.fresh(l.head.ThisUpdate, l.head.NextUpdate, q.at); err != nil {
			v.because(fmt.Errorf("the list of %s %w", l.name(), err))
			continue
		}
		put(current, l)
	}
	last := latest(newest)
	for _, l := range onHold {
		if last == nil || !l.olderThan(last) {
			_, err := c.fresh(l.head.ThisUpdate, l.head.NextUpdate, q.at)
			v.add(finding{onHold: revoked(l.hold.when, l.hold.reason, "the list of "+l.name()), lasting: err == nil})
		}
	}
	if clears := latest(current); clears != nil {
		if e := clears.find(q.cert.SerialNumber, until); e != nil && e.reason == hold {
			v.because(fmt.Errorf("the list of %s has it on hold, and a newer one is out of date", clears.name()))
		} else {
			v.good = true
		}
	}
	return v
}

// put keeps the newest list of each scope.
func put(m map[string]*CRL, l *CRL) {
	if have := m[l.scope.id]; have == nil || have.olderThan(l) {
		m[l.scope.id] = l
	}
}

// latest is the newest of lists of different scopes.
func latest(m map[string]*CRL) (last *CRL) {
	for _, l := range m {
		if last == nil || last.olderThan(l) {
			last = l
		}
	}
	return last
}

// olderThan compares by number within one scope, and by date otherwise.
func (l *CRL) olderThan(other *CRL) bool {
	if a, b := l.head.Number, other.head.Number; l.scope.id == other.scope.id && a != nil && b != nil {
		if order := a.Cmp(b); order != 0 {
			return order < 0
		}
	}
	return l.head.ThisUpdate.Before(other.head.ThisUpdate)
}
