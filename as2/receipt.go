package as2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/trustkeep/trustkeep"
)

// entityOf puts the header fields of an entity before the body of HTTP.
func entityOf(h http.Header, body io.Reader) (io.Reader, error) {
	var b bytes.Buffer
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"} {
		value, err := field(h, name)
		if err != nil {
			return nil, err
		}
		if value != "" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString("\r\n")
	return io.MultiReader(&b, body), nil
}

// readReceipt reads a receipt, in the answer or in a request of its own, and checks it.
func (p Partner) readReceipt(ctx context.Context, h http.Header, body io.Reader, most int64, sent Sent) (*Receipt, error) {
	fail := func(code trustkeep.Code, r *Receipt, err error) (*Receipt, error) {
		return r, &ReceiptError{Code: code, Receipt: r, Err: err}
	}
	entity, err := entityOf(h, io.LimitReader(body, most+1))
	if err != nil {
		return fail(CodeMalformed, nil, err)
	}
	raw, err := io.ReadAll(entity)
	if err != nil {
		return nil, wrap("receipt", err)
	}
	if int64(len(raw)) > most {
		return fail(CodeMalformed, nil, fmt.Errorf("receipt of more than %d bytes: %w", most, trustkeep.ErrLimit))
	}
	verify := p.Verifying
	verify.Trust, verify.Context, verify.AnyPurpose = p.Trust, ctx, true
	if p.Clock != nil {
		verify.Clock = p.Clock
	}
	r, unverified, err := readMDN(raw, verify)
	if err != nil {
		return fail(CodeMalformed, nil, err)
	}
	if r != nil {
		r.Raw, r.Sent = raw, sent
	}
	if unverified != nil {
		return fail(CodeSignature, r, unverified)
	}
	if p.Receipt == SignedReceipt && len(r.Signers) == 0 {
		return fail(CodeUnsigned, r, fmt.Errorf("unsigned receipt (%v) where a signed one was asked for: %w", r.Disposition, trustkeep.ErrCorrupt))
	}
	// From and to whom it is, where it says so.
	for name, want := range map[string]string{"AS2-From": sent.To, "AS2-To": sent.From} {
		value, err := field(h, name)
		if err != nil {
			return fail(CodeOtherMessage, r, err)
		}
		if value == "" {
			continue
		}
		if got, err := parseName(value); err != nil || got != want {
			return fail(CodeOtherMessage, r, fmt.Errorf("%s of the receipt is %s instead of %s: %w",
				name, trustkeep.Printable(value), trustkeep.Printable(want), trustkeep.ErrCorrupt))
		}
	}
	if !sameID(r.MessageID, sent.MessageID) {
		return fail(CodeOtherMessage, r, fmt.Errorf("receipt for message %s instead of %s: %w",
			trustkeep.Printable(r.MessageID), trustkeep.Printable(sent.MessageID), trustkeep.ErrCorrupt))
	}
	d := r.Disposition
	if !d.Processed() && !(d.Type == "processed" && d.Modifier == "warning") {
		return fail(CodeNotProcessed, r, fmt.Errorf("disposition %v: %w", d, trustkeep.ErrRejected))
	}
	same := false
	for _, m := range sent.MICs {
		same = same || m.equal(r.MIC)
	}
	if !same {
		stated := r.MIC.String()
		if stated == "" {
			stated = "none"
		}
		return fail(CodeWrongMIC, r, fmt.Errorf("the receipt's MIC (%s) is not that of what was sent (%v): %w", stated, sent.MICs, trustkeep.ErrCorrupt))
	}
	if !d.Processed() {
		return fail(CodeWarning, r, fmt.Errorf("disposition %v: %w", d, trustkeep.ErrRejected))
	}
	return r, nil
}
