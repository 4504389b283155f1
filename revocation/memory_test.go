package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// longList is a list of n random serial numbers besides that of the leaf.
func (w *world) longList(n int) []byte {
	return w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
		for i := range n {
			serial := binary.BigEndian.AppendUint64([]byte{0x4a}, uint64(i)*0x9e3779b97f4a7c15)
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: w.now.Add(-time.Hour), ReasonCode: i % 6,
			})
		}
	}, w.leaf.Cert.SerialNumber)
}

// A list takes less than twice the memory of its file, and a question about it none.
func TestListsTakeLittleMemory(t *testing.T) {
	w := newWorld(t)
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	der := w.longList(n)
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	l := w.parsed(der)
	held := inUse() - before
	t.Logf("%d bytes, %d entries: %d held, %.2f of the file; charged for %d", len(der), l.Len(), held, float64(held)/float64(len(der)), l.size())
	if held > 2*int64(len(der)) || held > l.size()+64<<10 {
		t.Errorf("%d bytes hold %d", len(der), held)
	}
	if l.Len() != n+1 {
		t.Errorf("%d entries", l.Len())
	}
	if e := l.find(w.leaf.Cert.SerialNumber, w.now); e == nil || e.reason != 1 {
		t.Errorf("%+v", e)
	}
	ch := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{l}})
	if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" {
		t.Error(err)
	}
	if cost := testing.AllocsPerRun(10, func() { l.find(w.leaf.Cert.SerialNumber, w.now) }); cost > 20 {
		t.Errorf("%v allocations to find a serial number", cost)
	}
	runtime.KeepAlive(l)
	runtime.KeepAlive(der)
}

// Entries are read as crypto/x509 reads them, and so is everything else.
func TestListsAreReadAsStdDoes(t *testing.T) {
	w := newWorld(t)
	der := w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
		for i, serial := range []int64{1, 127, 128, 255, 256, 1 << 40, 128} {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: big.NewInt(serial), RevocationTime: w.now.Add(time.Duration(i) * -time.Hour), ReasonCode: i,
			})
		}
	})
	std, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	l := w.parsed(der)
	if !bytes.Equal(l.head.RawTBSRevocationList, std.RawTBSRevocationList) || !bytes.Equal(l.head.Signature, std.Signature) ||
		!l.head.NextUpdate.Equal(std.NextUpdate) || l.head.Number.Cmp(std.Number) != 0 || len(l.index) != len(std.RevokedCertificateEntries) {
		t.Error("another list")
	}
	for _, e := range std.RevokedCertificateEntries {
		got := l.find(e.SerialNumber, w.now)
		if got == nil || !slices.ContainsFunc(std.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return bytes.Equal(serialKey(e.SerialNumber), got.serial) && e.RevocationTime.Equal(got.when) && e.ReasonCode == got.reason
		}) {
			t.Errorf("%d: %+v", e.SerialNumber, got)
		}
	}
	for _, serial := range []int64{0, 2, -128, -1, 1 << 41} {
		if l.find(big.NewInt(serial), w.now) != nil {
			t.Errorf("%d is found", serial)
		}
	}
	// What crypto/x509 does not read is not read here, octet by octet.
	for i := range der {
		for _, with := range []byte{0, 0x30, 0x80, 0xff, der[i] + 1} {
			bad := bytes.Clone(der)
			bad[i] = with
			_, stdErr := x509.ParseRevocationList(bad)
			lists, err := ParseCRLs(bad)
			if (err == nil) != (stdErr == nil) {
				t.Fatalf("octet %d is %#x: %v, crypto/x509 says %v", i, with, err, stdErr)
			}
			if err != nil && !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Fatal(err)
			}
			for _, l := range lists {
				_ = l.String()
			}
		}
	}
}

func BenchmarkParseCRL(b *testing.B) {
	der := newWorld(b).longList(100_000)
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCRLs(der); err != nil {
			b.Fatal(err)
		}
	}
}
