package tlsctx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// TestInteropAlternatives has openssl s_client, which unlike Go can leave out signature schemes,
// connect to a server with an ECDSA and an RSA identity, and to two servers that share tickets.
func TestInteropAlternatives(t *testing.T) {
	testtool.Need(t, "openssl")
	ec, _, ecID, rsaID := twoKeys(t, host)
	b := tlsctx.Builder{Identity: tlsctx.Alternatives(identity(ecID), identity(rsaID)), Clock: ec.Now}
	e := (&echo{hangsUp: true}).start(t, mustServer(t, b))
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		for schemes, want := range map[string]string{"ECDSA+SHA256:RSA-PSS+SHA256": "id-ecPublicKey", "ECDSA+SHA256": "id-ecPublicKey", "RSA-PSS+SHA256": "rsaEncryption"} {
			out, _ := testtool.Command(t, "openssl", "s_client", "-connect", e.address, "-servername", host, version, "-sigalgs", schemes, "-ign_eof").CombinedOutput()
			if !strings.Contains(string(out), "a:PKEY: "+want) {
				t.Errorf("%s, %s: not %s:\n%s", version, schemes, want, out)
			}
		}
	}
	t.Log("openssl s_client: ECDSA or RSA by its signature schemes, TLS 1.2 and 1.3")
}

// TestInteropSharedTickets has openssl s_client take a session from one server to another.
func TestInteropSharedTickets(t *testing.T) {
	testtool.Need(t, "openssl")
	f := newFleet(t)
	b := f.builder()
	b.ClientAuth, b.Clock = tlsctx.NoClientAuth, nil
	first, second := (&echo{hangsUp: true}).start(t, mustServer(t, b)), (&echo{hangsUp: true}).start(t, mustServer(t, b))
	b.NextProtos = []string{"other"}
	third := (&echo{hangsUp: true}).start(t, mustServer(t, b))
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		session := filepath.Join(t.TempDir(), "session.pem")
		for i, s := range []struct {
			e    *echo
			flag string
			want string
		}{{first, "-sess_out", "New"}, {second, "-sess_in", "Reused"}, {third, "-sess_in", "New"}} {
			out, _ := testtool.Command(t, "openssl", "s_client", "-connect", s.e.address, "-servername", host, version, s.flag, session, "-ign_eof").CombinedOutput()
			if !strings.Contains(string(out), s.want+", TLSv1") {
				t.Errorf("%s, server %d: not %s:\n%s", version, i+1, s.want, out)
			}
		}
		if _, err := os.Stat(session); err != nil {
			t.Error(err)
		}
	}
	t.Log("openssl s_client: a session of one server resumed by another, TLS 1.2 and 1.3")
}
