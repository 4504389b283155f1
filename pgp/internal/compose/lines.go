package compose

// lineEndings turns LF into CR LF, RFC 9580 section 5.9, in text that comes in pieces.
type lineEndings struct {
	cr  bool // the last byte was a CR, and not the second of two, as go-crypto hashes text
	buf []byte
}

// network returns the piece with its line endings changed, valid until the next call.
func (l *lineEndings) network(p []byte) []byte {
	out := l.buf[:0]
	for _, b := range p {
		if b == '\n' && !l.cr {
			out = append(out, '\r')
		}
		l.cr = b == '\r' && !l.cr
		out = append(out, b)
	}
	l.buf = out
	return out
}
