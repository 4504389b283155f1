package environment

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/sshctx"
)

// KnownHosts returns what the connections of SSH with SSH.EnvironmentHosts trust in the environment;
// it is the caller's own. Without any it is empty.
func (e *Environment) KnownHosts(ctx context.Context) (*sshctx.KnownHosts, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("known hosts", e.id, err)
	}
	k, err := parseHosts(d.KnownHosts)
	return k, failure("known hosts", e.id, err)
}

// UpdateKnownHosts changes what the connections of SSH with SSH.EnvironmentHosts trust in the
// environment: their atoms follow at once, in deployed processes too. The function returns what
// takes the place of what it gets, which it may change: that, or what sshctx.LoadKnownHosts has read;
// nil for nothing. It is called again if somebody else was faster; an error of it ends the change and
// is returned. A line that is not understood is an error.
func (e *Environment) UpdateKnownHosts(ctx context.Context, change func(*sshctx.KnownHosts) (*sshctx.KnownHosts, error)) error {
	if change == nil {
		return failure("update known hosts", e.id, fmt.Errorf("no change: %w", trustkeep.ErrInvalid))
	}
	slot := environmentSlot(e, func(d *environmentRecord) *string {
		text := d.KnownHosts
		return &text
	}, func(d *environmentRecord, text *string) {
		d.KnownHosts = ""
		if text != nil {
			d.KnownHosts = *text
		}
	})
	before, next, err := assign(ctx, e.r, slot, func(before *string) (*string, error) {
		k, err := parseHosts(*before)
		if err == nil {
			k, err = change(k)
		}
		if err != nil || k == nil {
			return new(""), err
		}
		text, err := k.Encode(trustkeep.SaveOptions{})
		if err == nil {
			_, err = parseHosts(string(text))
		}
		return new(string(text)), err
	}, nil)
	if err == nil && *before != *next {
		e.tell(ctx, "known hosts changed", e.id, describeHosts(*before), describeHosts(*next))
	}
	return failure("update known hosts", e.id, err)
}

// parseHosts refuses whatever it does not understand.
func parseHosts(text string) (*sshctx.KnownHosts, error) {
	return sshctx.Options{Strict: true}.ParseKnownHosts([]byte(text))
}

// configure puts the settings that need no component into a Builder.
func (s *SSH) configure(b *sshctx.Builder) {
	b.User, b.Legacy, b.MinRSABits, b.Timeout = s.User, slices.Clone(s.Legacy), s.MinRSABits, s.Timeout
}

// checkAlgorithms refuses names that sshctx would refuse.
func (s *SSH) checkAlgorithms() error {
	weak := ssh.InsecureAlgorithms()
	known := slices.Concat(weak.KeyExchanges, weak.Ciphers, weak.MACs, weak.HostKeys, weak.PublicKeyAuths)
	for _, name := range s.Legacy {
		if !slices.Contains(known, name) {
			return &trustkeep.Error{Op: fmt.Sprintf("SSH.Legacy %q", trustkeep.Printable(name)), Err: trustkeep.ErrInvalid, Hint: "ssh.InsecureAlgorithms lists what can be added"}
		}
	}
	return nil
}

// in returns what a connection of SSH trusts in an environment: with EnvironmentHosts what that has,
// now, as what is deployed counts in processes too.
func (s *SSH) in(v *inventory, environment string) (*SSH, error) {
	if !s.EnvironmentHosts {
		return s, nil
	}
	out := *s
	if d := v.environments[environment]; d != nil {
		out.KnownHosts = d.KnownHosts
	}
	if out.KnownHosts == "" {
		return nil, &trustkeep.Error{Op: "known hosts of " + named(environmentKey(environment)), Err: trustkeep.ErrEmpty, Hint: "add them by Environment.UpdateKnownHosts"}
	}
	return &out, nil
}
