package extract_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/extract"
)

// A wrong call is ErrInvalid and nothing else, and does not reach the network.
func TestWrongCallsAreInvalid(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, errors.New("no network")
	}
	_, fingerprint := new(extract.Chain).Accept("12:34")
	_, proxy := extract.Fetch(context.Background(), "a.example:443", extract.Options{Dial: dial, Proxy: &url.URL{Scheme: "socks5", Host: "p"}})
	_, protocol := extract.Fetch(context.Background(), "a.example:21", extract.Options{Dial: dial, StartTLS: "gopher"})
	_, address := extract.Fetch(context.Background(), "a.example", extract.Options{Dial: dial})
	_, timeout := extract.Fetch(context.Background(), "a.example:443", extract.Options{Dial: dial, Timeout: -1})
	for name, err := range map[string]error{"fingerprint": fingerprint, "proxy": proxy, "protocol": protocol, "address": address,
		"timeout": timeout, "StartTLS": extract.StartTLS(nil, "gopher")} {
		if !errors.Is(err, trustkeep.ErrInvalid) || errors.Is(err, trustkeep.ErrCorrupt) || errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
