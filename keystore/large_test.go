package keystore_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// many repeats what piece makes until the size is reached.
func many(size int, piece func(i int) []byte) (data []byte, n int) {
	data = make([]byte, 0, size)
	for {
		next := piece(n)
		if len(data)+len(next) > size {
			return data, n
		}
		data = append(data, next...)
		n++
	}
}

func tlv(tag byte, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	out, err := asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 31), IsCompound: tag&32 != 0, Bytes: content})
	if err != nil {
		panic(err)
	}
	return out
}

// largeFiles are honest and hostile files of about that size.
func largeFiles(t *testing.T, size int) map[string]func() []byte {
	id := testpki.New(t, testpki.Options{Seed: "large", Now: noon}).Server("a.example")
	at := bytes.Index(id.DER, id.Cert.SerialNumber.Bytes())
	if at < 0 || len(id.Cert.SerialNumber.Bytes()) < 8 {
		t.Fatal("no serial number to change")
	}
	certificate := func(i int) []byte {
		der := bytes.Clone(id.DER)
		binary.BigEndian.PutUint32(der[at+4:], uint32(i))
		return der
	}
	armored := func(typ string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}) }
	oid := func(o asn1.ObjectIdentifier) []byte {
		der, err := asn1.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	pkcs12 := func(bag func(i int) []byte) []byte {
		bags, _ := many(size-200, bag)
		data := oid(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1})
		safe := tlv(0x30, data, tlv(0xA0, tlv(0x04, tlv(0x30, bags))))
		return tlv(0x30, []byte{2, 1, 3}, tlv(0x30, data, tlv(0xA0, tlv(0x04, tlv(0x30, safe)))))
	}
	bagOf := func(n int) []byte { return oid(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, n}) }
	x509 := oid(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1})
	jks := func(entry func(i int) []byte) []byte {
		body, n := many(size-100, entry)
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0xFE, 0xED, 0xFE, 0xED}, 2), uint32(n))
		return append(append(head, body...), make([]byte, 20)...)
	}
	text := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) }
	block := func(b, data []byte) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	repeat := func(piece string) func() []byte {
		return func() []byte { data, _ := many(size, func(int) []byte { return []byte(piece) }); return data }
	}
	files := map[string]func() []byte{
		"PEM, certificates": func() []byte {
			data, _ := many(size, func(i int) []byte { return armored("CERTIFICATE", certificate(i)) })
			return data
		},
		"PEM, one certificate repeated":   repeat(string(armored("CERTIFICATE", id.DER))),
		"PEM, one key repeated":           repeat(string(id.KeyPEM())),
		"PEM, certificates that are none": repeat(string(armored("CERTIFICATE", []byte{0x30, 0}))),
		"PEM, begin lines":                repeat("-----BEGIN CERTIFICATE-----\n"),
		"PEM, begin and end":              repeat("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
		"PEM, dashes":                     repeat("-----"),
		"PEM, one certificate of zeros":   func() []byte { return armored("CERTIFICATE", make([]byte, size/4*3-size/50)) },
		"PEM, comments":                   repeat("subject=CN=a.example\n"),
		"PKCS#12, certificates": func() []byte {
			return pkcs12(func(i int) []byte {
				return tlv(0x30, bagOf(3), tlv(0xA0, tlv(0x30, x509, tlv(0xA0, tlv(0x04, certificate(i))))))
			})
		},
		"PKCS#12, keys": func() []byte {
			key := tlv(0x30, bagOf(1), tlv(0xA0, id.PKCS8()))
			return pkcs12(func(int) []byte { return key })
		},
		"PKCS#12, empty bags": func() []byte { return pkcs12(func(int) []byte { return []byte{0x30, 0} }) },
		"JKS, certificates": func() []byte {
			return jks(func(i int) []byte {
				return block(text(append(text([]byte{0, 0, 0, 2}, fmt.Sprint("ca", i)), make([]byte, 8)...), "X.509"), certificate(i))
			})
		},
		"JKS, keys": func() []byte {
			return jks(func(i int) []byte {
				e := append(text([]byte{0, 0, 0, 1}, fmt.Sprint("key", i)), make([]byte, 8)...)
				e = append(block(e, make([]byte, 600)), 0, 0, 0, 1)
				return block(text(e, "X.509"), certificate(i))
			})
		},
		"random": func() []byte {
			data := make([]byte, size)
			rand.NewChaCha8([32]byte{}).Read(data)
			return data
		},
		"zeros":     func() []byte { return make([]byte, size) },
		"sequences": repeat("\x30\x80"),
	}
	return files
}

// Inspection, audit and import of a file up to Limits.MaxSize that is refused take less than two
// seconds, and import less than 64 MiB beyond the file. What is read takes its time: crypto/x509
// parses some 15,000 certificates a second, each into 5 KiB.
func TestLargeFiles(t *testing.T) {
	if testcpu.Raced {
		t.Skip("what is measured takes ten times as long with the race detector")
	}
	size := testtool.Rounds(256<<10, 128<<20)
	for name, file := range largeFiles(t, size) {
		t.Run(name, func(t *testing.T) { readLargeFile(t, file()) })
	}
}

func readLargeFile(t *testing.T, data []byte) {
	for what, do := range map[string]func() error{
		"inspect": func() error {
			ks, err := keystore.Parse(data, nil)
			if err == nil {
				for _, e := range ks.Entries() {
					for _, raw := range e.RawChain {
						keystore.DescribeCertificate(raw)
					}
				}
			}
			return err
		},
		"audit": func() error {
			ks, err := keystore.Parse(data, nil)
			if err == nil {
				audit.Run(audit.Target{Keystore: ks})
			}
			return err
		},
		"import": func() error {
			_, err := importComponent(t.Context(), "a", data, withPassword("secret"))
			return err
		},
	} {
		var err error
		start := testcpu.Used()
		peak := testtool.PeakHeap(func() { err = do() })
		elapsed := testcpu.Since(start)
		t.Logf("%-8s %4d MiB: %v of CPU, peak %d MiB: %.90s", what, len(data)>>20, elapsed, peak>>20, fmt.Sprint(err))
		if err != nil && !isTyped(err) && !errors.Is(err, trustkeep.ErrEmpty) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && elapsed > 2*time.Second {
			t.Errorf("%s: refused after %v", what, elapsed)
		}
		if what == "import" && peak > 64<<20 {
			t.Errorf("import: %d MiB", peak>>20)
		}
	}
}
