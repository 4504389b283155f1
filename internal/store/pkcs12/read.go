package pkcs12

import (
	"bytes"
	"fmt"
	"math"
	"runtime"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// Parse reads a PKCS#12 file. The result holds keys with their chains, then
// the other certificates, then the rest, each in file order. data is neither
// kept nor changed. See the package comment for passwords, names and what
// authenticates a file.
//
// Only a broken structure fails the whole file. A bag that cannot be
// understood becomes an Opaque entry with Err, a key of unknown encryption one
// that cannot be opened; a certificate is not parsed here, but Err is set where
// it does not even have the shape of one. After the file nothing may follow
// but zeros and line ends, which copying adds (OpenSSL and the JDK ignore
// whatever follows).
//
// The error wraps trustkeep.ErrIncorrectPassword when the MAC does not verify
// or a safe does not decrypt, trustkeep.ErrLimit, trustkeep.ErrUnsupported for
// a MAC or a form of protection that is not known, or trustkeep.ErrCorrupt.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	r := &reader{opts: opts, passwords: candidates(opts.Password)}
	// In this order: no goroutine may still derive when keys are wiped.
	defer r.derivations.wipe()
	defer r.crew.stop()
	store, err := r.read(data)
	if err != nil {
		return nil, fmt.Errorf("pkcs12: %w", err)
	}
	return store, nil
}

// reader reads one file.
type reader struct {
	opts      entry.ReadOptions
	passwords [][]byte
	// password is the number of the candidate that verified the MAC.
	password    int
	derivations derivations
	crew        crew

	source Source
	bags   bags
}

// pfx is the outer structure (RFC 7292 section 4).
type pfx struct {
	authSafe []byte      // content octets of the AuthenticatedSafe, joined
	mac      ber.Element // MacData; zero where absent
}

func (r *reader) read(data []byte) (*entry.Store, error) {
	if err := r.opts.Budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	p, err := r.parsePFX(data)
	if err != nil {
		return nil, err
	}
	mac, err := parseMacData(p.mac)
	if err != nil {
		return nil, err
	}
	if mac == nil && r.opts.Password != nil && !r.opts.AllowUnauthenticated {
		return nil, fmt.Errorf("a password was given, but the file has no MAC by which to check it (AllowUnauthenticated reads it all the same): %w", trustkeep.ErrCorrupt)
	}
	safes, err := r.parseAuthenticatedSafe(p.authSafe)
	if err != nil {
		return nil, err
	}
	if runtime.GOMAXPROCS(0) > 1 {
		// Deriving the keys of the safes needs nothing but the algorithms
		// and is what takes the time.
		for _, s := range safes {
			if s.scheme != nil {
				r.crew.do(func() { r.derivations.derive(s.scheme, r.passwords, 0, r.opts.Budget) })
			}
		}
	}
	if mac != nil {
		if err := r.verify(mac, p.authSafe); err != nil {
			return nil, err
		}
		r.source.MAC = mac.Params()
	}
	if err := r.readSafes(safes); err != nil {
		return nil, err
	}
	r.crew.wait()
	store, err := r.bags.assemble(r.opts.Password, r.opts.Budget)
	if err != nil {
		return nil, err
	}
	store.Unauthenticated = mac == nil
	if mac == nil {
		store.Findings = append(store.Findings, entry.Finding{Code: "no-mac", Text: "nothing protects the file against changes"})
	}
	r.source.Keys = r.bags.keys
	store.Source = r.source
	return store, nil
}

// parsePFX reads the frame.
func (r *reader) parsePFX(data []byte) (p pfx, err error) {
	in := ber.New(data, ber.Rules{MaxDepth: r.opts.Budget.MaxDepth()})
	outer, err := in.Read(ber.Sequence)
	if err != nil {
		return p, err
	}
	if len(bytes.Trim(in.Rest(), "\x00\r\n")) > 0 {
		return p, fmt.Errorf("%d bytes after the end: %w", len(in.Rest()), trustkeep.ErrCorrupt)
	}
	seq, err := outer.Children()
	if err != nil {
		return p, err
	}
	version, err := readInt(&seq)
	if err != nil {
		return p, fmt.Errorf("version: %w", err)
	}
	if version != 3 {
		return p, fmt.Errorf("version %d: %w", version, trustkeep.ErrUnsupported)
	}
	auth, err := readContentInfo(&seq)
	if err != nil {
		return p, fmt.Errorf("authenticated safe: %w", err)
	}
	if string(auth.oid) == oidSignedData {
		return p, fmt.Errorf("a signature in place of the MAC: %w", trustkeep.ErrUnsupported)
	}
	if string(auth.oid) != oidData {
		return p, fmt.Errorf("type of the authenticated safe: %w", trustkeep.ErrCorrupt)
	}
	if p.authSafe, err = auth.octets(); err != nil {
		return p, fmt.Errorf("authenticated safe: %w", err)
	}
	if !seq.Empty() {
		if p.mac, err = seq.Read(ber.Sequence); err != nil {
			return p, fmt.Errorf("MAC: %w", err)
		}
	}
	return p, seq.End()
}

