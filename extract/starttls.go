package extract

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// Protocol is one that turns to TLS in the middle of a connection.
type Protocol string

// The protocols.
const (
	FTP  Protocol = "ftp"  // AUTH TLS, RFC 4217
	SMTP Protocol = "smtp" // STARTTLS, RFC 3207
	IMAP Protocol = "imap" // STARTTLS, RFC 9051 section 6.2.1
	LDAP Protocol = "ldap" // StartTLS, RFC 4511 section 4.14
)

func (p Protocol) check() error {
	switch p {
	case FTP, SMTP, IMAP, LDAP:
		return nil
	}
	return fmt.Errorf("STARTTLS for %q: %w", trustkeep.Printable(string(p)), trustkeep.ErrInvalid)
}

// StartTLS asks the server to turn to TLS, up to the point where the handshake
// begins. Deadlines are the caller's. What a server may say before that is
// bounded: 64 KiB in all.
//
// It fails with trustkeep.ErrInvalid for an unknown protocol, with
// trustkeep.ErrUnsupported for a server that declines, with trustkeep.ErrCorrupt for one that breaks the protocol or
// sends more than its answer (which would be taken for words said under TLS,
// CVE-2011-0411), and with trustkeep.ErrLimit for one that does not come to an end.
func StartTLS(conn net.Conn, protocol Protocol) error {
	if err := protocol.check(); err != nil {
		return err
	}
	bounded := &io.LimitedReader{R: conn, N: maxPreamble}
	d := &dialogue{r: bufio.NewReaderSize(bounded, maxLine), w: conn}
	var err error
	switch protocol {
	case FTP:
		err = d.ftp()
	case SMTP:
		err = d.smtp()
	case IMAP:
		err = d.imap()
	case LDAP:
		err = d.ldap()
	}
	if err != nil && bounded.N <= 0 {
		err = fmt.Errorf("%w: more than %d bytes before TLS", trustkeep.ErrLimit, maxPreamble)
	}
	if err == nil && d.r.Buffered() > 0 {
		err = fmt.Errorf("%w: more than an answer before TLS", trustkeep.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", protocol, err)
	}
	return nil
}

const (
	maxPreamble = 64 << 10
	maxLine     = 8 << 10
)

// dialogue is the part before TLS.
type dialogue struct {
	r *bufio.Reader
	w io.Writer
}

func (d *dialogue) say(line string) error {
	_, err := io.WriteString(d.w, line+"\r\n")
	return err
}

func (d *dialogue) line() (string, error) {
	line, err := d.r.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		return "", fmt.Errorf("%w: line of more than %d bytes", trustkeep.ErrLimit, maxLine)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// reply reads a reply of FTP or SMTP, which may have several lines: all but the
// last have a hyphen after the code, or in FTP anything (RFC 959 section 4.2).
func (d *dialogue) reply() (code string, lines []string, err error) {
	for {
		l, err := d.line()
		if err != nil {
			return "", nil, err
		}
		lines = append(lines, l)
		if code == "" {
			if len(l) < 3 || strings.Trim(l[:3], "0123456789") != "" {
				return "", nil, fmt.Errorf("%w: %q is not a reply", trustkeep.ErrCorrupt, excerpt(l))
			}
			code = l[:3]
			if len(l) > 3 && l[3] == '-' {
				continue
			}
			return code, lines, nil
		}
		if strings.HasPrefix(l, code) && (len(l) == 3 || l[3] == ' ') {
			return code, lines, nil
		}
	}
}

// expect reads a reply and refuses any other code.
func (d *dialogue) expect(want string) ([]string, error) {
	code, lines, err := d.reply()
	if err != nil {
		return nil, err
	}
	if code != want {
		return nil, fmt.Errorf("%w: the server says %q", trustkeep.ErrUnsupported, excerpt(lines[len(lines)-1]))
	}
	return lines, nil
}

// excerpt is the beginning of what a server said, fit to be printed.
func excerpt(line string) string { return trustkeep.Printable(line[:min(len(line), 200)]) }

func (d *dialogue) ftp() error {
	if _, err := d.expect("220"); err != nil {
		return err
	}
	if err := d.say("AUTH TLS"); err != nil {
		return err
	}
	_, err := d.expect("234")
	return err
}

func (d *dialogue) smtp() error {
	if _, err := d.expect("220"); err != nil {
		return err
	}
	if err := d.say("EHLO localhost"); err != nil {
		return err
	}
	if _, err := d.expect("250"); err != nil {
		return err
	}
	if err := d.say("STARTTLS"); err != nil {
		return err
	}
	_, err := d.expect("220")
	return err
}

func (d *dialogue) imap() error {
	greeting, err := d.line()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		return fmt.Errorf("%w: the server says %q", trustkeep.ErrUnsupported, excerpt(greeting))
	}
	const tag = "a1"
	if err := d.say(tag + " STARTTLS"); err != nil {
		return err
	}
	for {
		l, err := d.line()
		if err != nil {
			return err
		}
		if strings.HasPrefix(l, "*") {
			continue
		}
		if strings.HasPrefix(strings.ToUpper(l), strings.ToUpper(tag)+" OK") {
			return nil
		}
		return fmt.Errorf("%w: the server says %q", trustkeep.ErrUnsupported, excerpt(l))
	}
}

// startTLSRequest is LDAPMessage 1 with the ExtendedRequest
// 1.3.6.1.4.1.1466.20037.
const startTLSRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"

func (d *dialogue) ldap() error {
	if _, err := io.WriteString(d.w, startTLSRequest); err != nil {
		return err
	}
	message, err := d.element()
	if err != nil {
		return err
	}
	code, err := ldapResult(message)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%w: the server answers with result code %d", trustkeep.ErrUnsupported, code)
	}
	return nil
}

