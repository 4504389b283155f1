package keystore_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// against runs both in turn, so that a slow spell of the machine meets both,
// and reports the time of ours, of the peer and ours / peer.
func against(b *testing.B, ours, peer func()) {
	ours()
	peer()
	var mine, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		ours()
		middle := time.Now()
		peer()
		mine += middle.Sub(start)
		theirs += time.Since(middle)
	}
	b.ReportMetric(float64(mine.Nanoseconds())/float64(b.N), "ours-ns/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "peer-ns/op")
	b.ReportMetric(float64(mine)/float64(theirs), "ours/peer")
	b.ReportMetric(testing.AllocsPerRun(1, ours)/testing.AllocsPerRun(1, peer), "allocs-ours/peer")
}

func benchFile(b *testing.B, name string) []byte {
	b.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkOpen20Keys opens a keytool store of 20 RSA keys without using them,
// against go-pkcs12's ToPEM, its only function that reads such a store.
func BenchmarkOpen20Keys(b *testing.B) {
	data := benchFile(b, "keytool-20.p12")
	against(b, func() {
		if _, err := keystore.Parse(data, trustkeep.Password("changeit")); err != nil {
			b.Fatal(err)
		}
	}, func() {
		//lint:ignore SA1019 no other function of the peer reads several keys
		if _, err := pkcs12.ToPEM(data, "changeit"); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkOpen1Key opens a keytool store of one RSA key and unlocks it, on
// one core and on two.
func BenchmarkOpen1Key(b *testing.B) {
	data := benchFile(b, "keytool-1.p12")
	for _, cores := range []string{"1core", "2cores"} {
		b.Run(cores, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(int(cores[0] - '0')))
			against(b, func() {
				ks, err := keystore.Options{Unlock: true}.Parse(data, trustkeep.Password("changeit"))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := ks.Identity("only"); err != nil {
					b.Fatal(err)
				}
			}, func() {
				if _, _, _, err := pkcs12.DecodeChain(data, "changeit"); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
