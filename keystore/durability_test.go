package keystore_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestKilledDuringSave kills processes with signal 9 while they save a store,
// and opens what they left. The test binary itself is the process.
func TestKilledDuringSave(t *testing.T) {
	if path := os.Getenv("TRUSTKEEP_TEST_SAVER"); path != "" {
		saveForever(t, path)
	}
	path := filepath.Join(t.TempDir(), "store.jks")
	temp := filepath.Join(filepath.Dir(path), ".store.jks.trustkeep-tmp")
	rounds := testtool.Rounds(20, 60)
	interrupted := 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledDuringSave$")
		cmd.Env = append(os.Environ(), "TRUSTKEEP_TEST_SAVER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it has saved once
			t.Fatal(err)
		}
		exited := make(chan struct{})
		go func() {
			io.Copy(io.Discard, out)
			close(exited)
		}()
		// Alternately while its temporary file is there, and while it is not
		// there any more.
		for seen := false; ; {
			_, err := os.Lstat(temp)
			if err == nil && round%2 == 0 || seen && err != nil {
				break
			}
			seen = seen || err == nil
			select {
			case <-exited:
				t.Fatal("the saving process ended by itself")
			default:
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if _, err := os.Lstat(temp); err == nil {
			interrupted++
		}
		ks, err := keystore.Load(path, first)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		aliases := ks.Aliases()
		if !slices.Equal(aliases, []string{"server"}) && !slices.Equal(aliases, []string{"server", "other"}) {
			t.Fatalf("round %d: a store that nobody saved: %q", round, aliases)
		}
		if _, err := ks.Identity("server"); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if interrupted == 0 {
		t.Error("no save was interrupted, so nothing is shown")
	}
	t.Logf("%d of %d kills left a temporary file; every store opened whole", interrupted, rounds)
}

func saveForever(t *testing.T, path string) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	server, other := newIdentity(t, pki.Server()), newIdentity(t, pki.Server("other"))
	for {
		for _, change := range []func() error{
			func() error { return ks.SetIdentity("server", server) },
			func() error { return ks.SetIdentity("other", other) },
			func() error { return ks.Delete("other") },
		} {
			if err := change(); err != nil {
				t.Fatal(err)
			}
			// A killed predecessor may have left another store.
			data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: first})
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := keystore.Parse(data, first)
			if err != nil {
				t.Fatal(err)
			}
			if err := fresh.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			fmt.Println("saved")
		}
	}
}
