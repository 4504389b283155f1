package revocation

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
)

func TestHTTP(t *testing.T) {
	w := newWorld(t)
	response, list := w.response(ocsp.Good, nil, nil), w.list(w.pki.Intermediate, nil)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Path == "/list":
			rw.Write(list)
		case r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/ocsp-request":
			request, err := io.ReadAll(r.Body)
			if _, perr := ocsp.ParseRequest(request); err != nil || perr != nil {
				t.Errorf("%v, %v", err, perr)
			}
			rw.Write(response)
		case r.URL.Path == "/long":
			rw.Write(make([]byte, 2000))
		default:
			http.Error(rw, "no", http.StatusNotFound)
		}
	}))
	defer server.Close()
	h := HTTP{Client: server.Client(), MaxSize: 1000}
	if got, err := h.FetchCRL(t.Context(), server.URL+"/list"); err != nil || !bytes.Equal(got, list) {
		t.Errorf("%x, %v", got, err)
	}
	request, err := ocsp.CreateRequest(w.leaf.Cert, w.pki.Intermediate.Cert, &ocsp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.FetchOCSP(t.Context(), server.URL, request); err != nil || !bytes.Equal(got, response) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := h.FetchCRL(t.Context(), server.URL+"/long"); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	if _, err := h.FetchCRL(t.Context(), server.URL+"/none"); err == nil {
		t.Error("an error page was taken for a list")
	}
	for _, url := range []string{"ldap://crl.example/cn=crl", "file:///etc/passwd", "http:", "::"} {
		if _, err := h.FetchCRL(t.Context(), url); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
