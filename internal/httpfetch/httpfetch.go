// Package httpfetch gets small things that certificates name by URL: revocation
// lists, OCSP responses, certificates of issuers.
package httpfetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Request is one request. An empty Body makes it a GET, else it is a POST.
type Request struct {
	URL         string
	Body        []byte
	ContentType string // of Body
	Accept      string
	Limit       int64 // in bytes of the answer
}

// Do sends the request; a nil client is http.DefaultClient. A client without CheckRedirect
// follows redirects only to the same host and port, or from http to https at their own ports:
// whoever was named may not send this machine to others, of its own network for instance. It
// fails with trustkeep.ErrUnsupported for a URL that is not http or https, and for other
// redirects, and with trustkeep.ErrLimit for a longer answer and more than 5 redirects.
func Do(ctx context.Context, client *http.Client, q Request) ([]byte, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("URL %q: %w", trustkeep.Printable(q.URL), trustkeep.ErrUnsupported)
	}
	method := http.MethodGet
	if len(q.Body) > 0 {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return nil, err
	}
	if q.ContentType != "" {
		r.Header.Set("Content-Type", q.ContentType)
	}
	if q.Accept != "" {
		r.Header.Set("Accept", q.Accept)
	}
	if client == nil {
		client = http.DefaultClient
	}
	if client.CheckRedirect == nil {
		own := *client
		own.CheckRedirect = sameHost
		client = &own
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %q", trustkeep.Printable(u.Host), trustkeep.Printable(response.Status))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, q.Limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > q.Limit {
		return nil, fmt.Errorf("answer of more than %d bytes: %w", q.Limit, trustkeep.ErrLimit)
	}
	return data, nil
}

// maxRedirects is more than a server needs to find its own files.
const maxRedirects = 5

// sameHost is a CheckRedirect.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects: %w", maxRedirects, trustkeep.ErrLimit)
	}
	from, to := via[len(via)-1].URL, r.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
	if host(from) != host(to) || !upgrade && (from.Scheme != to.Scheme || port(from) != port(to)) || to.User != nil {
		return fmt.Errorf("redirect to %s://%s: %w", trustkeep.Printable(to.Scheme), trustkeep.Printable(to.Host), trustkeep.ErrUnsupported)
	}
	return nil
}

func host(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
