//go:build freebsd || openbsd || netbsd || dragonfly

package truststore

// systemFiles and systemFolders are those of crypto/x509 (root_bsd.go), see
// system_linux.go.
func systemFiles() []string {
	return []string{
		"/usr/local/etc/ssl/cert.pem",            // FreeBSD
		"/etc/ssl/cert.pem",                      // OpenBSD
		"/usr/local/share/certs/ca-root-nss.crt", // DragonFly
		"/etc/openssl/certs/ca-certificates.crt", // NetBSD
	}
}

func systemFolders() []string {
	return []string{"/etc/ssl/certs", "/usr/local/share/certs", "/etc/openssl/certs"}
}
