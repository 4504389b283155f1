package pgp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/material"
)

// certifications returns a copy of the key with n certifications of a stranger behind its
// first user ID, all different.
func certifications(t *testing.T, k *Key, n int, seed byte) *Key {
	t.Helper()
	packets := slices.Clone(k.state().packets)
	at := endOfComponent(packets, slices.IndexFunc(packets, func(p grammar.Raw) bool { return p.Tag == grammar.TagUserID }))
	var added []grammar.Raw
	for i := range n {
		// Version 4, positive certification by an EdDSA key with the issuer 0x5354...
		body := []byte{4, 0x13, 22, 8, 0, 6, 5, 2}
		body = binary.BigEndian.AppendUint32(body, 1_700_000_000)
		body = append(body, 0, 10, 9, 16, 'S', 'T', 'R', 'A', 'N', 'G', 'E', seed, 0, 0)
		body = append(body, 0, 32, 0x80, byte(i>>16), byte(i>>8), byte(i), 0, 8, 0x80)
		added = append(added, grammar.New(grammar.TagSignature, body))
	}
	out := mustParse(t, grammar.Join(slices.Insert(packets, at, added...)))
	if out.Len() != 1 || len(out.Skipped()) > 0 {
		t.Fatalf("%+v", out.Skipped())
	}
	return out.Keys()[0]
}

// TestMergeKeepsToThePacketLimit: what a merge makes can be read again.
func TestMergeKeepsToThePacketLimit(t *testing.T) {
	k := newKey(t, GenerateOptions{}, Options{}).Public()
	a, b := certifications(t, k, 6000, 1), certifications(t, k, 6000, 2)
	merged, err := a.Merge(b)
	if !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("merged: %v", err)
	}
	if merged != nil {
		if _, err := Parse(merged.Marshal()); err != nil {
			t.Errorf("cannot be read again: %v", err)
		}
	}
	ring, err := new(Keyring).With(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.With(b); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("With: %v", err)
	}
	// A component keeps what it has, and can be restored.
	ctx, o := context.Background(), component.Options{Kinds: []component.Kind{ComponentKind()}}
	c, err := component.Import(ctx, "flooded", a.Marshal(), o)
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Reimport(ctx, b.Marshal(), o)
	if !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("reimported: %v", err)
	}
	for _, c := range []*component.Component{c, next} {
		if c == nil {
			continue
		}
		if _, err := component.Restore(c.State(), ComponentKind()); err != nil {
			t.Errorf("restored: %v", err)
		}
	}
	// Every other change of a key is held to the same limit.
	full := certifications(t, newKey(t, GenerateOptions{}, Options{}), material.MaxPackets-6, 3)
	for range 8 {
		next, err := full.AddUserID(string(rune('a'+len(full.state().packets)%20))+" <x@example.com>", Options{})
		if err != nil {
			if !errors.Is(err, trustkeep.ErrLimit) {
				t.Error(err)
			}
			break
		}
		full = next
	}
	if n := len(full.state().packets); n > material.MaxPackets {
		t.Errorf("edited to %d packets", n)
	}
}

// TestMergeDropsForeignUserIDs: a user ID that the owner has not signed does not come along.
func TestMergeDropsForeignUserIDs(t *testing.T) {
	k := newKey(t, GenerateOptions{}, Options{})
	owned, err := k.AddUserID("Own <own@example.com>", Options{})
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := owned.RevokeUserID("Own <own@example.com>", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	k = k.Public()
	packets := slices.Clone(revoked.Public().state().packets)
	at := slices.IndexFunc(packets, isSubkeyPacket)
	stranger := certifications(t, k, 1, 1).state().packets
	sig := stranger[slices.IndexFunc(stranger, func(p grammar.Raw) bool { return bytes.Contains(p.Body, []byte("STRANGE")) })]
	self := k.state().packets[2] // a self-signature, over another user ID
	packets = slices.Insert(packets, at,
		grammar.New(grammar.TagUserID, []byte("bare <a@example.com>")),
		grammar.New(grammar.TagUserID, []byte("certified <b@example.com>")), sig,
		grammar.New(grammar.TagUserID, []byte("copied <c@example.com>")), self,
		grammar.New(17, []byte{2, 1, 0}), sig)
	other := mustParse(t, grammar.Join(packets)).Keys()[0]
	merged, err := k.Merge(other)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range merged.state().packets {
		if p.Tag == grammar.TagUserID || p.Tag == 17 {
			ids = append(ids, string(p.Body))
		}
	}
	if !slices.Equal(ids, []string{"Test <test@example.com>", "Own <own@example.com>"}) {
		t.Errorf("user IDs %q", ids)
	}
}
