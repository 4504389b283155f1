package as2

import (
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Disposition is what a receiver says to have become of a message (RFC 4130 section 7.4.3, RFC
// 8098 section 3.2.6).
type Disposition struct {
	// Type is "processed" or "failed", in lower case.
	Type string `json:"type"`
	// Modifier is "error", "warning" or "failure", in lower case; empty for a message that was
	// processed without any. Text is what it says, such as "authentication-failed", in
	// printable form.
	Modifier string `json:"modifier,omitempty"`
	Text     string `json:"text,omitempty"`
}

// Texts of modifiers.
const (
	authenticationFailed = "authentication-failed"
	processingError      = "unexpected-processing-error"
	unsupportedFormat    = "unsupported format"
	unsupportedMIC       = "unsupported MIC-algorithms"
)

var processed = Disposition{Type: "processed"}

func failure(text string) Disposition {
	return Disposition{Type: "processed", Modifier: "error", Text: text}
}

// Processed reports whether the message was processed, and nothing else is said.
func (d Disposition) Processed() bool { return d == processed }

// String returns "processed" or "processed/error: authentication-failed".
func (d Disposition) String() string {
	s := d.Type
	if d.Modifier != "" {
		s += "/" + d.Modifier
	}
	if d.Text != "" {
		s += ": " + d.Text
	}
	return s
}

// parseDisposition reads "automatic-action/MDN-sent-automatically; processed/error: text".
func parseDisposition(value string) (Disposition, error) {
	corrupt := fmt.Errorf("disposition %s: %w", trustkeep.Printable(value), trustkeep.ErrCorrupt)
	mode, rest, ok := strings.Cut(value, ";")
	if !ok || !strings.Contains(mode, "/") {
		return Disposition{}, corrupt
	}
	head, text, hasText := rest, "", false
	if i := strings.IndexAny(rest, ":="); i >= 0 { // libas2 writes "failed/failure=text"
		head, text, hasText = rest[:i], rest[i+1:], true
	}
	kind, modifier, hasModifier := strings.Cut(head, "/")
	d := Disposition{
		Type:     strings.ToLower(strings.TrimSpace(kind)),
		Modifier: strings.ToLower(strings.TrimSpace(modifier)),
		Text:     trustkeep.Printable(strings.TrimSpace(text)),
	}
	if d.Type == "" || len(head) > 100 || hasModifier && d.Modifier == "" || hasText && !hasModifier {
		return Disposition{}, corrupt
	}
	d.Type, d.Modifier = trustkeep.Printable(d.Type), trustkeep.Printable(d.Modifier)
	return d, nil
}

// receiptRequest is what Disposition-Notification-Options asks for (RFC 4130 section 7.3).
type receiptRequest struct {
	signed bool
	hashes []string // names in the order of preference
	// unsupported is what is required and not known here; empty for nothing.
	unsupported string
}

func parseReceiptRequest(value string) receiptRequest {
	var r receiptRequest
	for option := range strings.SplitSeq(value, ";") {
		name, list, _ := strings.Cut(option, "=")
		var values []string
		for v := range strings.SplitSeq(list, ",") {
			if v = strings.ToLower(strings.Trim(strings.TrimSpace(v), `"`)); v != "" {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			continue
		}
		required := values[0] == "required"
		if required || values[0] == "optional" {
			values = values[1:]
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "signed-receipt-protocol":
			for _, v := range values {
				r.signed = r.signed || v == "pkcs7-signature" || v == "x-pkcs7-signature"
			}
			if required && !r.signed {
				r.unsupported = unsupportedFormat
			}
		case "signed-receipt-micalg":
			r.hashes = values
			if required && r.hash() == 0 {
				r.unsupported = unsupportedMIC
			}
		default:
			if required {
				r.unsupported = unsupportedFormat
			}
		}
	}
	return r
}
