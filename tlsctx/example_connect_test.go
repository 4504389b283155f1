package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// greeter starts an HTTPS server with an identity of the PKI, which greets clients by the
// names in their certificates.
func greeter(pki *pkitest.PKI, names ...string) *httptest.Server {
	cfg, err := tlsctx.Builder{Identity: pki.NewServer(names...), Trusted: pki.Trust(), ClientAuth: tlsctx.RequestClientAuth}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "whoever you are"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		fmt.Fprintf(w, "hello, %s", name)
	}))
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	return server
}

// at dials an address whatever name is asked for; programs have a name service instead.
func at(server *httptest.Server) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
}

func get(transport http.RoundTripper, url string) string {
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		if refused, ok := errors.AsType[*tlsctx.HandshakeError](err); ok {
			return "refused: " + string(refused.Code)
		}
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// A configuration for one address works with tls.Dial and every library that takes a
// tls.Config.
func ExampleBuilder_For() {
	pki := examplePKI("Partner")
	server := greeter(pki, "127.0.0.1")
	defer server.Close()
	address := server.Listener.Addr().String()

	cfg, err := tlsctx.Builder{Trusted: pki.Trust()}.For(address).Client()
	if err != nil {
		log.Fatal(err)
	}
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(conn.ConnectionState().PeerCertificates[0].IPAddresses)
	// Output: [127.0.0.1]
}

// A Dialer follows its stores: what is removed is not trusted by the next connection.
func ExampleBuilder_Dialer() {
	pki := examplePKI("Partner")
	server := greeter(pki, "ftp.partner.example")
	defer server.Close()

	trust := truststore.New(pki.CA.Leaf())
	dialer, err := tlsctx.Builder{Global: trust}.Dialer()
	if err != nil {
		log.Fatal(err)
	}
	dialer.Dial = at(server)
	for range 2 {
		conn, err := dialer.DialContext(context.Background(), "tcp", "ftp.partner.example:990")
		if refused, ok := errors.AsType[*tlsctx.HandshakeError](err); ok {
			fmt.Println("refused:", refused.Code)
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Println("connected")
		conn.Close()
		if err := trust.Set(examplePKI("Another").CA.Leaf()); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// connected
	// refused: unknown-issuer
}

// A Transport does the same for HTTPS, over HTTP/2 where the server speaks it.
func ExampleBuilder_Transport() {
	pki := examplePKI("Partner")
	server := greeter(pki, "www.partner.example")
	defer server.Close()

	transport, err := tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.NewClient("shop")}.Transport(&http.Transport{DialContext: at(server)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(get(transport, "https://www.partner.example/"))
	// Output: hello, shop
}

// A server follows its stores, too: a client whose authority is added is accepted at once.
func ExampleBuilder_Server() {
	pki, partner := examplePKI("Own"), examplePKI("Partner")
	clients := truststore.New(pki.CA.Leaf())
	cfg, err := tlsctx.Builder{Identity: pki.NewServer("127.0.0.1"), Trusted: clients, ClientAuth: tlsctx.RequireClientAuth}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "welcome") }))
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	defer server.Close()

	transport, err := tlsctx.Builder{Trusted: pki.Trust(), Identity: partner.NewClient("partner"), MaxVersion: tls.VersionTLS12}.Transport(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(get(transport, server.URL) == "welcome")
	if err := clients.Add("partner", partner.CA.Leaf()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(get(transport, server.URL))
	// Output:
	// false
	// welcome
}

// Each partner is shown an identity of its own; the rest gets that of the Builder.
func ExampleRoutes() {
	pki := examplePKI("Partner")
	server := greeter(pki, "*.partner.example", "other.example")
	defer server.Close()

	routes := new(tlsctx.Routes)
	for pattern, id := range map[string]trustkeep.Identity{
		"*.partner.example":        pki.NewClient("supplier-42"),
		"secret.partner.example":   pki.NewClient("agent"),
		"plain.partner.example:80": nil, // presents none
	} {
		if err := routes.Set(pattern, id); err != nil {
			log.Fatal(err)
		}
	}
	transport, err := tlsctx.Builder{Trusted: pki.Trust(), Identity: pki.NewClient("me"), Routes: routes}.Transport(&http.Transport{DialContext: at(server)})
	if err != nil {
		log.Fatal(err)
	}
	for _, host := range []string{"www.partner.example", "secret.partner.example", "plain.partner.example:80", "other.example"} {
		fmt.Println(get(transport, "https://"+host))
	}
	// Output:
	// hello, supplier-42
	// hello, agent
	// hello, whoever you are
	// hello, me
}

// Trust, identity and policy differ by destination.
func ExampleDestinations() {
	a, b := examplePKI("A"), examplePKI("B")
	server := greeter(a, "a.example", "b.example")
	defer server.Close()

	destinations := new(tlsctx.Destinations)
	for pattern, builder := range map[string]tlsctx.Builder{
		"a.example": {Trusted: a.Trust(), Identity: a.NewClient("me at A")},
		"*":         {Trusted: b.Trust()},
	} {
		if err := destinations.Set(pattern, builder); err != nil {
			log.Fatal(err)
		}
	}
	transport := destinations.Transport(&http.Transport{DialContext: at(server)})
	fmt.Println(get(transport, "https://a.example/"))
	fmt.Println(get(transport, "https://b.example/"))
	// Output:
	// hello, me at A
	// refused: unknown-issuer
}

// Pinned trusts one certificate or key and nothing that it has issued.
func ExampleBuilder_pinned() {
	pki := examplePKI("Partner")
	leaf := pki.SelfSigned("sftp.partner.example")
	cfg, err := tlsctx.Builder{Identity: leaf}.Server()
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "welcome") }))
	server.TLS, server.Config.ErrorLog = cfg, quiet()
	server.StartTLS()
	defer server.Close()

	for _, pinned := range []*x509.Certificate{leaf.Leaf(), pki.SelfSigned("sftp.partner.example").Leaf()} {
		transport, err := tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(pinned))}.Transport(&http.Transport{DialContext: at(server)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(get(transport, "https://sftp.partner.example/"))
	}
	// Output:
	// welcome
	// refused: self-signed
}

