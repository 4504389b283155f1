package httpfetch

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// A redirect stays with the host that was named.
func TestRedirects(t *testing.T) {
	for _, c := range []struct {
		from, to string
		follow   bool
	}{
		{"http://crl.example/a", "http://crl.example/b", true},
		{"http://crl.example/a", "http://CRL.example./b", true},
		{"http://crl.example/a", "http://crl.example:80/b", true},
		{"http://crl.example/a", "https://crl.example/b", true},
		{"http://crl.example:8080/a", "http://crl.example:8080/b", true},
		{"https://crl.example/a", "http://crl.example/b", false},
		{"https://crl.example:8443/a", "http://crl.example:8443/b", false},
		{"http://crl.example/a", "http://crl.example:8080/b", false},
		{"http://crl.example/a", "https://crl.example:22/b", false},
		{"http://crl.example:8080/a", "https://crl.example/b", false},
		{"http://crl.example/a", "http://cdn.example/b", false},
		{"http://crl.example/a", "http://www.crl.example/b", false},
		{"http://crl.example/a", "http://127.0.0.1/b", false},
		{"http://crl.example/a", "http://[::1]/b", false},
		{"http://crl.example/a", "http://169.254.169.254/latest/meta-data", false},
		{"http://crl.example/a", "http://crl.example@localhost/b", false},
		{"http://crl.example/a", "http://user:password@crl.example/b", false},
		{"http://crl.example/a", "file:///etc/passwd", false},
		{"http://crl.example/a", "gopher://crl.example/b", false},
	} {
		parse := func(s string) *http.Request {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			return &http.Request{URL: u}
		}
		err := sameHost(parse(c.to), []*http.Request{parse(c.from)})
		if (err == nil) != c.follow || err != nil && !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
	}
}

func TestRedirectsOfAServer(t *testing.T) {
	var reached int
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached++ }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/elsewhere":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case r.URL.Path == "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case r.URL.Path == "/here":
			http.Redirect(w, r, "/list", http.StatusMovedPermanently)
		default:
			w.Write([]byte("list"))
		}
	}))
	defer server.Close()
	get := func(client *http.Client, path string) (string, error) {
		data, err := Do(t.Context(), client, Request{URL: server.URL + path, Limit: 100})
		return string(data), err
	}
	client := server.Client()
	if got, err := get(client, "/here"); err != nil || got != "list" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := get(client, "/elsewhere"); !errors.Is(err, trustkeep.ErrUnsupported) || reached != 0 {
		t.Errorf("another host was reached %d times: %v", reached, err)
	}
	if _, err := get(client, "/round"); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("redirects without end: %v", err)
	}
	if client.CheckRedirect != nil {
		t.Error("the caller's client was changed")
	}
	// The caller's own rule counts.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
	if _, err := get(client, "/elsewhere"); err != nil || reached != 1 {
		t.Errorf("%v, reached %d times", err, reached)
	}
}
