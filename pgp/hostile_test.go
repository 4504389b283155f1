package pgp

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// bounded runs f and checks what it may cost: the time and the memory that the
// project promises for hostile input.
func bounded(t *testing.T, name string, f func()) {
	t.Helper()
	most := uint64(64 << 20)
	if raceEnabled {
		most *= 2
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	var peak uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	start := testcpu.Used()
	f()
	elapsed := testcpu.Since(start)
	close(stop)
	<-done
	limit := time.Second
	if raceEnabled {
		limit *= 20
	}
	if elapsed > limit {
		t.Errorf("%s took %v of CPU", name, elapsed)
	}
	if peak > before+most {
		t.Errorf("%s took %d MiB", name, (peak-before)>>20)
	}
}

func compressed(t testing.TB, content []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.WriteByte(2)
	w, err := zlib.NewWriterLevel(&buf, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	w.Close()
	return grammar.New(grammar.TagCompressed, buf.Bytes()).Data
}

// zeros is a literal packet of n zeros, compressed, made without holding it.
func zeros(t testing.TB, n int64) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.WriteByte(2)
	w, err := zlib.NewWriterLevel(&buf, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	lit := grammar.NewWriter(w, grammar.TagLiteral)
	lit.Write([]byte("b\x00\x00\x00\x00\x00"))
	if _, err := io.CopyN(lit, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
	lit.Close()
	w.Close()
	return grammar.New(grammar.TagCompressed, buf.Bytes()).Data
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// passwordMessage is a message to a password with the given string-to-key
// specifier, as often as asked; 86 bytes for one of Argon2.
func passwordMessage(spec []byte, times int) []byte {
	var out []byte
	for range times {
		body := append([]byte{4, 9}, spec...)
		body = append(body, make([]byte, 33)...)
		out = append(out, grammar.New(grammar.TagSKESK, body).Data...)
	}
	return append(out, grammar.New(grammar.TagSEIPD, append([]byte{1}, make([]byte, 18+22)...)).Data...)
}

func argon2Spec(passes, lanes, memory byte) []byte {
	return append(append([]byte{4}, make([]byte, 16)...), passes, lanes, memory)
}

func iteratedSpec(hash, count byte) []byte {
	return append(append([]byte{3, hash}, make([]byte, 8)...), count)
}

func TestHostileMessages(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	nested := grammar.New(grammar.TagLiteral, []byte("b\x00\x00\x00\x00\x00hi")).Data
	for range 1000 {
		nested = compressed(t, nested)
	}
	onePass := grammar.New(grammar.TagOnePass, append([]byte{3, 0, 8, 22}, append(binary.BigEndian.AppendUint64(nil, k.state().primary.KeyId), 0)...)).Data
	bomb := zeros(t, 96<<20)
	marker := grammar.New(grammar.TagMarker, []byte("PGP")).Data
	anonymous := grammar.New(grammar.TagPKESK, append(append([]byte{3}, make([]byte, 8)...), 1, 0, 8, 0xFF)).Data
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"empty":                          {nil, trustkeep.ErrEmpty},
		"text":                           {[]byte("hello"), trustkeep.ErrCorrupt},
		"zeros":                          {make([]byte, 1000), trustkeep.ErrCorrupt},
		"ones":                           {bytes.Repeat([]byte{0xFF}, 1000), trustkeep.ErrCorrupt},
		"Argon2 of 2 TiB":                {passwordMessage(argon2Spec(1, 4, 31), 1), trustkeep.ErrLimit},
		"Argon2 of 1 GiB":                {passwordMessage(argon2Spec(1, 4, 20), 1), trustkeep.ErrLimit},
		"Argon2 of 255 passes":           {passwordMessage(argon2Spec(255, 4, 15), 1), trustkeep.ErrLimit},
		"Argon2 of 255 lanes":            {passwordMessage(argon2Spec(1, 255, 15), 1), trustkeep.ErrLimit},
		"Argon2 without lanes":           {passwordMessage(argon2Spec(1, 0, 15), 1), trustkeep.ErrCorrupt},
		"S2K of the largest count":       {passwordMessage(iteratedSpec(2, 255), 1), trustkeep.ErrIncorrectPassword},
		"1,000 S2K of the largest count": {passwordMessage(iteratedSpec(10, 255), 1000), trustkeep.ErrLimit},
		"10,000 passwords":               {passwordMessage(iteratedSpec(8, 0), 10_000), trustkeep.ErrLimit},
		"10,000 hidden recipients":       {append(bytes.Repeat(anonymous, 10_000), grammar.New(grammar.TagSEIPD, make([]byte, 50)).Data...), trustkeep.ErrLimit},
		"1,000 nested packets":           {nested, trustkeep.ErrLimit},
		"10,000 signatures announced":    {bytes.Repeat(onePass, 10_000), trustkeep.ErrLimit},
		"100,000 markers":                {bytes.Repeat(marker, 100_000), trustkeep.ErrLimit},
		"compression bomb":               {bomb, trustkeep.ErrLimit},
		"bomb in a bomb":                 {compressed(t, bomb), trustkeep.ErrLimit},
		"session key of 4 GiB":           {[]byte{0xC1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 3}, trustkeep.ErrCorrupt},
		"AEAD chunk of 2^62":             {grammar.New(grammar.TagSEIPD, append([]byte{2, 9, 3, 56}, make([]byte, 64)...)).Data, trustkeep.ErrCorrupt},
		"signature of 4 GiB of notes":    {grammar.New(grammar.TagSignature, []byte{6, 0, 27, 8, 0xFF, 0xFF, 0xFF, 0xFF}).Data, trustkeep.ErrCorrupt},
		"armor with an endless line":     {append([]byte("-----BEGIN PGP MESSAGE-----\n\n"), bytes.Repeat([]byte("A"), 10<<20)...), trustkeep.ErrCorrupt},
		"armor with endless headers":     {[]byte("-----BEGIN PGP MESSAGE-----\n" + strings.Repeat("A: b\n", 100_000)), trustkeep.ErrLimit},
		"a key":                          {k.Marshal(), trustkeep.ErrCorrupt},
		"an encrypted message within":    {compressed(t, encrypted(t, Encryption{To: []*Key{k}}, nil)), trustkeep.ErrCorrupt},
	} {
		bounded(t, name, func() {
			var out bytes.Buffer
			d := Decryption{Keys: []*Key{k}, Signers: []*Key{k}, Passwords: passwords("x"), AllowUnencrypted: true, AllowUnsigned: true, MaxBuffer: 1 << 30}
			r, err := d.UnverifiedReader(bytes.NewReader(tt.data))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if !isSentinel(err, tt.want) || !strings.HasPrefix(err.Error(), "pgp: ") || out.Len() > 0 {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
		})
	}
}

// TestHostileArgon2Size: the bomb of 86 bytes is one.
func TestHostileArgon2Size(t *testing.T) {
	body := append([]byte{4, 9}, argon2Spec(1, 4, 31)...)
	message := append(grammar.New(grammar.TagSKESK, body).Data, grammar.New(grammar.TagSEIPD, append([]byte{1}, make([]byte, 18+22)...)).Data...)
	if len(message) > 86 {
		t.Errorf("%d bytes", len(message))
	}
	_, err := Decryption{Passwords: passwords("x")}.Decrypt(io.Discard, bytes.NewReader(message))
	if !isSentinel(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
}

func TestHostileKeys(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("pw")}, Options{})
	private, err := k.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	// The private part with its specifier replaced: 254 (SHA-1), AES-256, S2K.
	relock := func(usage byte, spec []byte) []byte {
		public, err := grammar.Of(k.state().primary)
		if err != nil {
			t.Fatal(err)
		}
		body := append(bytes.Clone(public.Body), usage, 9)
		if usage == 253 {
			body = append(body, 2)
		}
		body = append(append(body, spec...), make([]byte, 64)...)
		rest := grammar.Join(k.state().packets[1:])
		return append(grammar.New(grammar.TagSecretKey, body).Data, rest...)
	}
	bigRSA := func(bits int) []byte {
		n := bytes.Repeat([]byte{0xFF}, (bits+7)/8)
		body := []byte{4, 0x60, 0, 0, 0, 1}
		body = binary.BigEndian.AppendUint16(body, uint16(bits))
		body = append(append(body, n...), 0, 17, 1, 0, 1)
		return append(grammar.New(grammar.TagPublicKey, body).Data, grammar.New(grammar.TagUserID, []byte("big")).Data...)
	}
	selfSignature := k.state().packets[2].Data
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"Argon2 of 2 TiB":       {relock(253, argon2Spec(1, 4, 31)), trustkeep.ErrLimit},
		"Argon2 without AEAD":   {relock(254, argon2Spec(1, 4, 31)), trustkeep.ErrCorrupt},
		"largest count":         {relock(254, iteratedSpec(10, 255)), trustkeep.ErrIncorrectPassword},
		"GNU smart card":        {relock(254, []byte{101, 0, 'G', 'N', 'U', 2}), trustkeep.ErrUnsupported},
		"unknown specifier":     {relock(254, []byte{77, 8}), trustkeep.ErrUnsupported},
		"RSA of 65,535 bits":    {bigRSA(65535), trustkeep.ErrCorrupt}, // no self-signature in it either
		"9,000 self-signatures": {append(k.Public().state().packets[0].Data, append(grammar.New(grammar.TagUserID, []byte("x")).Data, bytes.Repeat(selfSignature, 9_000)...)...), trustkeep.ErrLimit},
		"100,000 signatures":    {append(k.Public().state().packets[0].Data, append(grammar.New(grammar.TagUserID, []byte("x")).Data, bytes.Repeat(selfSignature, 100_000)...)...), trustkeep.ErrLimit},
		"truncated":             {private[:len(private)/3], trustkeep.ErrCorrupt},
		"packet of 4 GiB":       {[]byte{0xC6, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 4}, trustkeep.ErrCorrupt},
		"a million packets":     {bytes.Repeat([]byte{0xCD, 0}, 1_000_000), trustkeep.ErrLimit},
	} {
		bounded(t, name, func() {
			ring, err := Parse(tt.data)
			if err == nil {
				_, err = ring.Keys()[0].Unlock(pw("x"), Options{})
			}
			if !isSentinel(err, tt.want) || !strings.HasPrefix(err.Error(), "pgp: ") {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
		})
	}
}

func TestTenThousandKeys(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	one := k.Marshal()
	data := bytes.Repeat(one, 10_000)
	bounded(t, "10,000 keys", func() {
		ring := mustParse(t, data)
		if ring.Len() != 10_000 {
			t.Errorf("%d keys", ring.Len())
		}
	})
}

// TestSubkeyTheft: a signing subkey of somebody else, bound by a thief who
// cannot make its back-signature, does not sign for the thief.
func TestSubkeyTheft(t *testing.T) {
	victim := newKey(t, GenerateOptions{SigningSubkey: true}, Options{})
	thief := newKey(t, GenerateOptions{}, Options{})
	stolen := victim.view(Legacy).Subkeys[1].PublicKey
	e, err := thief.certifier()
	if err != nil {
		t.Fatal(err)
	}
	for name, embed := range map[string]func(*packet.Signature){
		"no back-signature": func(s *packet.Signature) {},
		"the victim's own": func(s *packet.Signature) {
			s.EmbeddedSignature = victim.view(Legacy).Subkeys[1].Bindings[0].Packet.EmbeddedSignature
		},
	} {
		ed := newEdit(thief, e, Options{})
		s := selfsig.New(e.PrimaryKey, packet.SigTypeSubkeyBinding, ed.at)
		s.FlagsValid, s.FlagSign = true, true
		embed(s)
		if err := s.SignKey(stolen, e.PrivateKey, ed.config); err != nil {
			t.Fatal(err)
		}
		head, err := grammar.Of(stolen)
		if err != nil {
			t.Fatal(err)
		}
		binding, err := grammar.Of(s)
		if err != nil {
			t.Fatal(err)
		}
		fake, err := parseKey(append(thief.Public().state().packets, head, binding))
		if err != nil {
			t.Fatal(err)
		}
		signature := signed(t, Signing{Signers: []*Key{victim}}, "detached", "confession")
		res, err := Verification{Signers: []*Key{fake}}.Detached(strings.NewReader("confession"), bytes.NewReader(signature))
		if err == nil || res.Signature == SignatureValid {
			t.Errorf("%s: the thief signed", name)
		}
		if info := fake.Info(Options{}); info.Subkeys[1].Problem == nil {
			t.Errorf("%s: the subkey looks sound", name)
		}
	}
}
