package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// TestSignedByAll: "signed by X and Y".
func TestSignedByAll(t *testing.T) {
	x, y, z := testKeys()[PresetGnuPG22], testKeys()[PresetRFC9580], testKeys()[PresetNISTP256]
	const content = "content\n"
	for name, tt := range map[string]struct {
		by, signers []*Key
		also        [][]*Key
		ok          bool
	}{
		"both":             {[]*Key{x, y}, []*Key{x}, [][]*Key{{y}}, true},
		"both, and more":   {[]*Key{x, y, z}, []*Key{x}, [][]*Key{{y}}, true},
		"one":              {[]*Key{x}, []*Key{x}, [][]*Key{{y}}, false},
		"the other one":    {[]*Key{y}, []*Key{x}, [][]*Key{{y}}, false},
		"strangers":        {[]*Key{z}, []*Key{x}, [][]*Key{{y}}, false},
		"one of several":   {[]*Key{x, y}, []*Key{x, z}, [][]*Key{{z, y}}, true},
		"one in two lists": {[]*Key{x}, []*Key{x}, [][]*Key{{x}}, true},
		"three":            {[]*Key{x, y, z}, []*Key{x}, [][]*Key{{y}, {z}}, true},
		"two of three":     {[]*Key{x, y}, []*Key{x}, [][]*Key{{y}, {z}}, false},
	} {
		check := func(what string, res *Result, err error) {
			t.Helper()
			var serr *SignatureError
			if tt.ok != (err == nil) || res == nil || (res.Signature == SignatureValid) != tt.ok || !tt.ok && !errors.As(err, &serr) {
				t.Errorf("%s, %s: %v, %+v", name, what, err, res)
			}
		}
		for _, how := range []string{"message", "detached", "cleartext"} {
			data := signed(t, Signing{Signers: tt.by}, how, content)
			res, got, err := verified(Verification{Signers: tt.signers, AlsoSignedBy: tt.also}, how, content, data)
			check(how, res, err)
			if err != nil && how != "detached" && got != "" {
				t.Errorf("%s, %s: wrote %q", name, how, got)
			}
		}
		message := encrypted(t, Encryption{To: []*Key{x}, Signers: tt.by}, []byte(content))
		d := Decryption{Keys: []*Key{x}, Signers: tt.signers, AlsoSignedBy: tt.also}
		var out bytes.Buffer
		res, err := d.Decrypt(&out, bytes.NewReader(message))
		check("encrypted", res, err)
		if err != nil && out.Len() > 0 {
			t.Errorf("%s: wrote %q", name, out.String())
		}
	}
	message := encrypted(t, Encryption{To: []*Key{x}, Signers: []*Key{x}}, []byte(content))
	for name, d := range map[string]Decryption{
		"also, without Signers":      {AlsoSignedBy: [][]*Key{{x}}},
		"an empty list":              {Signers: []*Key{x}, AlsoSignedBy: [][]*Key{{}}},
		"a nil list":                 {Signers: []*Key{x}, AlsoSignedBy: [][]*Key{nil}},
		"nil in a list":              {Signers: []*Key{x}, AlsoSignedBy: [][]*Key{{nil}}},
		"notations, without Signers": {Notations: []Notation{SigningContext("x")}},
		"age, without Signers":       {MaxAge: time.Hour},
		"negative age":               {Signers: []*Key{x}, MaxAge: -1},
	} {
		d.Keys = []*Key{x}
		if _, err := d.Decrypt(io.Discard, bytes.NewReader(message)); !invalidCall(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, v := range []Verification{{AlsoSignedBy: [][]*Key{{x}}}, {Signers: []*Key{x}, AlsoSignedBy: [][]*Key{{}}}} {
		if _, err := v.Message(io.Discard, bytes.NewReader(message)); !invalidCall(err) {
			t.Errorf("%+v: %v", v, err)
		}
	}
}

func TestNotations(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	order, invoice, critical := Notation{Name: "order@example.com", Value: "7"}, SigningContext("invoice"), Notation{Name: "c@example.com", Value: "\xff\x00", Critical: true}
	for name, tt := range map[string]struct {
		written, required []Notation
		want              SignatureState
	}{
		"none":                        {nil, nil, SignatureValid},
		"one that nobody asks for":    {[]Notation{order}, nil, SignatureValid},
		"required":                    {[]Notation{order}, []Notation{order}, SignatureValid},
		"required and missing":        {nil, []Notation{order}, SignatureInvalid},
		"another value":               {[]Notation{{Name: order.Name, Value: "8"}}, []Notation{order}, SignatureInvalid},
		"context":                     {[]Notation{invoice}, []Notation{invoice}, SignatureValid},
		"another context":             {[]Notation{SigningContext("order")}, []Notation{invoice}, SignatureInvalid},
		"context that nobody expects": {[]Notation{invoice}, nil, SignatureInvalid},
		"critical and binary":         {[]Notation{critical, order}, []Notation{order, critical}, SignatureValid},
		"critical and unexpected":     {[]Notation{critical, order}, []Notation{order}, SignatureInvalid},
	} {
		for _, how := range []string{"message", "detached", "cleartext", "encrypted"} {
			var res *Result
			var err error
			if how == "encrypted" {
				message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}, Notations: tt.written}, []byte("x\n"))
				res, err = Decryption{Keys: []*Key{k}, Signers: []*Key{k}, Notations: tt.required}.Decrypt(io.Discard, bytes.NewReader(message))
			} else {
				data := signed(t, Signing{Signers: []*Key{k}, Notations: tt.written}, how, "x\n")
				res, _, err = verified(Verification{Signers: []*Key{k}, Notations: tt.required}, how, "x\n", data)
			}
			if res == nil || res.Signature != tt.want || (err == nil) != (tt.want == SignatureValid) {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if got := fmt.Sprint(res.Signatures[0].Notations); got != fmt.Sprint(tt.written) {
				t.Errorf("%s, %s: %s", name, how, got)
			}
		}
	}
	for name, s := range map[string]Signing{
		"no name":   {Notations: []Notation{{Value: "x"}}},
		"too long":  {Notations: []Notation{{Name: "x@y", Value: strings.Repeat("x", 1<<13)}}},
		"too many":  {Notations: make([]Notation, 9)},
		"MD5":       {Hash: crypto.MD5},
		"SHA-1":     {Hash: crypto.SHA1},
		"negative":  {Lifetime: -time.Hour},
		"too short": {Lifetime: time.Millisecond},
		"century":   {Lifetime: 200 * 365 * 24 * time.Hour},
	} {
		s.Signers = []*Key{k}
		var out bytes.Buffer
		e := Encryption{To: s.Signers, Signers: s.Signers, Notations: s.Notations, Hash: s.Hash, Lifetime: s.Lifetime}
		for _, err := range []error{s.Detached(&out, strings.NewReader("")), s.Sign(&out, strings.NewReader("")), s.Cleartext(&out, strings.NewReader("")), e.Encrypt(&out, strings.NewReader(""))} {
			if !invalidCall(err) || out.Len() > 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if err := (Signing{Signers: []*Key{testKeys()[PresetNISTP521]}, Hash: crypto.SHA256}).Detached(io.Discard, strings.NewReader("")); !invalidCall(err) {
		t.Errorf("SHA-256 for P-521: %v", err)
	}
}

func TestSignatureLifetimeAndAge(t *testing.T) {
	start := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) Options { return Options{Clock: func() time.Time { return start.Add(d) }} }
	k := newKey(t, GenerateOptions{}, at(0))
	for _, how := range []string{"message", "detached", "cleartext"} {
		data := signed(t, Signing{Options: at(0), Signers: []*Key{k}, Lifetime: time.Hour}, how, "x\n")
		for _, tt := range []struct {
			after, most time.Duration
			want        SignatureState
		}{
			{0, 0, SignatureValid}, {59 * time.Minute, 0, SignatureValid}, {time.Hour, 0, SignatureExpired},
			{10 * time.Minute, 10 * time.Minute, SignatureValid}, {11 * time.Minute, 10 * time.Minute, SignatureExpired},
		} {
			res, _, err := verified(Verification{Options: at(tt.after), Signers: []*Key{k}, MaxAge: tt.most}, how, "x\n", data)
			if res == nil || res.Signature != tt.want || (err == nil) != (tt.want == SignatureValid) || !res.Signatures[0].Expires.Equal(start.Add(time.Hour)) {
				t.Errorf("%s after %s of %s: %v", how, tt.after, tt.most, err)
			}
		}
	}
}

func TestHashOfSignatures(t *testing.T) {
	for p, k := range testKeys() {
		for _, h := range []crypto.Hash{0, crypto.SHA384, crypto.SHA512, crypto.SHA3_512} {
			s := Signing{Signers: []*Key{k}, Hash: h}
			var out bytes.Buffer
			err := s.Detached(&out, strings.NewReader("x"))
			if err != nil {
				if !invalidCall(err) {
					t.Errorf("%s %s: %v", p, h, err)
				}
				continue
			}
			res, err := Verification{Signers: []*Key{k}}.Detached(strings.NewReader("x"), &out)
			if err != nil || h != 0 && res.Signatures[0].Hash != h.String() {
				t.Errorf("%s %s: %v, %+v", p, h, err, res)
			}
		}
	}
}

// TestTextMessages: inline text signatures hold whatever the line endings.
func TestTextMessages(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	for _, content := range []string{"", "one\ntwo\r\nthree", "\n\n", strings.Repeat("line\n", 300_000), "a\rb\r\n", "\r\r\rx"} {
		want := strings.ReplaceAll(content, "\r\n", "\n")
		data := signed(t, Signing{Signers: []*Key{k}, Text: true}, "message", content)
		res, got, err := verified(Verification{Signers: []*Key{k}}, "message", "", data)
		if err != nil || got != want || !res.Text {
			t.Errorf("%.20q: %.20q, %v", content, got, err)
		}
		message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}, Text: true, Compression: ZLIB}, []byte(content))
		var out bytes.Buffer
		if res, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(&out, bytes.NewReader(message)); err != nil || out.String() != want || !res.Text {
			t.Errorf("encrypted %.20q: %.20q, %v", content, out.String(), err)
		}
	}
}

