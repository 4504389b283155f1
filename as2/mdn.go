package as2

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/smime"
)

// mdn is the content of a message disposition notification (RFC 4130 section 7.4, RFC 8098).
type mdn struct {
	from, to    string // of the notification: from the receiver of the message
	original    string // Message-ID
	disposition Disposition
	mic         MIC    // zero for none
	micName     string // the sender's spelling
	text        string
}

// reportingUA names the product in receipts.
const reportingUA = "TrustKeep"

// entity writes the notification as a MIME entity, multipart/report.
func (m mdn) entity() []byte {
	var b bytes.Buffer
	boundary := rand.Text()
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=disposition-notification; boundary=\"%s\"\r\n\r\n", boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n%s\r\n", boundary, m.text)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: message/disposition-notification\r\nContent-Transfer-Encoding: 7bit\r\n\r\n", boundary)
	fmt.Fprintf(&b, "Reporting-UA: %s\r\nOriginal-Recipient: rfc822; %s\r\nFinal-Recipient: rfc822; %s\r\nOriginal-Message-ID: %s\r\n",
		reportingUA, quoteName(m.from), quoteName(m.from), m.original)
	fmt.Fprintf(&b, "Disposition: automatic-action/MDN-sent-automatically; %v\r\n", m.disposition)
	if m.mic.Hash != 0 {
		name := m.micName
		if name == "" {
			name = hashName(m.mic.Hash, false)
		}
		fmt.Fprintf(&b, "Received-Content-MIC: %s, %s\r\n", base64.StdEncoding.EncodeToString(m.mic.Digest), name)
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes()
}

// sign signs a notification, as multipart/signed. A nil identity leaves it as it is.
func signMDN(entity []byte, id trustkeep.Identity, o cms.SignOptions, old bool) ([]byte, error) {
	if id == nil {
		return entity, nil
	}
	var b bytes.Buffer
	if err := (smime.SignOptions{CMS: o, OldMicalg: old}).Sign(&b, bytes.NewReader(entity), id); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// splitEntity reads the header of an entity.
func splitEntity(r io.Reader) (textproto.MIMEHeader, *bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 256<<10) // pieces as package smime writes them
	h, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil && (err != io.EOF || len(h) == 0) {
		if err == io.EOF || errors.As(err, new(textproto.ProtocolError)) {
			err = fmt.Errorf("header of an entity: %w", trustkeep.ErrCorrupt)
		}
		return nil, nil, err
	}
	return h, in, nil
}

// readMDN reads an entity that is a notification, signed or not. The error wraps
// trustkeep.ErrCorrupt for what is none.
func readMDN(entity []byte, verify cms.VerifyOptions) (r *Receipt, unverified error, err error) {
	var inner bytes.Buffer
	read := smime.ReadOptions{Verify: verify, AllowUnsigned: true, MaxLayers: 2}
	m, err := read.Read(&inner, bytes.NewReader(entity))
	for _, other := range misread(entity, err) {
		inner.Reset()
		var otherErr error
		if m, otherErr = read.Read(&inner, bytes.NewReader(other)); otherErr == nil {
			err = nil
			break
		}
	}
	if err != nil {
		// What it claims is of use to a person, though nobody vouches for it.
		unverified = err
		claimed := claimedMDN(entity)
		if claimed == nil {
			return nil, unverified, nil
		}
		inner.Reset()
		inner.Write(claimed)
	}
	if r, err = parseReport(inner.Bytes()); err != nil {
		if unverified != nil {
			return nil, unverified, nil
		}
		return nil, nil, err
	}
	if m != nil {
		for _, l := range m.Layers {
			if l.Verified != nil {
				r.Signers = append(r.Signers, l.Verified.Signers...)
			}
		}
	}
	return r, unverified, nil
}

// misread returns other readings of a receipt whose signature is over something else: products
// differ in whether the line end before a delimiter is signed (RFC 2046 section 5.1.1 says no). One
// of them counts only when its signature does, and it is what is then read.
func misread(entity []byte, err error) [][]byte {
	var signer *cms.SignerError
	if !errors.As(err, &signer) || !errors.Is(err, trustkeep.ErrCorrupt) {
		return nil
	}
	h, _, err := splitEntity(bytes.NewReader(entity))
	if err != nil {
		return nil
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil
	}
	delimiter := []byte("\r\n--" + params["boundary"])
	_, body, ok := bytes.Cut(entity, []byte("\r\n\r\n"))
	if !ok {
		return nil
	}
	start := len(entity) - len(body)
	if !bytes.HasPrefix(body, delimiter[2:]) {
		first := bytes.Index(body, delimiter)
		if first < 0 {
			return nil
		}
		start += first + 2
	}
	end := bytes.Index(entity[start:], delimiter)
	if end < 0 {
		return nil
	}
	end += start
	var out [][]byte
	if shorter, ok := bytes.CutSuffix(entity[:end], []byte("\r\n")); ok {
		out = append(out, slices.Concat(shorter, entity[end:]))
	}
	return append(out, slices.Concat(entity[:end], []byte("\r\n"), entity[end:]))
}

