package extract_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/extract"
)

// The URL of a proxy has a password, or a token for a name.
func TestOptionsPrintNoSecret(t *testing.T) {
	const canary = "hunter2canary"
	for _, user := range []*url.Userinfo{url.UserPassword("me", canary), url.User(canary)} {
		o := extract.Options{StartTLS: extract.SMTP, ServerName: "a.example", Proxy: &url.URL{Scheme: "http", User: user, Host: "proxy.example:3128"}}
		var out bytes.Buffer
		for _, v := range []any{o, &o, []extract.Options{o}, struct{ O extract.Options }{o}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			if text, err := json.Marshal(v); err == nil {
				out.Write(text)
			}
			if text, err := xml.Marshal(v); err == nil {
				out.Write(text)
			}
			_ = gob.NewEncoder(&out).Encode(v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		}
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(out.String(), form) {
				t.Errorf("%v printed %q", user, form)
			}
		}
		if !strings.Contains(out.String(), `smtp for "a.example" through http://proxy.example:3128`) {
			t.Errorf("no summary in %s", out.String())
		}
	}
}
