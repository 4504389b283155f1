package natskv

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
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
			whole := strings.Join(c.urls, ",")
			s := Server{PrivateURLs: trustkeep.Password(whole)}
			testleak.Check(t, s, []byte(whole))
			storage, err := Connect(t.Context(), s, Options{})
			if err == nil {
				storage.Close()
				t.Fatal("connected to nothing")
			}
			if errors.Is(err, trustkeep.ErrInvalid) != c.invalid {
				t.Errorf("error %v", err)
			}
			if !c.invalid && !strings.Contains(err.Error(), "127.0.0.1:1") {
				t.Errorf("the error does not name the server: %v", err)
			}
			// Where they do not belong they are refused, and not shown by the methods of a Server.
			wrong := Server{URLs: c.urls}
			_, wrongErr := Connect(t.Context(), wrong, Options{})
			if !errors.Is(wrongErr, trustkeep.ErrInvalid) || !strings.Contains(wrongErr.Error(), "PrivateURLs") {
				t.Errorf("in URLs: %v", wrongErr)
			}
			text := testleak.Text(wrong) + testleak.Text(struct{ S *Server }{&wrong})
			for _, err := range []error{err, wrongErr} {
				for ; err != nil; err = errors.Unwrap(err) {
					text += testleak.Text(err)
				}
			}
			for _, secret := range c.secrets {
				if i := strings.Index(text, secret); i >= 0 {
					t.Errorf("%q is printed: %.200q", secret, text[max(0, i-60):])
				}
			}
		})
	}
}

// The default is this machine, whichever way nothing is said.
func TestServerWithoutURLs(t *testing.T) {
	for _, s := range []Server{{}, {URLs: []string{""}}, {PrivateURLs: trustkeep.Password("")}} {
		if urls, err := s.urls(); err != nil || len(urls) != 1 || urls[0] != nats.DefaultURL {
			t.Errorf("%s: %q, %v", s, urls, err)
		}
	}
	failing := errors.New("the vault is closed")
	_, err := Connect(t.Context(), Server{PrivateURLs: trustkeep.PasswordFunc(func() ([]byte, error) { return nil, failing })}, Options{})
	if !errors.Is(err, failing) {
		t.Error(err)
	}
	both := Server{URLs: []string{"nats://a.example:1"}, PrivateURLs: trustkeep.Password("nats://hunter2@b.example:2")}
	if urls, err := both.urls(); err != nil || len(urls) != 2 || both.String() != "nats://a.example:1,private URLs" {
		t.Errorf("%s: %q, %v", both, urls, err)
	}
}

// A Storage prints nothing of how it is connected, whatever holds it.
func TestStorageDoesNotPrintSecrets(t *testing.T) {
	b := newBroker(t, func(o *server.Options) { o.Authorization = "t0kenXYZ" })
	url := strings.Replace(b.ClientURL(), "nats://", "nats://t0kenXYZ@", 1)
	s, err := Connect(t.Context(), Server{PrivateURLs: trustkeep.Password(url)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	testleak.Check(t, s, []byte("t0kenXYZ"))
}