// TestSigningWriters: what is written in pieces is what is signed at once.
func TestSigningWriters(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := strings.Repeat("some text\n", 30_000)
	for _, text := range []bool{false, true} {
		for _, armored := range []bool{false, true} {
			s := Signing{Signers: []*Key{k, testKeys()[PresetRFC9580]}, Text: text, Armor: armored}
			for how, start := range map[string]func(io.Writer) (io.WriteCloser, error){"message": s.Writer, "detached": s.DetachedWriter} {
				var out bytes.Buffer
				w, err := start(&out)
				if err != nil {
					t.Fatal(err)
				}
				for rest := content; rest != ""; {
					n := min(len(rest), 777)
					if m, err := io.WriteString(w, rest[:n]); m != n || err != nil {
						t.Fatalf("%d, %v", m, err)
					}
					rest = rest[n:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if res, got, err := verified(Verification{Signers: s.Signers, AlsoSignedBy: [][]*Key{s.Signers[1:]}}, how, content, out.Bytes()); err != nil || got != content || len(res.SignedBy()) != 2 {
					t.Errorf("%s: %v", how, err)
				}
				n := out.Len()
				if _, err := w.Write([]byte("more")); err == nil {
					t.Errorf("%s: written after Close", how)
				}
				if err := w.Close(); err == nil || out.Len() != n {
					t.Errorf("%s: closed twice", how)
				}
				for _, verb := range []string{"%v", "%+v", "%#v"} {
					if s := fmt.Sprintf(verb, w); strings.Contains(s, "PrivateKey") || len(s) > 500 {
						t.Errorf("%s prints %.200s", how, s)
					}
				}
			}
		}
	}
	if _, err := (Signing{}).Writer(io.Discard); !invalidCall(err) {
		t.Error(err)
	}
	if _, err := (Signing{}).DetachedWriter(io.Discard); !invalidCall(err) {
		t.Error(err)
	}
}

// TestPerPartner: cipher, compression and AEAD as one partner needs them.
func TestPerPartner(t *testing.T) {
	v4, v6 := testKeys()[PresetGnuPG22], testKeys()[PresetRFC9580]
	plain := newKey(t, GenerateOptions{Preferences: Preferences{Ciphers: []Cipher{AES128}, Hashes: []crypto.Hash{crypto.SHA512}, Compression: []Compression{}}}, Options{})
	aead := newKey(t, GenerateOptions{Preferences: Preferences{Ciphers: []Cipher{AES128, AES256}, AEAD: true}}, Options{})
	for name, tt := range map[string]struct {
		e         Encryption
		integrity string
		keySize   int
		squeezed  bool
	}{
		"as the key has it":          {Encryption{To: []*Key{v4}, Compression: ZLIB}, "mdc", 32, true},
		"AES-128":                    {Encryption{To: []*Key{v4}, Cipher: AES128}, "mdc", 16, false},
		"AES-192":                    {Encryption{To: []*Key{v4}, Cipher: AES192}, "mdc", 24, false},
		"not what the key states":    {Encryption{To: []*Key{plain}, Cipher: AES256, Compression: ZIP}, "mdc", 16, false},
		"ignoring what it states":    {Encryption{To: []*Key{plain}, Cipher: AES256, Compression: ZIP, IgnorePreferences: true}, "mdc", 32, true},
		"version 6":                  {Encryption{To: []*Key{v6}}, "aead", 32, false},
		"version 6 with AES-128":     {Encryption{To: []*Key{v6}, Cipher: AES128}, "aead", 16, false},
		"version 6 without AEAD":     {Encryption{To: []*Key{v6}, IgnorePreferences: true}, "mdc", 32, false},
		"version 4 with AEAD":        {Encryption{To: []*Key{v4}, IgnorePreferences: true, AEAD: true}, "aead", 32, false},
		"version 4 that states AEAD": {Encryption{To: []*Key{aead}}, "aead", 32, false},
		"all of them":                {Encryption{To: []*Key{aead, v4, v6}}, "mdc", 32, false},
	} {
		keys := tt.e.To
		content := bytes.Repeat([]byte("squeeze "), 10_000)
		tt.e.Signers = []*Key{v4}
		message := encrypted(t, tt.e, content)
		d := Decryption{Keys: keys[:1], Signers: []*Key{v4}}
		var out bytes.Buffer
		res, err := d.Decrypt(&out, bytes.NewReader(message))
		if err != nil || res.Integrity != tt.integrity || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("%s: %v, %+v", name, err, res)
		}
		session, err := d.SessionKey(bytes.NewReader(message))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := session.Reveal()
		if _, key, ok := strings.Cut(string(text), ":"); err != nil || !ok || len(key) != 2*tt.keySize {
			t.Errorf("%s: session key of %d digits, %v", name, len(key), err)
		}
		if squeezed := len(message) < len(content)/2; squeezed != tt.squeezed {
			t.Errorf("%s: %d bytes", name, len(message))
		}
	}
	for name, e := range map[string]Encryption{"cipher 1": {To: []*Key{v4}, Cipher: 1}, "cipher 10": {To: []*Key{v4}, Cipher: 10, IgnorePreferences: true}} {
		if err := e.Encrypt(io.Discard, strings.NewReader("")); !invalidCall(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string]Preferences{"cipher": {Ciphers: []Cipher{2}}, "none": {Ciphers: []Cipher{0}}, "hash": {Hashes: []crypto.Hash{crypto.SHA1}}, "compression": {Compression: []Compression{3}}} {
		if _, _, err := Generate(GenerateOptions{UserIDs: []string{"x"}, Preferences: p}); !invalidCall(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAllSubkeys: each subkey that may encrypt opens the message.
func TestAllSubkeys(t *testing.T) {
	k := newKey(t, GenerateOptions{}, Options{})
	var err error
	for _, u := range []Usage{UsageEncrypt, UsageEncrypt, UsageSign} {
		if k, err = k.AddSubkey(SubkeyOptions{Usage: u}); err != nil {
			t.Fatal(err)
		}
	}
	subkeys := k.Info(Options{}).Subkeys
	if k, err = k.RevokeSubkey(subkeys[1].Fingerprint, ReasonRetired, "", Options{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		all  bool
		want []string
	}{{false, []string{subkeys[2].KeyID}}, {true, []string{subkeys[2].KeyID, subkeys[0].KeyID}}} {
		message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}, AllSubkeys: tt.all}, []byte("x"))
		res, err := Decryption{Keys: []*Key{k}, Signers: []*Key{k}}.Decrypt(io.Discard, bytes.NewReader(message))
		if err != nil || fmt.Sprint(res.Recipients) != fmt.Sprint(tt.want) {
			t.Errorf("all %v: %v, %v", tt.all, res, err)
		}
	}
	hidden := encrypted(t, Encryption{ToHidden: []*Key{k}, AllSubkeys: true}, []byte("x"))
	if n := bytes.Count(hidden[:min(len(hidden), 400)], make([]byte, 8)); n < 2 {
		t.Errorf("%d hidden session keys", n)
	}
}

func TestAuthenticationSubkeys(t *testing.T) {
	for _, p := range []Preset{PresetGnuPG22, PresetRFC9580, PresetNISTP256} {
		k := newKey(t, GenerateOptions{Preset: p}, Options{})
		var err error
		for _, u := range []Usage{UsageAuthenticate, UsageSign | UsageAuthenticate} {
			if k, err = k.AddSubkey(SubkeyOptions{Usage: u}); err != nil {
				t.Fatal(err)
			}
		}
		if k, err = k.RotateSubkey(k.Info(Options{}).Subkeys[1].Fingerprint, SubkeyOptions{}); err != nil {
			t.Fatal(err)
		}
		subkeys := k.Info(Options{}).Subkeys
		if len(subkeys) != 4 || subkeys[1].Usage != UsageAuthenticate || subkeys[2].Usage != UsageSign|UsageAuthenticate || subkeys[3].Usage != UsageAuthenticate {
			t.Errorf("%s: %+v", p, subkeys)
		}
		for _, s := range subkeys {
			if s.Problem != nil {
				t.Errorf("%s: %v", p, s.Problem)
			}
		}
		for _, u := range []Usage{0, UsageCertify, UsageEncrypt | UsageSign, UsageEncrypt | UsageAuthenticate, 1 << 6} {
			if _, err := k.AddSubkey(SubkeyOptions{Usage: u}); !invalidCall(err) {
				t.Errorf("%s for %q: %v", p, u, err)
			}
		}
		// What only authenticates signs nothing.
		data := signed(t, Signing{Signers: []*Key{k}}, "detached", "x")
		raw, _, err := grammar.Next(data, 0)
		if err != nil || raw.Tag != grammar.TagSignature {
			t.Fatal(err)
		}
		if res, _, err := verified(Verification{Signers: []*Key{k}}, "detached", "x", data); err != nil || res.Signatures[0].KeyID == subkeys[3].KeyID || res.Signatures[0].KeyID == subkeys[1].KeyID {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestProgress(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 3<<20)
	stop := errors.New("stop")
	var seen []int64
	watch := func(limit int64) Options {
		seen = nil
		return Options{Progress: func(n int64) error {
			seen = append(seen, n)
			if limit > 0 && n >= limit {
				return stop
			}
			return nil
		}}
	}
	message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}}, content)
	signature := signed(t, Signing{Signers: []*Key{k}}, "detached", string(content))
	inline := signed(t, Signing{Signers: []*Key{k}}, "message", string(content))
	text := strings.Repeat("line\n", 600_000)
	clear := signed(t, Signing{Signers: []*Key{k}}, "cleartext", text)
	for name, tt := range map[string]struct {
		input int
		run   func(Options) error
	}{
		"encrypt": {len(content), func(o Options) error {
			return Encryption{Options: o, To: []*Key{k}}.Encrypt(io.Discard, bytes.NewReader(content))
		}},
		"decrypt": {len(message), func(o Options) error {
			_, err := Decryption{Options: o, Keys: []*Key{k}}.Decrypt(io.Discard, bytes.NewReader(message))
			return err
		}},
		"sign": {len(content), func(o Options) error {
			return Signing{Options: o, Signers: []*Key{k}}.Sign(io.Discard, bytes.NewReader(content))
		}},
		"sign apart": {len(content), func(o Options) error {
			return Signing{Options: o, Signers: []*Key{k}}.Detached(io.Discard, bytes.NewReader(content))
		}},
		"sign text": {len(text), func(o Options) error {
			return Signing{Options: o, Signers: []*Key{k}}.Cleartext(io.Discard, strings.NewReader(text))
		}},
		"verify apart": {len(content), func(o Options) error {
			_, err := Verification{Options: o, Signers: []*Key{k}}.Detached(bytes.NewReader(content), bytes.NewReader(signature))
			return err
		}},
		"verify": {len(inline), func(o Options) error {
			_, err := Verification{Options: o, Signers: []*Key{k}}.Message(io.Discard, bytes.NewReader(inline))
			return err
		}},
		"verify text": {len(clear), func(o Options) error {
			_, err := Verification{Options: o, Signers: []*Key{k}}.Message(io.Discard, bytes.NewReader(clear))
			return err
		}},
	} {
		if err := tt.run(watch(0)); err != nil || len(seen) < 3 || seen[len(seen)-1] != int64(tt.input) {
			t.Errorf("%s: %v, %v of %d", name, err, seen, tt.input)
		}
		if err := tt.run(watch(int64(tt.input / 2))); !errors.Is(err, stop) || seen[len(seen)-1] > int64(tt.input)*3/4+2<<20 {
			t.Errorf("%s, stopped: %v", name, err)
		}
	}
	_ = trustkeep.ErrInvalid
}
