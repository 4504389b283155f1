package ber

// Octets returns the value of an OCTET STRING, or of another string type or
// implicitly tagged string that consists of octets. The pieces of a
// constructed string (X.690 section 8.7.3) are joined; a primitive one is not
// copied.
func (e Element) Octets() ([]byte, error) {
	if !e.Constructed {
		return e.Content, nil
	}
	if e.der {
		return nil, corrupt("constructed string")
	}
	return e.appendOctets(make([]byte, 0, len(e.Content)), e.depth)
}

func (e Element) appendOctets(out []byte, depth int) ([]byte, error) {
	in := Input{rest: e.Content, depth: depth}
	for !in.Empty() {
		piece, err := in.Next()
		if err != nil {
			return nil, err
		}
		// Pieces of a restricted character string may be tagged as such or
		// as OCTET STRING (X.690 section 8.23.6).
		if piece.Tag != OctetString && piece.Tag != e.Tag {
			return nil, corrupt("foreign element in a constructed string")
		}
		if !piece.Constructed {
			out = append(out, piece.Content...)
			continue
		}
		if out, err = piece.appendOctets(out, depth-1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// isString reports whether a universal tag is a string type made of octets,
// which DER wants primitive.
func isString(t Tag) bool {
	switch t {
	case OctetString, UTF8String, 18, PrintableString, T61String, 21, IA5String, 23, 24, 25, 26, 27, 28, BMPString:
		return true
	}
	return false
}
