package tlsctx

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// String names the trust that counts, whether there is an identity, and the server name. It
// asks no source and shows nothing of the identity, which may be of a type that prints its
// key. Explain says more.
func (b Builder) String() string {
	parts := []string{"trust " + string(b.origin())}
	switch {
	case b.Routes != nil:
		parts = append(parts, "identity by routes")
	case b.Identity != nil:
		parts = append(parts, "with identity")
	}
	if b.ServerName != "" {
		parts = append(parts, `server name "`+trustkeep.Printable(b.ServerName)+`"`)
	}
	for _, what := range [][2]string{{"server's URI", b.ServerURI}, {"client's URI", b.ClientURI}, {"trust domain", b.TrustDomain}} {
		if what[1] != "" {
			parts = append(parts, what[0]+` "`+trustkeep.Printable(what[1])+`"`)
		}
	}
	if b.InsecureKeyLog != nil {
		parts = append(parts, "keys to InsecureKeyLog")
	}
	return "tlsctx.Builder(" + strings.Join(parts, ", ") + ")"
}

// Format prints String whatever the verb.
func (b Builder) Format(f fmt.State, _ rune) { io.WriteString(f, b.String()) }

// MarshalText yields String, for JSON and XML.
func (b Builder) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// MarshalBinary yields String, for gob, which ignores MarshalText.
func (b Builder) MarshalBinary() ([]byte, error) { return []byte(b.String()), nil }

// LogValue implements slog.LogValuer through String.
func (b Builder) LogValue() slog.Value { return slog.StringValue(b.String()) }
