package natskv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/goldentest"
)

// goldenMessage is a message of one of the buckets, as it is on the wire.
type goldenMessage struct {
	Subject string
	Header  nats.Header `json:",omitempty"`
	Data    []byte
}

// TestGoldenRegistry reads messages that were written before package component.
func TestGoldenRegistry(t *testing.T) {
	text, err := os.ReadFile("testdata/golden-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var messages []goldenMessage
	if err := json.Unmarshal(text, &messages); err != nil {
		t.Fatal(err)
	}
	goldentest.Run(t, filepath.Join("..", "environment", "testdata", "golden-v1"), func(t *testing.T) environment.Storage {
		s := connectTo(t, newBroker(t, nil).ClientURL(), Options{})
		for _, m := range messages {
			if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
				t.Fatal(err)
			}
		}
		return s
	})
}