// A scope bounds the names that an authority counts for.
func ExampleBuilder_scope() {
	pki := examplePKI("Partner")
	server := greeter(pki, "www.partner.example", "bank.example")
	defer server.Close()

	trust := truststore.New()
	if err := trust.Add("partner", pki.CA.Leaf()); err != nil {
		log.Fatal(err)
	}
	if err := trust.SetScope("partner", truststore.Scope{Names: []string{"*.partner.example"}}); err != nil {
		log.Fatal(err)
	}
	transport, err := tlsctx.Builder{Trusted: trust}.Transport(&http.Transport{DialContext: at(server)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(get(transport, "https://www.partner.example/"))
	fmt.Println(get(transport, "https://bank.example/"))
	// Output:
	// hello, whoever you are
	// refused: out-of-scope
}

// A server has a public site and one for clients with a certificate. Without Handler, whoever
// names the public site in the handshake and the other one in the request is served.
func ExampleDestinations_Handler() {
	pki := pkitest.New(exampleTB{})
	public := tlsctx.Builder{Identity: pki.NewServer("public.example", "partners.example")}
	partners := public
	partners.Trusted, partners.ClientAuth = pki.Trust(), tlsctx.RequireClientAuth
	destinations := new(tlsctx.Destinations)
	for name, b := range map[string]tlsctx.Builder{"public.example": public, "partners.example": partners} {
		if err := destinations.Set(name, b); err != nil {
			log.Fatal(err)
		}
	}
	server := httptest.NewUnstartedServer(destinations.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "this is %s", r.Host)
	})))
	server.TLS, server.Config.ErrorLog = destinations.Server(), quiet()
	server.StartTLS()
	defer server.Close()

	client, err := tlsctx.Builder{Trusted: pki.Trust(), ServerName: "public.example"}.Transport(&http.Transport{DialContext: at(server)})
	if err != nil {
		log.Fatal(err)
	}
	for _, host := range []string{"public.example", "partners.example"} {
		fmt.Println(get(client, "https://"+host+"/"))
	}
	// Output:
	// this is public.example
	// 421 Misdirected Request
}
