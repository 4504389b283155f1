package as2

import (
	"crypto"
	"mime"
	"net/http"
	"net/textproto"
	"time"
)

const (
	version  = "1.2"
	features = "multiple-attachments"
)

// setCommon sets the header fields of messages and receipts.
func setCommon(h http.Header, from, to, id string, now time.Time) {
	h.Set("AS2-Version", version)
	h.Set("EDIINT-Features", features)
	h.Set("AS2-From", quoteName(from))
	h.Set("AS2-To", quoteName(to))
	h.Set("Message-ID", id)
	h.Set("MIME-Version", "1.0")
	h.Set("User-Agent", reportingUA)
	h.Set("Date", now.UTC().Format(http.TimeFormat))
}

// setEntity sets the fields of an entity whose body is that of HTTP.
func setEntity(h http.Header, entity textproto.MIMEHeader) {
	h.Set("Content-Type", entity.Get("Content-Type"))
	if d := entity.Get("Content-Disposition"); d != "" {
		h.Set("Content-Disposition", d)
	}
	// HTTP is binary; what says so confuses some.
	if e := entity.Get("Content-Transfer-Encoding"); e != "" && e != "binary" {
		h.Set("Content-Transfer-Encoding", e)
	}
}

func (p Partner) setHeader(h http.Header, m Message, entity textproto.MIMEHeader) {
	setCommon(h, p.From, p.To, m.ID, p.now())
	setEntity(h, entity)
	subject := m.Subject
	if subject == "" {
		subject = "AS2 message"
	}
	h.Set("Subject", mime.QEncoding.Encode("utf-8", subject))
	if p.Receipt == NoReceipt {
		return
	}
	h.Set("Disposition-Notification-To", quoteName(p.From))
	if p.Receipt == SignedReceipt {
		h.Set("Disposition-Notification-Options", "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, "+p.micName())
	}
	if p.ReceiptURL != "" {
		h.Set("Receipt-Delivery-Option", p.ReceiptURL)
	}
}

// micName is the digest that the receipt is asked for: that of the signature.
func (p Partner) micName() string {
	h := crypto.SHA256
	if !p.Unsigned {
		if used, err := p.Signing.Hashes(p.Identity); err == nil && len(used) > 0 {
			h = used[0]
		}
	}
	return hashName(h, p.OldMicalg)
}
