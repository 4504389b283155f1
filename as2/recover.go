package as2

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Recover continues with the messages that the journal holds and that were not delivered or
// answered: call it when the program starts, and at intervals where receipts are sent to URLs. It
// returns the errors of all that could not be completed; they remain for the next call.
func (h Handler) Recover(ctx context.Context) error {
	if h.Partners == nil || h.Journal == nil || h.Deliver == nil {
		return wrap("recover", fmt.Errorf("no Partners, Journal or Deliver: %w", trustkeep.ErrInvalid))
	}
	keys, err := h.Journal.Pending(ctx)
	errs := []error{err}
	for _, key := range keys {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if err := h.recover(ctx, key); err != nil {
			errs = append(errs, wrap("recover", fmt.Errorf("message %s from %s: %w", trustkeep.Printable(key.ID), trustkeep.Printable(key.From), err)))
		}
	}
	return errors.Join(errs...)
}

func (h Handler) recover(ctx context.Context, key Key) error {
	in, err := h.Partners(ctx, key.From, key.To)
	if err != nil {
		return err
	}
	entry, err := h.Journal.Open(ctx, key)
	if err != nil {
		return err
	}
	defer entry.Close()
	receipt, _, err := h.complete(ctx, in, entry)
	if err != nil {
		return err
	}
	url := entry.Record().Receipt.URL
	if url == "" {
		return nil
	}
	if !slices.Contains(in.ReceiptURLs, url) {
		return fmt.Errorf("receipt URL that is no longer agreed: %w", trustkeep.ErrRejected)
	}
	if err := h.sendReceipt(ctx, in, key, url, receipt); err != nil {
		return err
	}
	return entry.SetSent()
}