// claimedMDN returns the first part of multipart/signed; nil for what is none.
func claimedMDN(entity []byte) []byte {
	h, body, err := splitEntity(bytes.NewReader(entity))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "multipart/signed" {
		return nil
	}
	part, err := multipart.NewReader(body, params["boundary"]).NextRawPart()
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: %s\r\n\r\n", part.Header.Get("Content-Type"))
	if _, err := io.Copy(&b, part); err != nil {
		return nil
	}
	return b.Bytes()
}

// maxReportParts bounds the parts of multipart/report, which has two or three.
const maxReportParts = 10

// parseReport reads multipart/report (RFC 6522).
func parseReport(entity []byte) (*Receipt, error) {
	corrupt := func(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }
	h, body, err := splitEntity(bytes.NewReader(entity))
	if err != nil {
		return nil, corrupt("receipt without a header")
	}
	contentType, err := field(h, "Content-Type")
	if err != nil {
		return nil, err
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/report" || params["boundary"] == "" {
		return nil, corrupt("receipt of type " + trustkeep.Printable(contentType))
	}
	// Those of report-type that are not there are taken for ours: some products forget it.
	if t := strings.ToLower(params["report-type"]); t != "" && t != "disposition-notification" {
		return nil, corrupt("report of type " + trustkeep.Printable(t))
	}
	var r *Receipt
	text := ""
	parts := multipart.NewReader(body, params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil || n == maxReportParts {
			return nil, corrupt("parts of the receipt")
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		var content io.Reader = part
		switch strings.ToLower(part.Header.Get("Content-Transfer-Encoding")) {
		case "base64":
			content = base64.NewDecoder(base64.StdEncoding, part)
		case "quoted-printable":
			content = quotedprintable.NewReader(part)
		}
		data, err := io.ReadAll(content)
		if err != nil {
			return nil, corrupt("a part of the receipt")
		}
		switch kind {
		case "text/plain", "":
			if text == "" {
				text = trustkeep.Printable(strings.TrimSpace(string(data)))
			}
		case "message/disposition-notification":
			if r != nil { // readers would differ in which counts
				return nil, corrupt("receipt with two notifications")
			}
			if r, err = parseNotification(data); err != nil {
				return nil, err
			}
		}
	}
	if r == nil {
		return nil, corrupt("report without a notification")
	}
	r.Text = text
	return r, nil
}

// parseNotification reads the fields of message/disposition-notification.
func parseNotification(data []byte) (*Receipt, error) {
	// Products end it with or without empty lines, and begin it with some.
	data = append(bytes.Trim(data, "\r\n"), "\r\n\r\n"...)
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(data))).ReadMIMEHeader()
	if err != nil {
		return nil, fmt.Errorf("fields of the receipt: %w", trustkeep.ErrCorrupt)
	}
	var value [3]string
	for i, name := range []string{"Original-Message-Id", "Disposition", "Received-Content-Mic"} {
		if value[i], err = field(h, name); err != nil {
			return nil, err
		}
	}
	r := &Receipt{MessageID: value[0]}
	if r.MessageID != "" && checkMessageID(r.MessageID) != nil {
		return nil, fmt.Errorf("Original-Message-ID %s: %w", trustkeep.Printable(r.MessageID), trustkeep.ErrCorrupt)
	}
	if r.Disposition, err = parseDisposition(value[1]); err != nil {
		return nil, err
	}
	if value[2] != "" {
		if r.MIC, err = parseMIC(value[2]); err != nil && r.Disposition.Processed() {
			return nil, err
		}
	}
	return r, nil
}

// hash returns the first digest of the list that is known; zero for none.
func (r receiptRequest) hash() crypto.Hash {
	for _, name := range r.hashes {
		if h := parseHash(name); h != 0 {
			return h
		}
	}
	return 0
}
