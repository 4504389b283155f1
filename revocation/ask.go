package revocation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

// maxPlaces bounds the responders and the lists that are asked about one certificate, each.
const maxPlaces = 8

// placesOf lists where an answer about a certificate can be fetched.
func (c *Checker) placesOf(q question) (places []place) {
	add := func(p place, urls []string) {
		n := 0
		for _, p.url = range urls {
			if n < maxPlaces && !slices.Contains(places, p) {
				n++
				places = append(places, p)
			}
		}
	}
	if c.o.FetchOCSP != nil {
		add(place{kind: aResponder, issuer: q.id, serial: string(serialKey(q.cert.SerialNumber))}, q.cert.OCSPServer)
	}
	if c.o.FetchCRL != nil {
		add(place{kind: aList, issuer: q.id}, q.cert.CRLDistributionPoints)
	}
	return places
}

// atHand judges the lists of the caller, what is kept from earlier questions, and what has
// just been fetched.
func (c *Checker) atHand(q question, places []place, fetched []*answers) finding {
	lists := slices.Concat(c.held(q), c.cache.listsOf(q.id))
	var responses []*ocsp.Response
	for _, p := range places {
		if p.kind == aResponder {
			responses = append(responses, c.cache.response(p))
		}
	}
	for _, a := range fetched {
		lists = append(lists, a.crls...)
		responses = append(responses, a.ocsp)
	}
	v := c.judgeLists(q, lists)
	for _, r := range responses {
		if r != nil {
			v.add(c.judgeResponse(q, r))
		}
	}
	return v
}

// errOvertaken is the cause of the end of fetches whose answer is no longer needed.
var errOvertaken = errors.New("another has answered")

// askPlaces asks all places side by side, so that none that is kept from answering keeps the
// others from it. A revocation ends the asking. Once one place has cleared the certificate, the
// others have a tenth of the time to object.
func (c *Checker) askPlaces(ctx context.Context, q question, places []place) finding {
	ctx, cancel := context.WithCancelCause(ctx)
	type result struct {
		place    int
		answers  *answers
		err      error
		panicked any
	}
	results := make(chan result, len(places))
	pending := 0
	for i, p := range places {
		pending++
		go func() {
			r := result{place: i}
			defer func() {
				r.panicked = recover() // a hook's, for our caller
				results <- r
			}()
			r.answers, r.err = c.ask(ctx, q, p)
		}()
	}
	defer func() {
		cancel(errOvertaken)
		for range pending { // they return when the context ends
			<-results
		}
	}()
	var grace <-chan time.Time
	var fetched []*answers
	errs := make([]error, len(places))
	v := c.atHand(q, places, nil)
	for pending > 0 {
		select {
		case r := <-results:
			pending--
			if r.panicked != nil {
				panic(r.panicked)
			}
			errs[r.place] = r.err
			if r.answers != nil {
				fetched = append(fetched, r.answers)
			}
		case <-grace:
			return v
		}
		if v = c.atHand(q, places, fetched); v.revoked != nil {
			return v
		}
		if v.good && v.onHold == nil && grace == nil {
			deadline, _ := ctx.Deadline()
			timer := time.NewTimer(time.Until(deadline) / 10)
			defer timer.Stop()
			grace = timer.C
		}
	}
	for _, err := range errs {
		if err != nil {
			v.because(err)
		}
	}
	return v
}

// ask fetches what a place has, or takes what is kept of it.
func (c *Checker) ask(ctx context.Context, q question, p place) (*answers, error) {
	if p.kind == aList {
		return c.cache.get(ctx, p, func(ctx context.Context) (*answers, error) { return c.fetchLists(ctx, q, p.url) })
	}
	silence := place{kind: aSilence, issuer: p.issuer, url: p.url}
	if err := c.cache.failed(silence); err != nil {
		return nil, err
	}
	a, err := c.cache.get(ctx, p, func(ctx context.Context) (*answers, error) { return c.fetchResponse(ctx, q, p.url) })
	if errors.Is(err, errSilent) {
		// It would keep the next certificate waiting as well.
		c.cache.fail(silence, fmt.Errorf("OCSP: %w", err))
	}
	return a, err
}

// fetchLists fetches lists and verifies them.
func (c *Checker) fetchLists(ctx context.Context, q question, url string) (*answers, error) {
	data, err := c.o.FetchCRL(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	// Nobody has signed it yet: of many lists, which take far more memory than their PEM, those are
	// read that are kept.
	lists, err := parseSome(bytes.Clone(data), maxListsOfPlace)
	if err != nil {
		return nil, err
	}
	a := &answers{}
	for _, l := range lists {
		if unsigned := l.signedBy(q.issuer, q.id); unsigned != nil {
			err = unsigned
			continue
		}
		a.crls = append(a.crls, l)
		c.keep(a, l.head.ThisUpdate, l.head.NextUpdate)
	}
	if len(a.crls) == 0 {
		return nil, err
	}
	return a, nil
}

// fetchResponse asks a responder and verifies what it says.
func (c *Checker) fetchResponse(ctx context.Context, q question, url string) (*answers, error) {
	r, err := fetchResponse(func(request []byte) ([]byte, error) { return c.o.FetchOCSP(ctx, url, request) }, q.cert, q.issuer)
	if err != nil {
		return nil, err
	}
	a := &answers{ocsp: r}
	c.keep(a, r.ThisUpdate, r.NextUpdate)
	return a, nil
}

// keep notes until when an answer counts. One that does not count now may count in other
// questions, and is soon asked for again.
func (c *Checker) keep(a *answers, thisUpdate, nextUpdate time.Time) {
	now := c.o.Clock()
	until, err := c.fresh(thisUpdate, nextUpdate, now)
	if err != nil || !until.After(now) {
		until = now.Add(c.o.RetryAfter)
	}
	if until.After(a.until) {
		a.until = until
	}
}
