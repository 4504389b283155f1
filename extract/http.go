package extract

import (
	"context"
	"fmt"
	"net/http"

	"github.com/trustkeep/trustkeep/internal/httpfetch"
)

// HTTP fetches the certificates of issuers. The URLs come from certificates that
// nobody has verified: use a Client that cannot reach what strangers should not
// make this program reach. Redirects are followed to the same host and port alone, or from http to
// https at their own ports; the CheckRedirect of a Client replaces this rule.
type HTTP struct {
	// Client sends the requests. If nil, http.DefaultClient does.
	Client *http.Client
}

// FetchIssuer is for Options.FetchIssuer. It fails with trustkeep.ErrUnsupported
// for a URL that is not http or https and with trustkeep.ErrLimit for more than
// 256 KiB.
func (h HTTP) FetchIssuer(ctx context.Context, url string) ([]byte, error) {
	data, err := httpfetch.Do(ctx, h.Client, httpfetch.Request{URL: url, Limit: 256 << 10})
	if err != nil {
		return nil, fmt.Errorf("extract: %w", err)
	}
	return data, nil
}
