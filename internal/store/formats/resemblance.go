package formats

import (
	"bytes"
	"unicode/utf8"
)

// lookalikes are the beginnings of what people hand in by mistake.
var lookalikes = []struct{ prefix, what string }{
	{"<!doctype html", "an HTML page"},
	{"<html", "an HTML page"},
	{"<?xml", "an XML document"},
	{"version https://git-lfs", "a Git LFS pointer instead of the file"},
	{"pk\x03\x04", "a ZIP archive"},
	{"\x1f\x8b", "a gzip file"},
	{"7z\xbc\xaf", "a 7z archive"},
	{"%pdf-", "a PDF document"},
	{"\x7felf", "a program"},
	{"sqlite format 3", "an SQLite database, such as NSS's cert9.db; export it with pk12util"},
	{"\x00\x06\x15\x61", "a Berkeley DB, such as NSS's cert8.db; export it with pk12util"},
	{"putty-user-key-file", "a PuTTY key; export it in OpenSSH format"},
	{"---- begin ssh2", "an SSH2 public key"},
	{"ssh-", "an SSH public key"},
	{"ecdsa-sha2-", "an SSH public key"},
	{"sk-ssh-", "an SSH public key"},
	{"age-secret-key-", "an age key"},
	{"age-encryption.org/", "a file encrypted with age"},
	{"$ansible_vault", "an Ansible vault"},
	{"salted__", "a file encrypted with openssl enc"},
	{"certificate:", "the text of a certificate without the certificate"},
	{"{", "JSON"},
	{"\xff\xfe", "text in UTF-16 without PEM"},
	{"\xfe\xff", "text in UTF-16 without PEM"},
	{"\x99\x01", "a binary OpenPGP key"},
	{"\x99\x02", "a binary OpenPGP key"},
	{"\x99\x03", "a binary OpenPGP key"},
	{"\x99\x00", "a binary OpenPGP key"},
	{"\x98", "a binary OpenPGP key"},
	{"\xc6", "a binary OpenPGP key"},
	{"\xc5", "a binary OpenPGP key"},
	{"\x95", "a binary OpenPGP key"},
}

// resemblance says for an error what data looks like.
func resemblance(data []byte) string {
	if len(data) == 0 {
		return "empty input"
	}
	const look = 512
	head := data[:min(len(data), look)]
	lower := bytes.ToLower(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	// ToLower replaces bytes that are no UTF-8, which binary prefixes have.
	trimmed := bytes.TrimLeft(lower, " \t\r\n")
	for _, l := range lookalikes {
		if bytes.HasPrefix(trimmed, []byte(l.prefix)) || bytes.HasPrefix(head, []byte(l.prefix)) {
			return "not a key store but " + l.what
		}
	}
	switch {
	case len(bytes.Trim(data, "\x00")) == 0:
		return "nothing but zero bytes"
	case head[0] == 0x30 && len(head) > 1 && head[1] > 0x20:
		return "truncated or unknown ASN.1"
	case isText(head):
		return "text without a PEM block"
	}
	return "unknown format"
}

// isText reports whether head has no control characters.
func isText(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && len(head) >= utf8.UTFMax || r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
		head = head[n:]
	}
	return true
}