// parseMacData returns nil for a file without MAC.
func parseMacData(e ber.Element) (*pbe.MAC, error) {
	if e.Full == nil {
		return nil, nil
	}
	mac, err := readMacData(e)
	if err != nil {
		return nil, fmt.Errorf("MAC: %w", err)
	}
	return mac, nil
}

func readMacData(e ber.Element) (*pbe.MAC, error) {
	seq, err := e.Children()
	if err != nil {
		return nil, err
	}
	info, err := seq.Read(ber.Sequence)
	if err != nil {
		return nil, err
	}
	digestInfo, err := info.Children()
	if err != nil {
		return nil, err
	}
	algorithm, err := readDER(&digestInfo, ber.Sequence)
	if err != nil {
		return nil, err
	}
	digest, err := readOctets(&digestInfo)
	if err != nil {
		return nil, err
	}
	if err := digestInfo.End(); err != nil {
		return nil, err
	}
	salt, err := readOctets(&seq)
	if err != nil {
		return nil, err
	}
	iterations := int64(1) // DEFAULT, RFC 7292 section 4
	if !seq.Empty() {
		if iterations, err = readInt(&seq); err != nil {
			return nil, err
		}
	}
	if err := seq.End(); err != nil {
		return nil, err
	}
	return pbe.ParseMAC(algorithm, digest, salt, iterations)
}

// verify finds out which of the password candidates made the MAC.
func (r *reader) verify(mac *pbe.MAC, content []byte) error {
	for i := range distinct(r.passwords, mac.Params().KDF) {
		key, err := mac.Derive(r.passwords[i], r.opts.Budget)
		if err != nil {
			return fmt.Errorf("MAC: %w", err)
		}
		ok := mac.Verify(key, content)
		clear(key)
		if ok {
			r.password = i
			return nil
		}
	}
	r.crew.drop()
	if r.opts.Password == nil {
		return fmt.Errorf("the MAC does not verify without a password: %w", trustkeep.ErrIncorrectPassword)
	}
	return fmt.Errorf("the MAC does not verify, so the password is wrong or the file was changed: %w", trustkeep.ErrIncorrectPassword)
}

// readDER reads an element of the tag and returns it in DER.
func readDER(in *ber.Input, t ber.Tag) ([]byte, error) {
	e, err := in.Read(t)
	if err != nil {
		return nil, err
	}
	return e.DER()
}

// readOctets reads an OCTET STRING and joins its pieces.
func readOctets(in *ber.Input) ([]byte, error) {
	e, err := in.Read(ber.OctetString)
	if err != nil {
		return nil, err
	}
	return e.Octets()
}

// readInt reads an INTEGER. One beyond 63 bits becomes the largest or smallest
// int64, neither of which any field here allows.
func readInt(in *ber.Input) (int64, error) {
	e, err := in.Read(ber.Integer)
	if err != nil {
		return 0, err
	}
	b := e.Content
	if e.Constructed || len(b) == 0 {
		return 0, fmt.Errorf("integer: %w", trustkeep.ErrCorrupt)
	}
	negative := b[0]&0x80 != 0
	for len(b) > 1 && (b[0] == 0 && !negative || b[0] == 0xff && negative) && (b[0]^b[1])&0x80 == 0 {
		b = b[1:]
	}
	if len(b) > 8 {
		if negative {
			return math.MinInt64, nil
		}
		return math.MaxInt64, nil
	}
	n := int64(0)
	if negative {
		n = -1
	}
	for _, octet := range b {
		n = n<<8 | int64(octet)
	}
	return n, nil
}
