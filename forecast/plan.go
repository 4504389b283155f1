package forecast

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Plan is the effect of a change of trust.
type Plan struct {
	// Checked is the number of peers replayed.
	Checked int
	// Failing are the peers that would be refused.
	Failing []Failure
	// Store describes the new trust; Generation numbers its state.
	Store      string
	Generation uint64
}

// Failure is a peer that would be refused.
type Failure struct {
	Peer SeenPeer
	// Err is a *truststore.VerifyError, or another error if no decision was reached, which
	// counts as a refusal, as in a handshake.
	Err error
}

// Plan replays the peers against other trust, under the whole policy and the Clock of a Builder. It
// does not call Revocation and Authorize, and changes nothing. The error is that of next;
// trustkeep.ErrInvalid for nil.
func (s *Seen) Plan(b tlsctx.Builder, next truststore.Source) (*Plan, error) {
	trust, err := given.Snapshot(next)
	if err != nil {
		return nil, fmt.Errorf("forecast: plan: %w", err)
	}
	plan := &Plan{Store: trust.String(), Generation: trust.Generation()}
	plan.replay(s.Peers(), func(p SeenPeer) error {
		o := b.VerifyOptions(p.Purpose, p.Name)
		o.Revocation = nil
		_, err := trust.Verify(p.Chain, o)
		return err
	})
	return plan, nil
}

// replay asks about each peer. Whatever is not a yes fails it.
func (p *Plan) replay(peers []SeenPeer, verify func(SeenPeer) error) {
	for _, peer := range peers {
		p.Checked++
		if err := verify(peer); err != nil {
			p.Failing = append(p.Failing, Failure{peer, err})
		}
	}
}

// String lists the refused peers with the reasons.
func (p *Plan) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d of %d peers seen would be refused by %s\n", len(p.Failing), p.Checked, p.Store)
	for _, f := range p.Failing {
		who := f.Peer.Purpose.String()
		if f.Peer.Name != "" {
			who += " " + trustkeep.Printable(f.Peer.Name)
		}
		why := trustkeep.Printable(f.Err.Error())
		if refused, ok := errors.AsType[*truststore.VerifyError](f.Err); ok {
			why = string(refused.Code) + ": " + refused.Sentence()
		}
		fmt.Fprintf(&out, "%s, seen %d times, last on %s: %s\n", who, f.Peer.Count, f.Peer.Last.UTC().Format(time.DateTime), why)
	}
	return out.String()
}

// MarshalJSON returns {"checked","store","generation","failing":[{"name","purpose",
// "count","last","error"}]}. The error is a string if no decision was reached.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type failing struct {
		Name    string             `json:"name"`
		Purpose truststore.Purpose `json:"purpose"`
		Count   uint64             `json:"count"`
		Last    time.Time          `json:"last"`
		Err     any                `json:"error"`
	}
	out := struct {
		Checked    int       `json:"checked"`
		Store      string    `json:"store"`
		Generation uint64    `json:"generation"`
		Failing    []failing `json:"failing"`
	}{p.Checked, p.Store, p.Generation, []failing{}}
	for _, f := range p.Failing {
		var why any = trustkeep.Printable(f.Err.Error())
		if refused, ok := errors.AsType[*truststore.VerifyError](f.Err); ok {
			why = refused
		}
		out.Failing = append(out.Failing, failing{trustkeep.Printable(f.Peer.Name), f.Peer.Purpose, f.Peer.Count, f.Peer.Last, why})
	}
	return json.Marshal(out)
}
