package extract

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/trustkeep/trustkeep"
)

// String describes the options without the user and password of the proxy:
// `smtp for "a.example" through http://proxy.example:3128`.
func (o Options) String() string {
	protocol, through := string(o.StartTLS), ""
	if protocol == "" {
		protocol = "tls"
	}
	if o.ServerName != "" {
		protocol += fmt.Sprintf(" for \"%s\"", trustkeep.Printable(o.ServerName))
	}
	if o.Proxy != nil {
		through = " through " + trustkeep.Printable(o.Proxy.Scheme+"://"+o.Proxy.Host)
	}
	return protocol + through
}

// Format writes String whatever the verb.
func (o Options) Format(f fmt.State, _ rune) { io.WriteString(f, o.String()) }

// MarshalText yields what String returns, for JSON and XML.
func (o Options) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// MarshalBinary yields what String returns, for gob.
func (o Options) MarshalBinary() ([]byte, error) { return []byte(o.String()), nil }

// LogValue implements slog.LogValuer through String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }
