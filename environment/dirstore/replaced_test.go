package dirstore

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// A directory that was moved away, and one in its place, are told to the watcher, who
// would wait in vain otherwise.
func TestDirectoryReplaced(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not move directories that are in use")
	}
	dir := t.TempDir() + "/storage"
	ticks := make(chan time.Time)
	d := open(t, dir, Options{Ticks: ticks})
	put(t, d, "k", "1", 0)
	updates, err := d.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	<-updates
	tick := func() environment.Update {
		t.Helper()
		ticks <- time.Time{}
		select {
		case u := <-updates:
			return u
		case <-time.After(20 * time.Second):
			t.Fatal("a look is not told")
		}
		panic("unreachable")
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if u := tick(); u.Err != nil || u.Full || len(u.Records) > 0 {
		t.Errorf("nothing has happened: %+v", u)
	}
	move(dir, dir+"-away")
	if u := tick(); !errors.Is(u.Err, fs.ErrNotExist) {
		t.Errorf("moved away: %+v", u)
	}
	other := open(t, dir, Options{})
	if u := tick(); !errors.Is(u.Err, trustkeep.ErrConflict) {
		t.Errorf("replaced: %+v", u)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	move(dir, dir+"-other")
	move(dir+"-away", dir)
	if u := tick(); u.Err != nil || u.Full || len(u.Records) > 0 {
		t.Errorf("moved back: %+v", u)
	}
}
