package pgp

// lineEndings turns CR LF into LF in text that comes in pieces, RFC 9580 section 5.9.
type lineEndings struct {
	cr  bool // the piece before ended in a CR that has not been handed out
	buf []byte
}

// unix returns the piece with its line endings changed. It does not change p, which is
// still to be hashed; the result is valid until the next call.
func (l *lineEndings) unix(p []byte, last bool) []byte {
	out := l.buf[:0]
	for _, b := range p {
		if l.cr && b != '\n' {
			out = append(out, '\r')
		}
		if l.cr = b == '\r'; !l.cr {
			out = append(out, b)
		}
	}
	if l.cr && last {
		out = append(out, '\r')
	}
	l.buf = out
	return out
}
