package pgp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

func mustParse(t testing.TB, data []byte) *Keyring {
	t.Helper()
	ring, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func mustArmor(t testing.TB, k *Key) []byte {
	t.Helper()
	data, err := k.Armor()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseForms(t *testing.T) {
	a, b, c := newKey(t, GenerateOptions{}, Options{}), newKey(t, GenerateOptions{}, Options{}), newKey(t, GenerateOptions{Preset: PresetRFC9580}, Options{})
	binary := bytes.Join([][]byte{a.Marshal(), b.Marshal(), c.Marshal()}, nil)
	oneBlock, err := armor.Encode(armor.BlockPublicKey, binary, armor.WithChecksum)
	if err != nil {
		t.Fatal(err)
	}
	blocks := bytes.Join([][]byte{[]byte("Our keys:\n"), mustArmor(t, a), []byte("\nand\n\n"), mustArmor(t, b), mustArmor(t, c)}, nil)
	crlf := bytes.ReplaceAll(blocks, []byte("\n"), []byte("\r\n"))
	noEmptyLine := bytes.Replace(oneBlock, []byte("\n\n"), []byte("\n"), 1)
	headers := bytes.Replace(oneBlock, []byte("\n\n"), []byte("\nVersion: X 1\nComment: two: colons\n\n"), 1)
	for name, data := range map[string][]byte{
		"binary": binary, "one armored block": oneBlock, "three blocks with text": blocks, "CRLF": crlf,
		"byte order mark": append([]byte("\xef\xbb\xbf"), oneBlock...), "no empty line": noEmptyLine, "headers": headers,
		"indented by spaces": bytes.ReplaceAll(oneBlock, []byte("\n"), []byte(" \n")),
	} {
		t.Run(name, func(t *testing.T) {
			ring := mustParse(t, data)
			if ring.Len() != 3 || len(ring.Skipped()) != 0 {
				t.Fatalf("%d keys, skipped %+v", ring.Len(), ring.Skipped())
			}
			for i, want := range []*Key{a, b, c} {
				if got := ring.Keys()[i]; got.Fingerprint() != want.Fingerprint() || !bytes.Equal(got.Marshal(), want.Marshal()) {
					t.Errorf("key %d is not the one written", i)
				}
			}
			if _, err := ring.Key(strings.ToUpper(b.Info(Options{}).Subkeys[0].Fingerprint)); err != nil {
				t.Error(err)
			}
			if got := ring.Find("TEST@example.com"); len(got) != 3 {
				t.Errorf("found %d keys by address", len(got))
			}
		})
	}
}

func TestParseReportsWhatItCannotRead(t *testing.T) {
	a, b := newKey(t, GenerateOptions{}, Options{}), newKey(t, GenerateOptions{}, Options{})
	unknown := grammar.New(grammar.TagPublicKey, []byte{3, 0, 0, 0, 0, 0, 0, 1, 0, 8, 255, 0, 8, 3}).Data // version 3
	data := bytes.Join([][]byte{a.Marshal(), unknown, b.Marshal()}, nil)
	ring := mustParse(t, data)
	if ring.Len() != 2 || len(ring.Skipped()) != 1 {
		t.Fatalf("%d keys, skipped %+v", ring.Len(), ring.Skipped())
	}
	s := ring.Skipped()[0]
	if s.Offset != int64(len(a.Marshal())) || !errors.Is(s.Err, trustkeep.ErrUnsupported) {
		t.Errorf("skipped at %d: %v", s.Offset, s.Err)
	}
	again, err := ring.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(again, unknown) {
		t.Error("the unreadable key is lost on rewriting")
	}
	armored := append(mustArmor(t, a), []byte("-----BEGIN PGP MESSAGE-----\n\naGVsbG8=\n-----END PGP MESSAGE-----\n")...)
	start := len(mustArmor(t, a))
	ring = mustParse(t, append(armored, mustArmor(t, b)...))
	if ring.Len() != 2 || len(ring.Skipped()) != 1 || ring.Skipped()[0].Offset != int64(start) {
		t.Errorf("%d keys, skipped %+v, want offset %d", ring.Len(), ring.Skipped(), start)
	}
}

// TestParseTruncated cuts a ring at every place: the whole keys before the cut
// are there, and a cut inside a packet is reported.
func TestParseTruncated(t *testing.T) {
	a, b := newKey(t, GenerateOptions{}, Options{}), newKey(t, GenerateOptions{}, Options{})
	whole := append(a.Marshal(), b.Marshal()...)
	for n := range whole {
		ring, err := Parse(whole[:n])
		if err != nil {
			if n > len(a.Marshal()) || !errors.Is(err, trustkeep.ErrEmpty) && !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		if n > len(a.Marshal()) && ring.Len()+len(ring.Skipped()) < 2 {
			t.Fatalf("cut at %d: the second key vanished", n)
		}
	}
}

func TestParseRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":         {nil, trustkeep.ErrEmpty},
		"text":            {[]byte("hello\n"), trustkeep.ErrEmpty},
		"truncated armor": {[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME"), trustkeep.ErrCorrupt},
		"bad base64":      {[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmD*E\n-----END PGP PUBLIC KEY BLOCK-----\n"), trustkeep.ErrCorrupt},
		"endless headers": {[]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n" + strings.Repeat("A: b\n", 1000)), trustkeep.ErrLimit},
		"not a key":       {grammar.New(grammar.TagLiteral, []byte("b\x00\x00\x00\x00\x00hi")).Data, trustkeep.ErrCorrupt},
		"random bytes":    {bytes.Repeat([]byte{0xFF}, 100), trustkeep.ErrCorrupt},
		"keybox":          {append([]byte{0x80, 0, 0, 32, 1, 1, 0, 2}, "KBXf and more"...), trustkeep.ErrCorrupt},
		"empty keybox":    {append([]byte{0, 0, 0, 32, 1, 1, 0, 2}, "KBXf and 20 octets more."[:24]...), trustkeep.ErrEmpty},
	} {
		if _, err := Parse(tt.data); !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "pgp: ") {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	big := Options{Limits: trustkeep.Limits{MaxSize: 100}}
	if _, err := big.Parse(make([]byte, 101)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("oversized: %v", err)
	}
}

func TestMergeAddsAndKeeps(t *testing.T) {
	private := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("pw")}, Options{})
	old := private.Public()
	changed, err := private.AddUserID("New <new@example.com>", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if changed, err = changed.AddSubkey(SubkeyOptions{Usage: UsageSign}); err != nil {
		t.Fatal(err)
	}
	if changed, err = changed.RevokeUserID("Test <test@example.com>", "left", Options{}); err != nil {
		t.Fatal(err)
	}
	merged, err := old.Merge(changed.Public())
	if err != nil {
		t.Fatal(err)
	}
	info := merged.Info(Options{})
	if len(info.Subkeys) != 2 || len(info.UserIDs) != 2 || !info.UserIDs[0].Revoked || !info.UserIDs[1].Primary {
		t.Errorf("%+v", info)
	}
	// An old copy changes nothing, and neither does merging twice.
	again, err := merged.Merge(old)
	if err != nil || !bytes.Equal(again.Marshal(), merged.Marshal()) {
		t.Errorf("merging the old copy changed the key: %v", err)
	}
	up, err := old.Merge(private)
	if err != nil || !up.IsPrivate() {
		t.Errorf("private %v: %v", up.IsPrivate(), err)
	}
	if _, err := old.Merge(newKey(t, GenerateOptions{}, Options{})); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Errorf("another key: %v", err)
	}
}
