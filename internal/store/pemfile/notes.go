package pemfile

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// notes is what the text before a block says about it. Two dialects are read:
// the one that openssl pkcs12 prints,
//
//	Bag Attributes
//	    friendlyName: web
//	    localKeyID: 54 69 6D 65
//
// and our own, of comment lines that any reader of PEM passes over:
//
//	# alias: web
//	# localKeyID: 54696d65
//	# created: 2026-11-21T02:00:00Z
//	# trusted: true
//
// An alias that a line could not carry as it is stands in quotes, with the
// escapes of Go.
type notes struct {
	found      bool // any of the following
	alias      string
	named      bool
	localKeyID []byte
	created    time.Time
	trusted    bool
}

// read takes the notes off a stretch of text.
func (n *notes) read(text []byte) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		for len(line) > 0 {
			var part []byte
			part, line, _ = bytes.Cut(line, []byte{'\r'})
			n.readLine(part)
		}
	}
}

// maxNote is longer than any line that is read: Java's aliases may have 64 KiB,
// four times as much in quotes.
const maxNote = 1 << 19

func (n *notes) readLine(line []byte) {
	colon := bytes.IndexByte(line[:min(len(line), 32)], ':')
	if colon < 0 || len(line) > maxNote {
		return
	}
	value := string(bytes.TrimSpace(line[colon+1:]))
	switch string(bytes.TrimSpace(line[:colon])) {
	case "friendlyName":
		n.setAlias(value)
	case "# alias":
		if strings.HasPrefix(value, `"`) {
			unquoted, err := strconv.Unquote(value)
			if err != nil {
				return
			}
			n.alias, n.named, n.found = unquoted, true, true
			return
		}
		n.setAlias(value)
	case "localKeyID", "# localKeyID":
		if id, err := hex.DecodeString(strings.ReplaceAll(value, " ", "")); err == nil && len(id) > 0 {
			n.localKeyID, n.found = id, true
		}
	case "# created":
		if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
			n.created, n.found = t, true
		}
	case "# trusted":
		n.trusted = value == "true"
		n.found = n.found || n.trusted
	}
}

func (n *notes) setAlias(s string) {
	if s != "" {
		n.alias, n.named, n.found = strings.ToValidUTF8(s, "\ufffd"), true, true
	}
}

// append writes the notes in our dialect.
func (n *notes) append(out []byte) []byte {
	if n.named {
		out = append(out, "# alias: "...)
		out = append(out, quoteAlias(n.alias)...)
		out = append(out, '\n')
	}
	if n.localKeyID != nil {
		out = append(out, "# localKeyID: "...)
		out = hex.AppendEncode(out, n.localKeyID)
		out = append(out, '\n')
	}
	if !n.created.IsZero() {
		out = append(out, "# created: "...)
		out = n.created.UTC().AppendFormat(out, time.RFC3339Nano)
		out = append(out, '\n')
	}
	if n.trusted {
		out = append(out, "# trusted: true\n"...)
	}
	return out
}

// quoteAlias returns the alias as it is where a line can carry it, else in
// quotes. Dashes never make up what looks like a BEGIN line.
func quoteAlias(alias string) string {
	plain := alias != "" && alias == strings.TrimSpace(alias) && alias[0] != '"' &&
		utf8.ValidString(alias) && !strings.Contains(alias, "--")
	for _, r := range alias {
		plain = plain && unicode.IsPrint(r)
	}
	if plain {
		return alias
	}
	return strings.ReplaceAll(strconv.Quote(alias), "--", `-\x2d`)
}
