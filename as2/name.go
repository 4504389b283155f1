package as2

import (
	"crypto/rand"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/trustkeep/trustkeep"
)

const (
	maxName      = 128 // of an AS2 name, RFC 4130 section 6.2
	maxMessageID = 255 // RFC 4130 section 5.3.3 asks for as much
)

// checkName reports whether an AS2 name can be sent: 1 to 128 printable ASCII characters.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("AS2 name of %d characters: %w", len(name), trustkeep.ErrInvalid)
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("AS2 name %s: %w", trustkeep.Printable(name), trustkeep.ErrInvalid)
		}
	}
	return nil
}

// quoteName writes an AS2 name as a header field has it (RFC 4130 section 6.2): in quotes if it
// holds anything that an atom does not.
func quoteName(name string) string {
	if !strings.ContainsAny(name, " \"\\()<>@,;:/[]?={}") {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// parseName reads AS2-From or AS2-To. Names are compared as they are, in their case.
func parseName(value string) (string, error) {
	name := strings.Trim(value, " \t")
	if inner, ok := strings.CutPrefix(name, `"`); ok {
		var b strings.Builder
		closed := false
		for i := 0; i < len(inner); i++ {
			switch c := inner[i]; {
			case closed:
				return "", fmt.Errorf("AS2 name %s: %w", trustkeep.Printable(value), trustkeep.ErrCorrupt)
			case c == '\\' && i+1 < len(inner):
				i++
				b.WriteByte(inner[i])
			case c == '"':
				closed = true
			default:
				b.WriteByte(c)
			}
		}
		if !closed {
			return "", fmt.Errorf("AS2 name %s: %w", trustkeep.Printable(value), trustkeep.ErrCorrupt)
		}
		name = b.String()
	}
	if checkName(name) != nil {
		return "", fmt.Errorf("AS2 name %s: %w", trustkeep.Printable(value), trustkeep.ErrCorrupt)
	}
	return name, nil
}

// newMessageID makes a Message-ID that nobody else makes.
func newMessageID() string { return "<" + rand.Text() + "@trustkeep.as2>" }

// checkMessageID accepts what fits into a header field: RFC 5322 wants "<left@right>", and some
// products leave out the brackets.
func checkMessageID(id string) error {
	if id == "" || len(id) > maxMessageID {
		return fmt.Errorf("Message-ID of %d characters: %w", len(id), trustkeep.ErrInvalid)
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("Message-ID %s: %w", trustkeep.Printable(id), trustkeep.ErrInvalid)
		}
	}
	return nil
}

// sameID compares Message-IDs, of which one may have lost its brackets.
func sameID(a, b string) bool { return bare(a) == bare(b) }

func bare(id string) string {
	if s, ok := strings.CutPrefix(id, "<"); ok && strings.HasSuffix(s, ">") {
		return s[:len(s)-1]
	}
	return id
}

// field returns a header field that must not be there twice, since readers would differ in which
// counts. A field that is not there is empty.
func field(h map[string][]string, name string) (string, error) {
	values := h[http.CanonicalHeaderKey(name)]
	if len(values) > 1 {
		return "", fmt.Errorf("header field %s is there %d times: %w", name, len(values), trustkeep.ErrCorrupt)
	}
	if len(values) == 0 {
		return "", nil
	}
	return strings.Trim(values[0], " \t"), nil
}

// fileName returns the name that a Content-Disposition gives, as the name of a file in one
// folder: what a sender says does not lead elsewhere. It is empty where nothing is left.
func fileName(disposition string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil && err != mime.ErrInvalidMediaParameter {
		return ""
	}
	name := params["filename"]
	if decoded, err := new(mime.WordDecoder).DecodeHeader(name); err == nil {
		name = decoded
	}
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.TrimRight(name, " .") // Windows drops them
	if len(name) > 255 || strings.Trim(name, ".") == "" || trustkeep.Printable(name) != name {
		return ""
	}
	return name
}
