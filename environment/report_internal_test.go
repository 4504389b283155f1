package environment

import (
	"strings"
	"testing"
	"time"
)

func TestReportIsOfThePeersSeenLast(t *testing.T) {
	var peers []seenPeer
	for i, name := range []string{"d", "b", "c", "a"} {
		peers = append(peers, seenPeer{Name: name, Last: time.Unix(int64(i), 0), Chain: [][]byte{make([]byte, 60), make([]byte, 40)}})
	}
	for limit, want := range map[int]string{1000: "a b c d", 400: "a b c d", 399: "a b c", 299: "a c", 99: ""} {
		var got []string
		for _, p := range latest(append([]seenPeer(nil), peers...), limit) {
			got = append(got, p.Name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("in %d bytes: %q, not %q", limit, text, want)
		}
	}
}
