// Package smime signs, seals and compresses MIME entities as S/MIME (RFC 8551, RFC 3274) does,
// and undoes it, in any order and depth, on streams of any size.
//
// An entity is a MIME header, an empty line and a body, byte for byte: what was signed is what
// comes out. Each step takes an entity and writes an entity, so steps follow one another:
//
//	var signed bytes.Buffer
//	err := smime.SignOptions{}.Sign(&signed, entity, id)
//	err = smime.SealOptions{}.Seal(out, &signed, partner)
//
// and one call reads them all:
//
//	o := smime.ReadOptions{Identities: []trustkeep.Identity{id}, Verify: cms.VerifyOptions{Trust: trust}}
//	message, err := o.Read(file, in)
//
// # What counts
//
// What Read writes is known to be whole and genuine only when it returns without an error.
// Write it to a file and throw that away otherwise; do not show it before. A message must be
// signed, unless ReadOptions.AllowUnsigned is set; who signed is in Message.Layers. Header
// fields outside of the entity that was signed, such as the subject of a mail, are not
// verified.
//
// What is sealed in CBC mode can be changed by whoever carries it. Errors show no header fields
// of what was sealed. That a message failed, and when, still tells a little about what is in it:
// a service that answers strangers answers alike, see cms.OpenOptions.Open.
//
// # Line ends
//
// RFC 8551 section 3.1.1 signs text with CRLF at the end of lines. Lines that end with LF alone
// get CRLF, when writing and when verifying, unless the entity says
// "Content-Transfer-Encoding: binary". What Read writes is what was signed.
//
// The entity's header is the caller's to write, "MIME-Version: 1.0" among the header fields of
// a mail too. Package cms has the messages inside.
package smime
