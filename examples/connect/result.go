package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// result is what -json prints.
type result struct {
	Accepted    bool                    `json:"accepted"`
	Version     string                  `json:"version"`
	CipherSuite string                  `json:"cipherSuite"`
	Resumed     []bool                  `json:"resumed"` // of each connection
	Rule        string                  `json:"rule"`
	Anchor      *certificate            `json:"anchor"`
	Relaxations []truststore.Relaxation `json:"relaxations"`
	Peer        []certificate           `json:"peer"`
	Error       *failure                `json:"error"`

	addr    string
	mu      sync.Mutex
	verdict *truststore.Verdict
}

type certificate struct {
	Subject string `json:"subject"`
	SHA256  string `json:"sha256"`
}

// failure says why a connection was refused.
type failure struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

func newResult(addr string) *result {
	return &result{Accepted: true, Resumed: []bool{}, Relaxations: []truststore.Relaxation{}, Peer: []certificate{}, addr: addr}
}

func describe(c trustkeep.Certificate) certificate { return certificate{c.String(), c.SHA256} }

// accept notes why the server is trusted.
func (r *result) accept(p tlsctx.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdict = p.Verdict
	r.Peer = r.Peer[:0]
	for _, c := range p.Certificates {
		r.Peer = append(r.Peer, describe(trustkeep.DescribeCertificate(c)))
	}
	if v := p.Verdict; v != nil {
		anchor := describe(trustkeep.DescribeCertificate(v.Anchor))
		r.Rule, r.Anchor = v.Rule.String(), &anchor
		r.Relaxations = append(r.Relaxations[:0], v.Relaxations...)
	}
}

func (r *result) connected(s tls.ConnectionState) {
	r.Version, r.CipherSuite = tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite)
	r.Resumed = append(r.Resumed, s.DidResume)
}

// refuse notes why a connection failed. What was found out about it before stays,
// but for the verdict.
func (r *result) refuse(err error) {
	r.Accepted = false
	r.Rule, r.Anchor, r.Relaxations, r.verdict = "", nil, r.Relaxations[:0], nil
	r.Error = &failure{Code: "unreachable", Text: trustkeep.Printable(err.Error())}
	var e *tlsctx.HandshakeError
	if !errors.As(err, &e) {
		if errors.Is(err, trustkeep.ErrUnsupported) || errors.Is(err, trustkeep.ErrCorrupt) || errors.Is(err, trustkeep.ErrLimit) {
			r.Error.Code = "starttls"
		}
		return
	}
	r.Error = &failure{Code: string(e.Code), Text: e.Text, Remedy: e.Remedy}
	if sent := e.Peer(); len(sent) > 0 {
		r.Peer = r.Peer[:0]
		for _, s := range sent {
			r.Peer = append(r.Peer, describe(s))
		}
	}
}

func (r *result) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	var b strings.Builder
	if r.Accepted {
		fmt.Fprintf(&b, "%s: accepted\n", r.addr)
	} else {
		fmt.Fprintf(&b, "%s: refused (%s)\n  %s\n", r.addr, r.Error.Code, r.Error.Text)
		if r.Error.Remedy != "" {
			fmt.Fprintf(&b, "  to fix it, %s\n", r.Error.Remedy)
		}
	}
	if r.verdict != nil {
		fmt.Fprintf(&b, "  %s\n", r.verdict)
	}
	if r.Version != "" {
		fmt.Fprintf(&b, "  %s, %s\n", r.Version, r.CipherSuite)
	}
	for i, c := range r.Peer {
		fmt.Fprintf(&b, "  sent %d  %s  %s\n", i+1, c.SHA256, c.Subject)
	}
	if len(r.Resumed) > 1 {
		n := 0
		for _, resumed := range r.Resumed {
			if resumed {
				n++
			}
		}
		fmt.Fprintf(&b, "  %d connections, %d resumed\n", len(r.Resumed), n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
