package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/natskv"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// network is a NATS server that asks everybody for a certificate, and an authority for it
// and its clients.
type network struct {
	ca      *keystore.Identity
	trust   *truststore.Truststore
	address string
	proxy   *proxy // to the second atom
}

// storageInNATS starts NATS and connects the registry to it.
func (s *story) storageInNATS(ctx context.Context) (environment.Storage, error) {
	ca, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "NATS CA"}, Purposes: issue.ForCA})
	if err != nil {
		return nil, err
	}
	n := &network{ca: ca, trust: truststore.New(ca.Leaf())}
	broker, err := n.issue("broker", issue.Options{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	if err != nil {
		return nil, err
	}
	config, err := tlsctx.Builder{Identity: broker, Trusted: n.trust, ClientAuth: tlsctx.RequireClientAuth}.Server()
	if err != nil {
		return nil, err
	}
	running, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(s.dir, "nats"), NoSigs: true, NoLog: true,
		TLSConfig: config, TLSTimeout: oneTry.Seconds(),
	})
	if err != nil {
		return nil, err
	}
	running.Start()
	s.atEnd(func() error { running.Shutdown(); running.WaitForShutdown(); return nil })
	if !running.ReadyForConnections(patience) {
		return nil, errors.New("NATS does not start")
	}
	n.address = running.Addr().String()
	me, err := n.issue("registry", issue.Options{})
	if err != nil {
		return nil, err
	}
	storage, err := connectNATS(ctx, n.address, tlsctx.Builder{Trusted: n.trust, Identity: me})
	if err != nil {
		return nil, err
	}
	s.atEnd(storage.Close)
	s.network = n
	return storage, nil
}

func (n *network) issue(name string, o issue.Options) (*keystore.Identity, error) {
	o.Subject, o.Issuer = pkix.Name{CommonName: name}, n.ca
	return issue.New(o)
}

func connectNATS(ctx context.Context, address string, b tlsctx.Builder) (*natskv.Storage, error) {
	return connectBucket(ctx, address, b, natskv.Options{})
}

func connectBucket(ctx context.Context, address string, b tlsctx.Builder, o natskv.Options) (*natskv.Storage, error) {
	d, err := b.Dialer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return natskv.Connect(ctx, natskv.Server{URLs: []string{"nats://" + address}, TLS: d, NATS: []nats.Option{
		nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(time.Millisecond, time.Millisecond), // for an audience
	}}, o)
}

// startProcesses starts the atoms of the test environment: one that is connected to NATS,
// and one by a proxy.
func (s *story) startProcesses(ctx context.Context) (err error) {
	n := s.network
	if n.proxy, err = newProxy(n.address); err != nil {
		return err
	}
	s.atEnd(n.proxy.stop)
	for _, to := range []struct{ name, address string }{{"one", n.address}, {"two", n.proxy.address()}} {
		settings := atomSettings{
			Name: to.name, NATS: to.address, Password: "of atom " + to.name, Now: s.clock.Now(),
			Keystore: filepath.Join(s.dir, to.name+".p12"), Truststore: filepath.Join(s.dir, to.name+"-trust.p12"),
		}
		if err := n.hand(settings); err != nil {
			return err
		}
		c, err := startProcess(ctx, settings)
		if err != nil {
			return err
		}
		s.atEnd(c.close)
		s.fleet = append(s.fleet, c)
	}
	return nil
}

// hand writes the stores that an atom connects to NATS with.
func (n *network) hand(to atomSettings) error {
	identity, err := n.issue(to.Name, issue.Options{})
	if err != nil {
		return err
	}
	ks := keystore.New()
	if err := ks.SetIdentity(to.Name, identity); err != nil {
		return err
	}
	password := trustkeep.Password(to.Password)
	if err := ks.Save(to.Keystore, trustkeep.SaveOptions{Password: password}); err != nil {
		return err
	}
	return n.trust.Save(to.Truststore, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: password})
}

// cutOff keeps the second atom from NATS while b is deployed.
func (s *story) cutOff(ctx context.Context) error {
	n := s.network
	stranger, err := connectNATS(ctx, n.address, tlsctx.Builder{Trusted: n.trust})
	if err == nil {
		stranger.Close()
	}
	r := s.add("connect to NATS without a certificate", "refused", "ok")
	if err != nil {
		r.got = "refused"
		r.noting("the connection says", err.Error())
	}
	s.add("cut two off", "1 connection ended", fmt.Sprintf("%d connection ended", n.proxy.cutOff()))
	one, two := s.fleet[:1], s.fleet[1:]
	return s.try(ctx,
		step{name: "deploy b; HTTPS to B from one", by: one, change: func() error { return s.test.Deploy(ctx, "b") }, q: https(s.b), want: ok},
		step{name: "HTTPS to B from two, which does not know yet", by: two, q: https(s.b), want: refusedFor("unknown-issuer")},
		step{name: "HTTPS to A from two, as before", by: two, q: https(s.a), want: ok},
		step{name: "two can connect again; HTTPS to B from two", by: two, change: func() error { n.proxy.mend(); return nil }, q: https(s.b), want: ok},
	)
}
