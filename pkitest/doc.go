// Package pkitest makes a throwaway public key infrastructure for unit tests, in
// the manner of net/http/httptest: a root CA, an intermediate, a server's and a
// client's identity, ready tls.Configs, stores on disk, and the certificates
// that a careful program must refuse.
//
//	func TestUpload(t *testing.T) {
//		pki := pkitest.New(t)
//		server := httptest.NewUnstartedServer(handler)
//		server.TLS = pki.ServerConfig()
//		server.StartTLS()
//		t.Cleanup(server.Close)
//		client := &http.Client{Transport: &http.Transport{TLSClientConfig: pki.ClientConfig()}}
//		...
//	}
//
// A PKI takes about a millisecond to make: its keys are EC P-256. Nothing here
// returns an error; what goes wrong ends the test. The keys protect nothing and
// are to be used in tests alone.
package pkitest
