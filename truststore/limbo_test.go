package truststore_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// strictCases are the cases of x509-limbo that Strict is for: crypto/x509 accepts all of them.
var strictCases = map[string]trustkeep.Code{
	"webpki::forbidden-weak-rsa-key-in-root":               truststore.CodeWeakKey,
	"webpki::forbidden-weak-rsa-in-leaf":                   truststore.CodeWeakKey,
	"webpki::forbidden-rsa-not-divisible-by-8-in-root":     truststore.CodeOddKey,
	"webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf": truststore.CodeOddKey,
	"webpki::forbidden-dsa-leaf":                           truststore.CodeKeyType,
	"webpki::ca-as-leaf":                                   truststore.CodePeerIsAuthority,
	"webpki::ee-basicconstraints-ca":                       truststore.CodePeerIsAuthority,
	"rfc5280::leaf-ku-keycertsign":                         truststore.CodePeerMaySign,
	"rfc5280::root-inconsistent-ca-extensions":             truststore.CodeInconsistentAuthority,
	"rfc5280::root-non-critical-basic-constraints":         truststore.CodeBasicConstraints,
	"rfc5280::ca-empty-subject":                            truststore.CodeAuthorityUnnamed,
	"webpki::eku::ee-without-eku":                          truststore.CodeNoUsage,
	"webpki::eku::ee-anyeku":                               truststore.CodeUnlimitedUsage,
	"webpki::eku::root-has-eku":                            truststore.CodeRootUsage,
	"rfc5280::eku::ee-eku-empty":                           truststore.CodeEmptyUsage,

	"rfc5280::nc::permitted-dns-match-noncritical":    truststore.CodeConstraintsNotCritical,
	"rfc5280::nc::invalid-dnsname-leading-period":     truststore.CodeConstraintSyntax,
	"rfc5280::nc::not-allowed-in-ee-noncritical":      truststore.CodePeerConstrains,
	"rfc5280::nc::not-allowed-in-ee-critical":         truststore.CodePeerConstrains,
	"rfc5280::serial::zero":                           truststore.CodeZeroSerial,
	"rfc5280::serial::too-long":                       truststore.CodeLongSerial,
	"rfc5280::san::noncritical-with-empty-subject":    truststore.CodeAltNamesNotCritical,
	"rfc5280::san::underscore-dns":                    truststore.CodeDNSName,
	"webpki::san::san-critical-with-nonempty-subject": truststore.CodeAltNamesCritical,
	"webpki::eku::ee-critical-eku":                    truststore.CodeCriticalUsage,
	"rfc5280::pc::ica-noncritical-pc":                 truststore.CodePolicyNotCritical,
}

// contradictions are good to one half of the suite and, as another case with the same fault,
// bad to the other: RFC 5280 against the Baseline Requirements. Strict takes the stricter side.
var contradictions = []string{"rfc5280::eku::ee-without-eku", "rfc5280::ca-as-leaf", "pathlen::validation-ignores-pathlen-in-leaf", "webpki::nc::permitted-dns-match-noncritical"}

// The verdicts on x509-limbo, of which TRUSTKEEP_LIMBO names the limbo.json.
func TestLimboFile(t *testing.T) {
	path := os.Getenv("TRUSTKEEP_LIMBO")
	if path == "" {
		t.Skip("TRUSTKEEP_LIMBO is not set")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type limboCase struct {
		ID        string                        `json:"id"`
		Kind      string                        `json:"validation_kind"`
		Trusted   []string                      `json:"trusted_certs"`
		Untrusted []string                      `json:"untrusted_intermediates"`
		Peer      string                        `json:"peer_certificate"`
		Time      string                        `json:"validation_time"`
		Expected  string                        `json:"expected_result"`
		Features  []string                      `json:"features"`
		Conflicts []string                      `json:"conflicts_with"`
		PeerName  *struct{ Kind, Value string } `json:"expected_peer_name"`
		CRLs      []string                      `json:"crls"`
		MaxDepth  *int                          `json:"max_chain_depth"`
	}
	var cases []limboCase
	if err := json.Unmarshal(data, &cases); err != nil {
		var suite struct{ Testcases []limboCase }
		if err := json.Unmarshal(data, &suite); err != nil {
			t.Fatal(err)
		}
		cases = suite.Testcases
	}
	parse := func(text string) *x509.Certificate {
		block, _ := pem.Decode([]byte(text))
		if block == nil {
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		return c
	}
	left := map[string]trustkeep.Code{}
	for id, code := range strictCases {
		left[id] = code
	}
	judged, still := 0, []string{}
	for _, c := range cases {
		if c.Kind != "SERVER" || c.PeerName == nil || len(c.CRLs) > 0 || c.MaxDepth != nil {
			continue
		}
		store := truststore.New()
		for _, text := range c.Trusted {
			if root := parse(text); root != nil {
				if err := store.Add("", root); err != nil {
					t.Fatal(err)
				}
			}
		}
		chain := []*x509.Certificate{parse(c.Peer)}
		for _, text := range c.Untrusted {
			if i := parse(text); i != nil {
				chain = append(chain, i)
			}
		}
		if chain[0] == nil || store.Len() == 0 {
			delete(left, c.ID)
			if code, ok := strictCases[c.ID]; ok {
				t.Logf("%s (%s): the certificate cannot be parsed", c.ID, code)
			}
			continue
		}
		o := truststore.VerifyOptions{Name: c.PeerName.Value, Time: time.Now()}
		if c.Time != "" {
			if o.Time, err = time.Parse(time.RFC3339, c.Time); err != nil {
				t.Fatal(err)
			}
		}
		judged++
		_, plain := store.Verify(chain, o)
		o.Policy = truststore.Strict()
		_, strict := store.Verify(chain, o)
		if want, ok := strictCases[c.ID]; ok {
			delete(left, c.ID)
			if plain != nil || code(strict) != want {
				t.Errorf("%s: by default %v, strict %v, want %s", c.ID, plain, strict, want)
			}
			continue
		}
		switch {
		case c.Expected == "SUCCESS" && plain == nil && strict != nil && !slices.Contains(contradictions, c.ID):
			t.Errorf("%s is good, and Strict refuses it: %v", c.ID, strict)
		case c.Expected == "FAILURE" && strict == nil:
			still = append(still, c.ID)
		case plain != nil && strict == nil:
			t.Errorf("%s: Strict accepts what the default refuses", c.ID)
		}
	}
	for id := range left {
		t.Errorf("%s is not in the suite", id)
	}
	t.Logf("%d cases; bad ones that Strict accepts: %s", judged, strings.Join(still, " "))
}
