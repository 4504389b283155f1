package natskv

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/trustkeep/trustkeep"
)

// secretURLs are servers with secrets: what must not be printed, and whether it can be used.
var secretURLs = map[string]struct {
	urls    []string
	secrets []string
	invalid bool
}{
	"password":           {[]string{"nats://me:hunter2@127.0.0.1:1"}, []string{"hunter2", "me:"}, false},
	"token":              {[]string{"nats://t0ken@127.0.0.1:1"}, []string{"t0ken"}, false},
	"no scheme":          {[]string{"t0ken@127.0.0.1:1"}, []string{"t0ken"}, false},
	"no scheme, user":    {[]string{"me:hunter2@127.0.0.1:1"}, []string{"hunter2"}, false},
	"several in one":     {[]string{"nats://t0ken@127.0.0.1:1, nats://me:hunter2@127.0.0.1:1,other@127.0.0.1:1"}, []string{"t0ken", "hunter2", "other"}, false},
	"several":            {[]string{"nats://t0ken@127.0.0.1:1", "hunter2@127.0.0.1:1"}, []string{"t0ken", "hunter2"}, false},
	"escaped":            {[]string{"nats://t0%2Fken@127.0.0.1:1"}, []string{"ken"}, false},
	"bad port":           {[]string{"nats://t0ken@127.0.0.1:port"}, []string{"t0ken"}, true},
	"bad escape":         {[]string{"nats://t0ken%zz@127.0.0.1:1"}, []string{"t0ken"}, true},
	"control character":  {[]string{"nats://t0ken\n@127.0.0.1:1"}, []string{"t0ken"}, true},
	"password with /":    {[]string{"nats://me:hun/ter2@127.0.0.1:1"}, []string{"hun", "ter2"}, true},
	"token with /":       {[]string{"nats://hun/ter2@127.0.0.1:1"}, []string{"hun", "ter2"}, true},
	"token with ?":       {[]string{"nats://hun?ter2@127.0.0.1:1"}, []string{"hun", "ter2"}, true},
	"token with #":       {[]string{"nats://hun#ter2@127.0.0.1:1"}, []string{"hun", "ter2"}, true},
	"password with ,":    {[]string{"nats://me:hun,ter2@127.0.0.1:1"}, []string{"hun", "ter2"}, true},
	"no host":            {[]string{"nats://t0ken@"}, []string{"t0ken"}, true},
	"of another, broken": {[]string{"nats://t0ken@127.0.0.1:1", "nats://hunter2@["}, []string{"t0ken", "hunter2"}, true},
}

// Nothing prints the secrets in the URLs of a Server, nor does the error of Connect.
func TestServerDoesNotPrintSecrets(t *testing.T) {
	for name, c := range secretURLs {
		t.Run(name, func(t *testing.T) {
			s := Server{URLs: c.urls}
			var out bytes.Buffer
			for _, v := range []any{s, &s, []Server{s}, map[string]any{"s": &s}, struct{ S Server }{s}, struct{ S *Server }{&s}} {
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%c"} {
					fmt.Fprintf(&out, verb+"\n", v)
				}
				json.NewEncoder(&out).Encode(v)
				xml.NewEncoder(&out).Encode(v)
				gob.NewEncoder(&out).Encode(v)
				for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
					slog.New(h).Info("a server", "s", v, slog.Group("g", "s", v))
				}
			}
			storage, err := Connect(t.Context(), s, Options{})
			if err == nil {
				storage.Close()
				t.Fatal("connected to nothing")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				fmt.Fprintf(&out, "%v\n%+v\n", e, e)
			}
			if errors.Is(err, trustkeep.ErrInvalid) != c.invalid {
				t.Errorf("error %v", err)
			}
			for _, secret := range c.secrets {
				if i := strings.Index(out.String(), secret); i >= 0 {
					t.Errorf("%q is printed: %.200q", secret, out.String()[max(0, i-60):])
				}
			}
			if !c.invalid && !strings.Contains(err.Error(), "127.0.0.1:1") {
				t.Errorf("the error does not name the server: %v", err)
			}
		})
	}
}

// A Storage prints nothing of how it is connected, whatever holds it.
func TestStorageDoesNotPrintSecrets(t *testing.T) {
	b := newBroker(t, func(o *server.Options) { o.Authorization = "t0kenXYZ" })
	url := strings.Replace(b.ClientURL(), "nats://", "nats://t0kenXYZ@", 1)
	s, err := Connect(t.Context(), Server{URLs: []string{url}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, v := range []any{s, []*Storage{s}, struct{ s *Storage }{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "t0kenXYZ") || strings.Contains(text, fmt.Sprintf("%x", "t0kenXYZ")) {
				t.Errorf("%T with %s: the token is printed", v, verb)
			}
		}
	}
}
