package truststore

import "runtime"

// systemFiles are where distributions keep the bundle of roots: the first that
// can be read counts. Of systemFolders all are read. Both are those of
// crypto/x509 (root_linux.go), so that what is listed here is what crypto/tls
// trusts.
func systemFiles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7 and later
		"/etc/ssl/cert.pem",                                 // Alpine
	}
}

func systemFolders() []string {
	folders := []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
	if runtime.GOOS == "android" {
		folders = append(folders, "/system/etc/security/cacerts", "/data/misc/keychain/certs-added")
	}
	return folders
}
