package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

func TestTable(t *testing.T) {
	whole := make([]testtool.Exchange, 0)
	for _, p := range peers {
		for _, mode := range p.modes {
			whole = append(whole, testtool.Exchange{Peer: p.peer, Version: p.peer + " v1.2.3p4 (Debian)", Mode: mode, What: "files", Verdict: "ok"})
		}
	}
	with := func(change func(*testtool.Exchange)) []testtool.Exchange {
		out := append([]testtool.Exchange(nil), whole...)
		change(&out[1])
		return out
	}
	for name, c := range map[string]struct {
		exchanges    []testtool.Exchange
		strict, want bool
		line         string // that of vsftpd
	}{
		"all":             {whole, true, true, "ok       vsftpd 1.2.3p4: TLS 1.2 explicit, TLS 1.2 implicit, TLS 1.3 explicit, TLS 1.3 implicit: files"},
		"one failed":      {with(func(e *testtool.Exchange) { e.Verdict = "FAILED" }), true, false, "FAILED   vsftpd 1.2.3p4: TLS 1.2 implicit FAILED; TLS 1.2 explicit, TLS 1.3"},
		"one skipped":     {with(func(e *testtool.Exchange) { e.Verdict = "skipped" }), true, false, "FAILED   vsftpd 1.2.3p4: TLS 1.2 implicit did not run; TLS"},
		"skipped locally": {with(func(e *testtool.Exchange) { e.Verdict = "skipped" }), false, true, "skipped  vsftpd 1.2.3p4: TLS 1.2 implicit did not run; TLS"},
		"one missing":     {append(whole[:1:1], whole[2:]...), true, false, "FAILED   vsftpd 1.2.3p4: TLS 1.2 implicit did not run; TLS"},
		"none":            {nil, true, false, "FAILED   vsftpd: TLS 1.2 explicit did not run; "},
		"unknown mode":    {append(whole[:len(whole):len(whole)], testtool.Exchange{Peer: "vsftpd", Mode: "odd", Verdict: "ok"}), true, false, "FAILED   vsftpd"},
		"unknown peer":    {append(whole[:len(whole):len(whole)], testtool.Exchange{Peer: "odd", Verdict: "ok"}), true, false, "ok       vsftpd"},
	} {
		var in, out strings.Builder
		for _, e := range c.exchanges {
			line, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			in.Write(append(line, '\n'))
		}
		ok, err := table(&out, strings.NewReader(in.String()), c.strict)
		if err != nil || ok != c.want || !strings.HasPrefix(out.String(), c.line) {
			t.Errorf("%s: %v, %v\n%s", name, ok, err, out.String())
		}
	}
	if ok, err := table(new(strings.Builder), strings.NewReader("{\n"), true); ok || err == nil {
		t.Error("half a line is accepted")
	}
}
