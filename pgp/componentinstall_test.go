package pgp

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/content"
)

// A public key that came back with certifications of others is added to the private one, and
// to a public one.
func TestComponentTakesCertifications(t *testing.T) {
	o := component.Options{Rand: quick.Rand, Password: trustkeep.Password("one")}
	private, err := component.Create(t.Context(), "ours", GenerateOptions{UserIDs: []string{"a <a@example.com>"}}, o)
	if err != nil {
		t.Fatal(err)
	}
	_, sent, err := private.ExportPublic("")
	if err != nil {
		t.Fatal(err)
	}
	public, err := importComponent(t.Context(), "theirs", sent, o)
	if err != nil {
		t.Fatal(err)
	}
	back, err := certifications(t, mustParse(t, sent).Keys()[0], 3, 1).Armor()
	if err != nil {
		t.Fatal(err)
	}
	o.Password = nil // is not needed
	for _, c := range []*component.Component{private, public} {
		after, err := c.Install(t.Context(), back, InstallOptions{}, o)
		if err != nil {
			t.Fatal(err)
		}
		if after.Version() != 2 || after.Fingerprint() != c.Fingerprint() || after.Visibility() != c.Visibility() ||
			len(KeyOf(after).Marshal()) <= len(KeyOf(c).Marshal()) || !bytes.Equal(KeyOf(after).Marshal(), mustParse(t, back).Keys()[0].Marshal()) {
			t.Errorf("%v after %v", after, c)
		}
		if c.Visibility() == trustkeep.Private {
			if err := after.CheckPassword(trustkeep.Password("one")); err != nil {
				t.Error(err)
			}
		}
	}
	stranger, err := newKey(t, GenerateOptions{}, Options{}).Armor()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := private.Install(t.Context(), stranger, InstallOptions{}, o); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Errorf("another key: %v", err)
	}
	_, secret, err := private.ExportPrivate(trustkeep.Password("one"), trustkeep.Password("two"), component.ExportOptions{Rand: quick.Rand})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := public.Install(t.Context(), secret, InstallOptions{}, o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a private key for a public component: %v", err)
	}
	if _, err := private.Install(t.Context(), []byte("garbage"), InstallOptions{}, o); err == nil {
		t.Error("garbage")
	}
	// There are no requests.
	if _, _, err := private.Request(t.Context(), neverAsked{t}, o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("request: %v", err)
	}
}

type neverAsked struct{ t *testing.T }

func (n neverAsked) MakeRequest(context.Context, content.Content, content.Options) ([]byte, content.Content, error) {
	n.t.Error("asked")
	return nil, nil, nil
}
