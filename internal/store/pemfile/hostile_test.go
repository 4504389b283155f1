package pemfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testcpu"
)

func TestRefused(t *testing.T) {
	chain := string(fixture(t, "chain.bundle"))
	cert := string(fixture(t, "trusted-without-settings.bundle"))
	tests := []struct {
		name, text string
		want       error
	}{
		{"empty", "", trustkeep.ErrCorrupt},
		{"text", "hello\n", trustkeep.ErrCorrupt},
		{"cut in the last block", chain[:len(chain)-40], trustkeep.ErrCorrupt},
		{"cut in the END line", chain[:len(chain)-4], trustkeep.ErrCorrupt},
		{"cut in a BEGIN line", chain + "-----BEGIN CERTIF", trustkeep.ErrCorrupt},
		{"only an empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", trustkeep.ErrCorrupt},
		{"no base64", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n", trustkeep.ErrCorrupt},
		{"no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", trustkeep.ErrCorrupt},
		{"data behind the certificate", strings.ReplaceAll(string(fixture(t, "trusted.bundle")), "TRUSTED ", ""), trustkeep.ErrCorrupt},
		{"other END", strings.ReplaceAll(cert, "END TRUSTED", "END"), trustkeep.ErrCorrupt},
		{"no key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", trustkeep.ErrCorrupt},
		{"parameters alone", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", trustkeep.ErrUnsupported},
		{"OpenPGP", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n", trustkeep.ErrUnsupported},
		{"headers without end", "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("a: b\n", 100) + "-----END CERTIFICATE-----\n", trustkeep.ErrCorrupt},
		{"many blocks", strings.Repeat("-----BEGIN X-----\n-----END X-----\n", 1011), trustkeep.ErrLimit},
		{"many broken blocks", string(fixture(t, "certificates.bundle")) + strings.Repeat("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", maxBroken+1), trustkeep.ErrLimit},
		{"large", strings.Repeat("x", 1<<20+1), trustkeep.ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse([]byte(test.text), entry.ReadOptions{
				Budget: limits.New(trustkeep.Limits{MaxEntries: 1010, MaxSize: 1 << 20})})
			if !errors.Is(err, test.want) || s != nil {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "pemfile: ") {
				t.Errorf("text %q", err)
			}
		})
	}
}

// What is broken shows beside what is not.
func TestBrokenBlocksAreKept(t *testing.T) {
	good := string(fixture(t, "certificates.bundle"))
	tests := []struct{ name, block string }{
		{"no base64", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n"},
		{"empty", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
		{"no END", "-----BEGIN CERTIFICATE-----\nMIIB\n"},
		{"no END, BEGIN in the same line", "-----BEGIN CERTIFICATE-----MIIB"},
		{"other END", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END X509 CRL-----\n"},
		{"BEGIN line without end", "-----BEGIN CERTIFICATE\n"},
		{"endless label", "-----BEGIN " + strings.Repeat("A", 1000) + "-----\n"},
		{"no label", "-----BEGIN -----\nAAAA\n-----END -----\n"},
		{"dashes inside", "-----BEGIN CERTIFICATE-----\nAAAA-----AAAA\n-----END CERTIFICATE-----\n"},
		{"unknown cipher", "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"},
		{"broken list", "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"},
		{"broken PKCS#7", "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n"},
		{"broken OpenSSH key", "-----BEGIN OPENSSH PRIVATE KEY-----\nMAA=\n-----END OPENSSH PRIVATE KEY-----\n"},
	}
	for _, test := range tests {
		for _, first := range []bool{true, false} {
			text := good + test.block + good
			if first {
				text = test.block + good
			}
			t.Run(fmt.Sprintf("%s, first: %v", test.name, first), func(t *testing.T) {
				s := mustParse(t, []byte(text), none)
				broken := 0
				for _, e := range s.Entries {
					if e.Err == nil && e.Kind == entry.Opaque && test.name == "no label" {
						broken++
					}
					if e.Err != nil {
						broken++
						if e.Kind != entry.Opaque || len(e.Raw) == 0 || !errors.Is(e.Err, trustkeep.ErrCorrupt) {
							t.Errorf("%+v", e)
						}
					}
				}
				if want := strings.Count(text, "BEGIN CERTIFICATE-----\nMIIB") - strings.Count(test.block, "BEGIN CERTIFICATE-----\nMIIB"); broken != 1 || len(s.Entries) != want+1 {
					t.Errorf("%d broken, got\n%s", broken, summary(s))
				}
			})
		}
	}
}

func TestStrayLinesAreReported(t *testing.T) {
	good := string(fixture(t, "certificates.bundle"))
	for _, text := range []string{
		good + "-----END CERTIFICATE-----\n",
		"see -----BEGIN CERTIFICATE----- below\n" + good,
	} {
		s := mustParse(t, []byte(text), none)
		if len(s.Entries) != 2 || len(s.Findings) != 1 || s.Findings[0].Code != "stray-line" {
			t.Errorf("%s, %v", summary(s), s.Findings)
		}
	}
}

// Eight times the input takes about eight times as long, where a quadratic
// scanner would take 64 times. The best of several runs keeps a busy machine out
// of the ratio.
func TestLinear(t *testing.T) {
	tests := []struct {
		name string
		text func(n int) string
	}{
		{"empty blocks", func(n int) string { return strings.Repeat("-----BEGIN X-----\n-----END X-----\n", n) }},
		{"BEGIN lines", func(n int) string { return strings.Repeat("-----BEGIN X-----\n", n) }},
		{"half BEGIN lines", func(n int) string { return strings.Repeat("-----BEGIN ", n) }},
		{"END lines", func(n int) string { return strings.Repeat("-----END X-----\n", n) }},
		{"dashes", func(n int) string { return strings.Repeat("-", 20*n) }},
		{"dashes in a block", func(n int) string { return "-----BEGIN X-----\n" + strings.Repeat("-", 20*n) }},
		{"CR only", func(n int) string {
			return "-----BEGIN CERTIFICATE-----" + strings.Repeat("\r", 20*n) + "-----END CERTIFICATE-----"
		}},
		{"headers ended by CR", func(n int) string {
			return "-----BEGIN CERTIFICATE-----\r" + strings.Repeat("a:\r", 7*n) + "-----END CERTIFICATE-----\n"
		}},
		{"base64 in lines ended by CR", func(n int) string {
			return "-----BEGIN CERTIFICATE-----\r" + strings.Repeat("AAAA\r", 5*n) + "-----END CERTIFICATE-----\n"
		}},
		{"text in lines ended by CR", func(n int) string { return strings.Repeat("a: b\r", 4*n) }},
		{"no END", func(n int) string { return "-----BEGIN X-----\n" + strings.Repeat("AAAA\n", 4*n) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			best := func(n int) time.Duration {
				text := []byte(test.text(n))
				least := time.Hour
				for range 4 {
					start := testcpu.Used()
					Parse(text, options(none))
					least = min(least, testcpu.Since(start))
				}
				return least
			}
			const n = 8_000
			if small, large := best(n), best(8*n); large > 24*small+time.Millisecond {
				t.Errorf("%v for %d units, %v for %d", small, n, large, 8*n)
			}
		})
	}
}
