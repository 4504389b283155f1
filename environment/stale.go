package environment

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// staleDefinitions lists what of the definitions of a deployed process is another now: its own, those of
// its connections with the environment's overrides, and those of their partners.
func (v *inventory) staleDefinitions(p *deployedProcess) []Stale {
	var out []Stale
	id := p.record.Process.ID
	add := func(s Stale, frozen any, now any, defined bool) {
		if s.Differs = differences(frozen, now); !defined {
			s.Differs = []string{"no longer defined"}
		}
		if s.Process = id; len(s.Differs) > 0 {
			out = append(out, s)
		}
	}
	process, ok := v.processes[id]
	add(Stale{}, p.record.Process, process, ok)
	d := v.environments[p.environment]
	for _, c := range p.record.Connections {
		now, ok := v.connections[c.ID]
		if ok = ok && d != nil && now.countsIn(p.environment); ok {
			now = d.Overrides[c.ID].apply(now)
		}
		add(Stale{Connection: c.ID}, c, now, ok)
	}
	for _, frozen := range p.record.Partners {
		now, ok := v.partners[frozen.ID]
		add(Stale{Partner: frozen.ID}, frozen, now, ok)
	}
	return out
}

// mostDiffering bounds the text of one side of a difference.
const mostDiffering = 256

// differences names the fields that differ: "Trusted [b], deployed with [a]".
func differences(frozen, now any) []string {
	before, after := fieldTexts(frozen), fieldTexts(now)
	var out []string
	for field := range reflect.TypeOf(now).Fields() {
		if name := field.Name; before[name] != after[name] {
			out = append(out, fmt.Sprintf("%s %s, deployed with %s", name, shortened(after[name]), shortened(before[name])))
		}
	}
	return out
}

// fieldTexts returns the fields that are set, by name, as they are printed.
func fieldTexts(settings any) map[string]string {
	out := make(map[string]string)
	for _, text := range spell(settings, "Revision", "Environments") {
		name, value, _ := strings.Cut(text, " ")
		out[name] = value + " " // set, even if to nothing
	}
	return out
}

func shortened(text string) string {
	switch text = strings.TrimSuffix(text, " "); {
	case text == "":
		return "unset"
	case len(text) > mostDiffering:
		text = strings.ToValidUTF8(text[:mostDiffering], "") + "…"
	}
	return trustkeep.Printable(text)
}
