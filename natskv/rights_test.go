package natskv

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep/environment"
)

// The rights that README.md names are enough, and those of readers do not let them write.
func TestRights(t *testing.T) {
	reading := []string{"$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DELETE.>", "$JS.FC.>"}
	writing := append(slices.Clone(reading), "$KV.trustkeep.>", "$KV.trustkeep-chunks.>", "$JS.API.STREAM.PURGE.KV_trustkeep-chunks")
	user := func(name string, publish ...string) *server.User {
		return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: publish},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}
	}
	b := newBroker(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "admin"}, user("reader", reading...), user("writer", writing...)}
	})
	connectAs := func(name string, timeout time.Duration) *Storage {
		t.Helper()
		s, err := Connect(t.Context(), Server{URLs: []string{b.ClientURL()}, NATS: []nats.Option{nats.UserInfo(name, name)}}, Options{Timeout: timeout})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	connectAs("admin", 0)
	writer, reader := connectAs("writer", 0), connectAs("reader", time.Second)
	updates, err := reader.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	value := large(1)
	revision := mustPut(t, writer, "a/k", value, 0)
	if u := next(t, updates); len(u.Records) != 1 || !bytes.Equal(u.Records[0].Value, value) {
		t.Errorf("watched %d records", len(u.Records))
	}
	writer.o.KeepUploads = 0
	if _, err := writer.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	for name, read := range map[string]func() ([]environment.Record, error){
		"Get": func() ([]environment.Record, error) {
			r, err := reader.Get(t.Context(), "a/k")
			return []environment.Record{r}, err
		},
		"List":     func() ([]environment.Record, error) { return reader.List(t.Context(), "a/") },
		"Versions": func() ([]environment.Record, error) { return reader.Versions(t.Context(), "a/k") },
	} {
		if all, err := read(); err != nil || len(all) != 1 || !bytes.Equal(all[0].Value, value) {
			t.Errorf("%s has %d records, error %v", name, len(all), err)
		}
	}
	if _, err := reader.Put(t.Context(), "a/k", []byte("x"), revision); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("Put without the right: %v", err)
	}
	if r, err := writer.Get(t.Context(), "a/k"); err != nil || r.Revision != revision {
		t.Errorf("revision %d, %v", r.Revision, err)
	}
	if err := writer.Delete(t.Context(), "a/k", revision); err != nil {
		t.Error(err)
	}
}
