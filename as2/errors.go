package as2

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// The codes of ReceiptError: why a receipt does not say that the message was processed.
const (
	CodeMalformed    trustkeep.Code = "receipt-malformed"     // it is no MDN
	CodeUnsigned     trustkeep.Code = "receipt-unsigned"      // a signed one was asked for
	CodeSignature    trustkeep.Code = "receipt-signature"     // its signature does not count
	CodeOtherMessage trustkeep.Code = "receipt-other-message" // it is for another message or from another partner
	CodeWrongMIC     trustkeep.Code = "receipt-wrong-mic"     // the partner has received something else
	CodeNotProcessed trustkeep.Code = "receipt-not-processed" // its disposition is an error or a failure
	CodeWarning      trustkeep.Code = "receipt-warning"       // the message was processed, with a warning
)

// ReceiptError says why a receipt does not count. The message may have arrived all the same: send
// it again under its Message-ID.
type ReceiptError struct {
	Code trustkeep.Code
	// Receipt is what was read of it; nil where it is malformed. Under CodeUnsigned and
	// CodeSignature it is nobody's word, otherwise the partner's.
	Receipt *Receipt
	// Err is the cause. It wraps trustkeep.ErrRejected for CodeNotProcessed and CodeWarning,
	// and trustkeep.ErrCorrupt or the error of package cms otherwise.
	Err error
}

// Error says what is wrong, and with which disposition.
func (e *ReceiptError) Error() string {
	return fmt.Sprintf("as2: receipt does not count (%s): %v", e.Code, e.Err)
}

// Unwrap returns Err.
func (e *ReceiptError) Unwrap() error { return e.Err }

// StatusError says that a server has answered with another status than success. It wraps
// trustkeep.ErrRejected.
type StatusError struct {
	Status int
	// Text is the beginning of what the server has said, in printable form.
	Text string
}

// Error names the status and the text.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("as2: the server has answered with HTTP status %d", e.Status)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Unwrap returns trustkeep.ErrRejected.
func (e *StatusError) Unwrap() error { return trustkeep.ErrRejected }

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &trustkeep.Error{Op: "as2: " + op, Err: err}
}