// element reads one element of BER with a definite length.
func (d *dialogue) element() ([]byte, error) {
	data := make([]byte, 2, 64)
	if _, err := io.ReadFull(d.r, data); err != nil {
		return nil, err
	}
	n := int(data[1])
	if n >= 0x80 {
		size := n - 0x80
		if size == 0 || size > 4 {
			return nil, fmt.Errorf("%w: not an LDAP message", trustkeep.ErrCorrupt)
		}
		length := make([]byte, size)
		if _, err := io.ReadFull(d.r, length); err != nil {
			return nil, err
		}
		data = append(data, length...)
		n = 0
		for _, b := range length {
			n = n<<8 | int(b)
			if n > maxLine {
				return nil, fmt.Errorf("%w: LDAP message of more than %d bytes", trustkeep.ErrLimit, maxLine)
			}
		}
	}
	start := len(data)
	data = append(data, make([]byte, n)...)
	_, err := io.ReadFull(d.r, data[start:])
	return data, err
}

// ldapResult finds the resultCode of an ExtendedResponse: SEQUENCE { messageID,
// [APPLICATION 24] { resultCode ENUMERATED, ... } }.
func ldapResult(message []byte) (code int, err error) {
	const (
		application24 = ber.Tag(0b01<<30 | 24)
		enumerated    = ber.Tag(10)
	)
	in := ber.New(message, ber.Rules{MaxDepth: 8})
	outer, err := in.Read(ber.Sequence)
	if err != nil {
		return 0, err
	}
	fields, err := outer.Children()
	if err != nil {
		return 0, err
	}
	if _, err := fields.Read(ber.Integer); err != nil {
		return 0, err
	}
	response, err := fields.Read(application24)
	if err != nil {
		return 0, err
	}
	if fields, err = response.Children(); err != nil {
		return 0, err
	}
	result, err := fields.Read(enumerated)
	if err != nil {
		return 0, err
	}
	if len(result.Content) != 1 {
		return 0, fmt.Errorf("%w: LDAP result code", trustkeep.ErrCorrupt)
	}
	return int(result.Content[0]), nil
}
