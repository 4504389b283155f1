// Command as2 sends files to a partner by AS2, or receives them.
//
// Without -url and -listen it proves itself: it starts partners in this process and exits with 1 if
// an exchange turns out other than it should.
//
//	as2 -url https://them.example/as2 -from us -to them -identity us.p12 -identity-password-env P \
//		-partner them.pem -tls-trust servers.pem -file order.edi -type application/edi-x12
//	as2 -listen :8443 -from them -to us -identity us.p12 -identity-password-env P \
//		-partner them.pem -inbox inbox
package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

type settings struct {
	url, listen, from, to        string
	identity, identityEnv, alias string
	partner, tlsTrust            string
	file, contentType, id        string
	base64                       bool
	inbox                        string
}

func main() {
	var s settings
	flag.StringVar(&s.url, "url", "", "`URL` to send to; without it and -listen, the program proves itself")
	flag.StringVar(&s.listen, "listen", "", "`host:port` to receive at, by HTTPS")
	flag.StringVar(&s.from, "from", "", "AS2 `name` of the sender")
	flag.StringVar(&s.to, "to", "", "AS2 `name` of the receiver")
	flag.StringVar(&s.identity, "identity", "", "`file` of a keystore with our key")
	flag.StringVar(&s.identityEnv, "identity-password-env", "", "environment `variable` with its password")
	flag.StringVar(&s.alias, "alias", "", "`alias` of the key, if there are several")
	flag.StringVar(&s.partner, "partner", "", "`file` of the partner's certificates; what is sealed is for the first")
	flag.StringVar(&s.tlsTrust, "tls-trust", "", "`file` of certificates to trust for TLS; they replace the system's roots")
	flag.StringVar(&s.file, "file", "", "`file` to send")
	flag.StringVar(&s.contentType, "type", "", "media `type` of the file")
	flag.StringVar(&s.id, "id", "", "Message-`ID`; to send a file again, send it with the same")
	flag.BoolVar(&s.base64, "base64", false, "send the content in base64")
	flag.StringVar(&s.inbox, "inbox", "inbox", "`folder` for what is received")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return prove(ctx, os.Stdout) }
	switch {
	case s.url != "":
		run = func() error { return s.send(ctx) }
	case s.listen != "":
		run = func() error { return s.receive(ctx) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "as2:", err)
		stop()
		os.Exit(1)
	}
}

// load returns our identity, the partner's certificates, and the trust for TLS, which is nil for
// the system's.
func (s settings) load() (id *keystore.Identity, theirs, servers *truststore.Truststore, err error) {
	var password trustkeep.PasswordSource
	if s.identityEnv != "" {
		password = trustkeep.PasswordFromEnv(s.identityEnv)
	}
	store, err := keystore.Load(s.identity, password)
	if err != nil {
		return nil, nil, nil, err
	}
	if id, err = store.Identity(s.alias); err != nil {
		return nil, nil, nil, err
	}
	if theirs, err = truststore.Load(s.partner, nil); err != nil {
		return nil, nil, nil, err
	}
	if s.tlsTrust != "" {
		servers, err = truststore.Load(s.tlsTrust, nil)
	}
	return id, theirs, servers, err
}

func (s settings) send(ctx context.Context) error {
	id, theirs, servers, err := s.load()
	if err != nil {
		return err
	}
	b := tlsctx.Builder{Identity: id}
	if servers != nil {
		b.Trusted = servers
	}
	transport, err := b.Transport(nil)
	if err != nil {
		return err
	}
	f, err := os.Open(s.file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	bar := progressbar.DefaultBytes(info.Size(), "sending "+filepath.Base(s.file))
	p := as2.Partner{
		From: s.from, To: s.to, URL: s.url, Transport: transport, Identity: id, Trust: theirs, Base64: s.base64,
		Recipient: func() (*x509.Certificate, error) { return theirs.Certificates()[0], nil },
	}
	receipt, err := p.Send(ctx, as2.Message{ID: s.id, Content: as2.Content{
		Body: io.TeeReader(f, bar), ContentType: s.contentType, FileName: filepath.Base(s.file),
	}})
	if err != nil {
		if receipt != nil {
			err = fmt.Errorf("%w\nto send it again: -id '%s'", err, receipt.MessageID)
		}
		return err
	}
	bar.Finish()
	fmt.Printf("%s: %v, MIC %v\n", receipt.MessageID, receipt.Disposition, receipt.MIC)
	return nil
}

func (s settings) receive(ctx context.Context) error {
	id, theirs, _, err := s.load()
	if err != nil {
		return err
	}
	h, err := s.handler(id, theirs)
	if err != nil {
		return err
	}
	if err := h.Recover(ctx); err != nil {
		log.Print(err)
	}
	config, err := tlsctx.Builder{Identity: id}.Server()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.ServeTLS(l, "", "") }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return server.Shutdown(end)
}

// handler receives into the inbox.
func (s settings) handler(id *keystore.Identity, theirs *truststore.Truststore) (as2.Handler, error) {
	if err := os.MkdirAll(s.inbox, 0o700); err != nil {
		return as2.Handler{}, err
	}
	journal, err := as2.OpenJournal(filepath.Join(s.inbox, "journal"), as2.JournalOptions{DropContent: true})
	if err != nil {
		return as2.Handler{}, err
	}
	return as2.Handler{
		Journal: journal,
		Partners: func(_ context.Context, from, to string) (as2.Inbound, error) {
			if from != s.from || to != s.to {
				return as2.Inbound{}, fmt.Errorf("from %s to %s: %w", from, to, trustkeep.ErrNotFound)
			}
			return as2.Inbound{Identities: []trustkeep.Identity{id}, Trust: theirs, Signer: id}, nil
		},
		Deliver:   func(_ context.Context, r *as2.Received) error { return s.deliver(r) },
		OnFailure: func(_ context.Context, key as2.Key, err error) { log.Printf("from %q: %v", key.From, err) },
	}, nil
}

// deliver writes a message to the inbox, complete under its name or not at all. A message that may
// have been delivered before replaces itself.
func (s settings) deliver(r *as2.Received) (err error) {
	name := r.FileName
	if name == "" {
		name = "message"
	}
	// Several messages may have one file name; each of them has its own ID.
	sum := sha256.Sum256([]byte(r.ID))
	target := filepath.Join(s.inbox, fmt.Sprintf("%x-%s", sum[:8], name))
	content, err := r.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	f, err := os.OpenFile(target+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}
