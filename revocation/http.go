package revocation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/trustkeep/trustkeep"
)

// HTTP fetches lists and OCSP responses. Its methods are what Options.FetchCRL
// and Options.FetchOCSP take. The URLs come from certificates that a trusted
// authority has signed; a Client with a transport of one's own can restrict where
// they may lead.
//
// Only http and https are spoken: revocation data is signed, and is published over
// http so that fetching it needs no other certificate to be checked.
type HTTP struct {
	// Client does the requests; nil is http.DefaultClient.
	Client *http.Client
	// MaxSize bounds a list, in bytes; zero is 32 MiB.
	MaxSize int64
}

// FetchCRL gets a list. It fails with trustkeep.ErrLimit for one that is too long
// and trustkeep.ErrUnsupported for a URL of another scheme.
func (h HTTP) FetchCRL(ctx context.Context, rawURL string) ([]byte, error) {
	limit := h.MaxSize
	if limit == 0 {
		limit = 32 << 20
	}
	return h.do(ctx, http.MethodGet, rawURL, nil, limit)
}

// FetchOCSP posts a request (RFC 6960 appendix A). Errors are those of FetchCRL.
func (h HTTP) FetchOCSP(ctx context.Context, rawURL string, request []byte) ([]byte, error) {
	return h.do(ctx, http.MethodPost, rawURL, request, maxResponse)
}

func (h HTTP) do(ctx context.Context, method, rawURL string, body []byte, limit int64) ([]byte, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("revocation: URL %q: %w", trustkeep.Printable(rawURL), trustkeep.ErrUnsupported)
	}
	r, err := http.NewRequestWithContext(ctx, method, rawURL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/ocsp-request")
		r.Header.Set("Accept", "application/ocsp-response")
	}
	client := h.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("revocation: %s answers %q", trustkeep.Printable(u.Host), trustkeep.Printable(response.Status))
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("revocation: answer of more than %d bytes: %w", limit, trustkeep.ErrLimit)
	}
	return data, nil
}
