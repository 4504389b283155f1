// Package as2 exchanges business documents by AS2 (RFC 4130): messages over HTTP that are signed,
// compressed and sealed, and receipts by which the receiver signs what it has received.
//
// Most programs need six names. To send, Partner, Message and Receipt:
//
//	p := as2.Partner{
//		From: "us", To: "them", URL: "https://them.example/as2", Transport: transport, // of tlsctx
//		Identity:  id,                                                       // signs
//		Recipient: func() (*x509.Certificate, error) { return theirs, nil }, // seals
//		Trust:     truststore.New(theirs),                                   // of receipts
//	}
//	receipt, err := p.Send(ctx, as2.Message{Content: as2.Content{Body: file, ContentType: "application/edi-x12"}})
//
// And to receive, Handler, Inbound and a Journal:
//
//	journal, err := as2.OpenJournal("/var/lib/as2", as2.JournalOptions{})
//	h := as2.Handler{Partners: lookup, Journal: journal, Deliver: deliver}
//	err = h.Recover(ctx)
//	http.Handle("/as2", h)
//
// # What counts
//
// A message was sent when Send returns no error: its receipt is signed by a certificate of
// Partner.Trust, names the message, states the MIC of what was sent, and says "processed" and
// nothing else. Everything else is a *ReceiptError with a code.
//
// A message was received when it is signed by a certificate of Inbound.Trust and was encrypted.
// Put the partner's own certificates there and no authority: whoever is trusted there can write in
// the partner's name. partner.Live follows certificates that change.
//
// Whatever is wrong with a message that is refused, the answer is the same, and comes after the
// same time, so that nobody learns by trying what a changed message opens to (RFC 3218). The reason
// is for Handler.OnFailure. With Inbound.AllowUnsigned that cannot be had: what opens is then
// accepted.
//
// # Once
//
// A Journal keeps what was received, so that a message is delivered once however often it is sent
// and whenever the program ends: the content is durable first, then the Message-ID and the MIC,
// then Handler.Deliver is called, then the receipt is made durable and sent. A repeated message gets
// the receipt that is stored; one with the same Message-ID and another MIC is refused. If the
// program ends while a message is delivered, it is delivered once more, with Received.Repeated.
//
// # MIC
//
// The MIC (RFC 4130 section 7.3.1, RFC 5402 section 4) is the digest of what was signed. Of a
// message without a signature it is that of the MIME entity inside, as it was opened and
// decompressed; of one that is not even that, it is the digest of the body of HTTP.
//
// Contents are sent as binary entities, byte for byte, so that line ends do not matter.
package as2
