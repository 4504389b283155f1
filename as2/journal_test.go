package as2_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
)

// One process at a time has a journal, and within it one FileJournal.
func TestJournalIsForOne(t *testing.T) {
	if dir := os.Getenv("AS2_JOURNAL_DIR"); dir != "" { // another process
		_, err := as2.OpenJournal(dir, as2.JournalOptions{})
		if !errors.Is(err, trustkeep.ErrInUse) || !strings.Contains(err.Error(), "one process at a time") {
			t.Fatalf("%v", err)
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "journal")
	first, err := as2.OpenJournal(dir, as2.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as2.OpenJournal(dir, as2.JournalOptions{}); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("in the same process: %v", err)
	}
	other := exec.Command(os.Args[0], "-test.run=^TestJournalIsForOne$")
	other.Env = append(os.Environ(), "AS2_JOURNAL_DIR="+dir)
	if out, err := other.CombinedOutput(); err != nil {
		t.Errorf("in another process: %v\n%s", err, out)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
	again, err := as2.OpenJournal(dir, as2.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
