package extract_test

import (
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep/extract"
	"github.com/trustkeep/trustkeep/internal/testleak"
)

// The URL of a proxy has a password, or a token for a name.
func TestOptionsPrintNoSecret(t *testing.T) {
	const canary = "hunter2canary"
	for _, user := range []*url.Userinfo{url.UserPassword("me", canary), url.User(canary)} {
		o := extract.Options{StartTLS: extract.SMTP, ServerName: "a.example", Proxy: &url.URL{Scheme: "http", User: user, Host: "proxy.example:3128"}}
		testleak.Check(t, o, []byte(canary))
		if got, want := o.String(), `smtp for "a.example" through http://proxy.example:3128`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
