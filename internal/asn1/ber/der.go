package ber

// DER returns the element with lengths and strings encoded as DER wants them.
// An element that is encoded so already is returned as it is, not copied. The
// order of SETs and the values of primitive elements are left alone, and so
// are implicitly tagged strings, which cannot be told from other constructed
// elements.
func (e Element) DER() ([]byte, error) {
	ok, err := e.isDER(e.depth)
	if err != nil {
		return nil, err
	}
	if ok {
		return e.Full, nil
	}
	return e.appendDER(nil, e.depth)
}

// isDER reports whether the framing is DER all the way down. Malformed content
// is an error.
func (e Element) isDER(depth int) (bool, error) {
	if _, err := readHeader(e.Full, true); err != nil || e.Constructed && isString(e.Tag) {
		return false, nil
	}
	if !e.Constructed {
		return true, nil
	}
	in := Input{rest: e.Content, depth: depth}
	for !in.Empty() {
		child, err := in.Next()
		if err != nil {
			return false, err
		}
		if ok, err := child.isDER(depth - 1); !ok {
			return false, err
		}
	}
	return true, nil
}

func (e Element) appendDER(out []byte, depth int) ([]byte, error) {
	content := e.Content
	constructed := e.Constructed
	switch {
	case constructed && isString(e.Tag):
		var err error
		if content, err = e.appendOctets(nil, depth); err != nil {
			return nil, err
		}
		constructed = false
	case constructed:
		content = nil
		in := Input{rest: e.Content, depth: depth}
		for !in.Empty() {
			child, err := in.Next()
			if err != nil {
				return nil, err
			}
			if content, err = child.appendDER(content, depth-1); err != nil {
				return nil, err
			}
		}
	}
	return append(appendHeader(out, e.Tag, constructed, len(content)), content...), nil
}

func appendHeader(out []byte, t Tag, constructed bool, length int) []byte {
	first := byte(t>>classShift) << 6
	if constructed {
		first |= 0x20
	}
	number := t &^ (3 << classShift)
	if number < 0x1f {
		out = append(out, first|byte(number))
	} else {
		out = append(out, first|0x1f)
		for shift := 21; shift > 0; shift -= 7 {
			if number>>shift != 0 {
				out = append(out, 0x80|byte(number>>shift)&0x7f)
			}
		}
		out = append(out, byte(number)&0x7f)
	}
	return AppendLength(out, length)
}

// AppendLength appends the length octets of DER for a content of n bytes.
func AppendLength(out []byte, n int) []byte {
	if n < 0x80 {
		return append(out, byte(n))
	}
	size := 1
	for n>>(8*size) != 0 {
		size++
	}
	out = append(out, 0x80|byte(size))
	for i := size - 1; i >= 0; i-- {
		out = append(out, byte(n>>(8*i)))
	}
	return out
}
