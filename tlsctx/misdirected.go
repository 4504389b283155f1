package tlsctx

import (
	"crypto/tls"
	"net/http"
)

// Handler returns a handler that passes on to next what was asked for under the Builder of its
// connection, and answers 421 Misdirected Request to all else (RFC 9110 section 15.5.20). Servers
// with the configuration of Server need it: that chooses a Builder by the name in the handshake
// (SNI), while handlers go by the request's Host, which a client chooses for itself. Without it,
// a client that asked for a public name in the handshake gets, by Host, what another Builder
// keeps for clients with a certificate. Clients that share one HTTP/2 connection among names
// (RFC 9113 section 9.1.1) repeat a request that got 421 over a connection of its own.
//
// A request is passed on if one pattern is the one that fits both names. One that did not come
// over TLS, and one whose Host is none, is answered by 421 too. The patterns are those of the moment
// of the request: where that Builder has RequireClientAuth and the connection, which is older than it, has
// no client certificate, the answer is 421 as well. For other changes, see Listener.Recheck.
func (p *Destinations) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !p.same(r.TLS, r.Host) {
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "421 "+http.StatusText(http.StatusMisdirectedRequest), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same reports whether the handshake of a connection and the Host of a request belong together.
func (p *Destinations) same(s *tls.ConnectionState, authority string) bool {
	at := endpointOf(authority) // what is none could be taken for another host by a handler
	if at.err != nil {
		return false
	}
	one := p.find(s.ServerName, "")
	if one == nil || one != p.find(at.host, "") {
		return false
	}
	live, err := one.serves()
	if err != nil {
		return false
	}
	now, err := live.now()
	return err == nil && (now.b.ClientAuth != RequireClientAuth || len(s.PeerCertificates) > 0)
}
