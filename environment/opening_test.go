package environment_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// TestPasswordThatIsNotGiven has a vault that neither answers nor heeds its context. A
// handshake does not wait for it for good, and neither do the others.
func TestPasswordThatIsNotGiven(t *testing.T) {
	for name, heeds := range map[string]bool{"heeds its context": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			answer, hangs := make(chan struct{}), false
			w := newWorld(t, environment.Options{Resolve: func(ctx context.Context, _ string) ([]byte, error) {
				if !hangs {
					return []byte("secret-x"), nil
				}
				if !heeds {
					<-answer
					return []byte("secret-x"), nil
				}
				select {
				case <-answer:
					return []byte("secret-x"), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}})
			w.identity("x")
			must(t, w.SetPasswordReference(t.Context(), "x", "vault/x"))
			hangs = true
			atom := w.attach("one", environment.AtomOptions{})
			atom.WaitForPasswords(time.Millisecond)
			failed := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := atom.Identity("x")
					failed <- err
				}()
			}
			for range 2 {
				select {
				case err := <-failed:
					var e *trustkeep.Error
					if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
						t.Errorf("%v", err)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("a handshake waits for good")
				}
			}
			close(answer)
			atom.WaitForPasswords(time.Hour)
			if _, err := check(atom.Identity("x"))(t).TLSCertificate(); err != nil {
				t.Error(err)
			}
		})
	}
}
