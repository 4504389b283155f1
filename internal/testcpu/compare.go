package testcpu

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// LittleMore fails the test if ours costs more than plain by 10 ms (or a twentieth of
// plain) of processor time, or by 1 MiB of memory. What counts is the least of a few runs
// in turns, since the first prepares things and other programs disturb each of them.
func LittleMore(tb testing.TB, name string, plain, ours func()) {
	tb.Helper()
	const (
		maxRuns  = 6
		maxCPU   = 10 * time.Millisecond
		maxBytes = 1 << 20
	)
	p, o := price{math.MaxInt64, math.MaxUint64}, price{math.MaxInt64, math.MaxUint64}
	fits := false
	for run := 0; run < maxRuns && !fits; run++ {
		if run > 0 {
			runtime.GC()
		}
		func() {
			defer debug.SetGCPercent(debug.SetGCPercent(-1))
			p.least(plain)
			o.least(ours)
		}()
		fits = o.cpu <= p.cpu+p.cpu/20+maxCPU && o.bytes <= p.bytes+maxBytes
	}
	if !fits {
		tb.Errorf("%s: %v and %d bytes allocated, without us %v and %d", name, o.cpu, o.bytes, p.cpu, p.bytes)
	}
	tb.Logf("%-64s %8.2f ms more than %8.2f, %8d bytes more than %9d", name,
		float64(o.cpu-p.cpu)/1e6, float64(p.cpu)/1e6, int64(o.bytes-p.bytes), p.bytes)
}

// price is what something costs.
type price struct {
	cpu   time.Duration
	bytes uint64
}

// least lowers p to what f costs.
func (p *price) least(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := Used()
	f()
	p.cpu = min(p.cpu, Since(start))
	runtime.ReadMemStats(&after)
	p.bytes = min(p.bytes, after.TotalAlloc-before.TotalAlloc)
}
