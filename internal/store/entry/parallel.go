package entry

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/trustkeep/trustkeep/internal/limits"
)

// Parallel calls do(0) to do(n-1), each once, on the cores there are and
// returns when all are done.
func Parallel(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers < 2 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
}

// UnlockAll opens the keys of the entries with password as one operation, on the
// cores there are, and leaves the results in Opened and OpenErr.
func UnlockAll(entries []*Entry, password []byte, spend limits.Spender) {
	keys := make([]*PrivateKey, 0, len(entries))
	for _, e := range entries {
		if e.Key != nil && e.Key.Unlock != nil {
			keys = append(keys, e.Key)
		}
	}
	Parallel(len(keys), func(i int) {
		keys[i].Opened, keys[i].OpenErr = keys[i].Unlock(password, spend)
	})
}
