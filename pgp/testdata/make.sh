#!/bin/sh
# Makes the GnuPG fixtures of this folder. See README.md.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d /tmp/tkfixXXXX); export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
g() { gpg --batch --yes --no-tty --pinentry-mode loopback --passphrase '' --trust-model always "$@"; }
key() { # name, key lines; extra arguments for gpg
	name=$1; lines=$2; shift 2
	printf '%s\nName-Real: %s\nName-Email: %s@example.com\n%%no-protection\n%%commit\n' "$lines" "$name" "$name" |
		g --faked-system-time 20250101T000000! "$@" --generate-key
}
nl='
'
key ed25519 "Key-Type: EDDSA${nl}Key-Curve: ed25519${nl}Key-Usage: sign${nl}Subkey-Type: ECDH${nl}Subkey-Curve: cv25519${nl}Expire-Date: 0"
key rsa "Key-Type: RSA${nl}Key-Length: 2048${nl}Key-Usage: sign${nl}Subkey-Type: RSA${nl}Subkey-Length: 2048${nl}Subkey-Usage: encrypt${nl}Expire-Date: 0"
key nistp256 "Key-Type: ECDSA${nl}Key-Curve: nistp256${nl}Key-Usage: sign${nl}Subkey-Type: ECDH${nl}Subkey-Curve: nistp256${nl}Expire-Date: 0"
key brainpool "Key-Type: ECDSA${nl}Key-Curve: brainpoolP256r1${nl}Key-Usage: sign${nl}Subkey-Type: ECDH${nl}Subkey-Curve: brainpoolP256r1${nl}Expire-Date: 0"
key dsa "Key-Type: DSA${nl}Key-Length: 2048${nl}Subkey-Type: ELG-E${nl}Subkey-Length: 2048${nl}Expire-Date: 0"
key expired "Key-Type: EDDSA${nl}Key-Curve: ed25519${nl}Key-Usage: sign${nl}Subkey-Type: ECDH${nl}Subkey-Curve: cv25519${nl}Expire-Date: 20250201T000000"
key revoked "Key-Type: EDDSA${nl}Key-Curve: ed25519${nl}Key-Usage: sign${nl}Subkey-Type: ECDH${nl}Subkey-Curve: cv25519${nl}Expire-Date: 0"
key sha1 "Key-Type: RSA${nl}Key-Length: 2048${nl}Key-Usage: sign${nl}Subkey-Type: RSA${nl}Subkey-Length: 2048${nl}Subkey-Usage: encrypt${nl}Expire-Date: 0" --cert-digest-algo SHA1
key subkeys "Key-Type: EDDSA${nl}Key-Curve: ed25519${nl}Key-Usage: cert${nl}Expire-Date: 0"
fpr() { gpg --batch --with-colons --list-keys "$1@example.com" | awk -F: '/^fpr/{print $10; exit}'; }
for use in "ed25519 sign never" "cv25519 encr never" "ed25519 auth never" "cv25519 encr 20250301T000000"; do
	set -- $use
	g --faked-system-time 20250102T000000! --quick-add-key "$(fpr subkeys)" "$1" "$2" "$3"
done
sed 's/^:---/---/' "$GNUPGHOME/openpgp-revocs.d/$(fpr revoked).rev" | g --faked-system-time 20250103T000000! --import
for k in ed25519 rsa nistp256 brainpool dsa expired revoked sha1 subkeys; do
	g --armor --export "$k@example.com" >"gpg-${k}_pub.asc"
	gpg --batch --with-colons --fixed-list-mode --with-subkey-fingerprint --list-keys "$k@example.com" >"gpg-${k}.colons"
done
g --armor --export-secret-keys ed25519@example.com >gpg-ed25519_priv.asc
printf 'hello\n' >hello.txt
for k in ed25519 rsa dsa; do
	g -u "$k@example.com" --detach-sign -o "gpg-$k.sig" hello.txt
done
g -u sha1@example.com --digest-algo SHA1 --detach-sign -o gpg-sha1.sig hello.txt
g -u ed25519@example.com --armor --detach-sign -o gpg-ed25519.sig.asc hello.txt
g -u ed25519@example.com --clear-sign -o gpg-ed25519-clear.msg.asc hello.txt
g -u ed25519@example.com --sign -o gpg-signed.gpg hello.txt
g --faked-system-time 20250102T000000! -u expired@example.com --detach-sign -o gpg-expired.sig hello.txt
for k in ed25519 rsa nistp256 brainpool dsa; do
	g -r "$k@example.com" -r ed25519@example.com --encrypt -o "gpg-to-$k.gpg" hello.txt
done
g -u rsa@example.com -r ed25519@example.com --armor --sign --encrypt -o gpg-both.msg.asc hello.txt
g -r ed25519@example.com --compress-algo bzip2 --encrypt -o gpg-bzip2.gpg hello.txt
g -r ed25519@example.com --rfc2440 --cipher-algo AES256 --disable-mdc --encrypt -o gpg-no-mdc.gpg hello.txt
gpg --batch --yes --pinentry-mode loopback --passphrase password --symmetric -o gpg-symmetric.gpg hello.txt
