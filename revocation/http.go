package revocation

import (
	"context"
	"fmt"
	"net/http"

	"github.com/trustkeep/trustkeep/internal/httpfetch"
)

// HTTP fetches lists and OCSP responses. Its methods are what Options.FetchCRL
// and Options.FetchOCSP take. The URLs come from certificates that a trusted
// authority has signed, or that are trusted themselves, and may lead anywhere, into one's own
// network too: a Client with a transport of one's own can restrict that.
//
// Redirects are followed to the same host and port alone, or from http to https at their own
// ports, 5 at most; the CheckRedirect of a Client replaces this rule.
//
// Only http and https are spoken: revocation data is signed, and is published over
// http so that fetching it needs no other certificate to be checked.
type HTTP struct {
	// Client sends the requests. If nil, http.DefaultClient does.
	Client *http.Client
	// MaxSize bounds a list, in bytes. If zero, 32 MiB.
	MaxSize int64
}

// FetchCRL gets a list. It fails with trustkeep.ErrLimit for one that is too long
// and trustkeep.ErrUnsupported for a URL of another scheme and a redirect to another host.
func (h HTTP) FetchCRL(ctx context.Context, url string) ([]byte, error) {
	limit := h.MaxSize
	if limit == 0 {
		limit = 32 << 20
	}
	return h.do(ctx, httpfetch.Request{URL: url, Limit: limit})
}

// FetchOCSP posts a request (RFC 6960 appendix A). Errors are those of FetchCRL.
func (h HTTP) FetchOCSP(ctx context.Context, url string, request []byte) ([]byte, error) {
	return h.do(ctx, httpfetch.Request{
		URL: url, Body: request, ContentType: "application/ocsp-request", Accept: "application/ocsp-response", Limit: maxResponse,
	})
}

func (h HTTP) do(ctx context.Context, q httpfetch.Request) ([]byte, error) {
	data, err := httpfetch.Do(ctx, h.Client, q)
	if err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	return data, nil
}
