#!/bin/sh
# Makes the odd fixtures of this folder with GnuPG and rnp, from the keys that make.sh made. See README.md.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d /tmp/tkfixXXXX); export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
g() { gpg --batch --yes --no-tty --pinentry-mode loopback --passphrase password --trust-model always --s2k-count 65536 "$@"; }
printf 'Key-Type: ECDSA\nKey-Curve: secp256k1\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: secp256k1\nExpire-Date: 0\nName-Real: secp256k1\nName-Email: secp256k1@example.com\n%%no-protection\n%%commit\n' |
	g --faked-system-time 20250101T000000! --generate-key
g --armor --export secp256k1@example.com >gpg-secp256k1_pub.asc
gpg --batch --with-colons --fixed-list-mode --with-subkey-fingerprint --list-keys secp256k1@example.com >gpg-secp256k1.colons
g -u secp256k1@example.com --detach-sign -o gpg-secp256k1.sig hello.txt
for k in *_pub.asc; do case $k in gpg-*) gpg --batch --quiet --import "$k";; esac; done
cp "$GNUPGHOME/pubring.kbx" gpg-pubring.kbx
gpg --batch --quiet --import gpg-ed25519_priv.asc
printf 'one\ntwo  \nthree' >lines.txt
g -u ed25519@example.com --textmode --sign -o gpg-textmode-signed.gpg lines.txt
g -u ed25519@example.com -r ed25519@example.com --textmode --sign --encrypt -o gpg-textmode.gpg lines.txt
g -u ed25519@example.com --textmode --detach-sign -o gpg-textmode.sig lines.txt
g -r ed25519@example.com --textmode --encrypt -o gpg-textmode-unsigned.gpg lines.txt
for c in BLOWFISH TWOFISH CAMELLIA128 CAMELLIA256 IDEA; do
	g -r ed25519@example.com --cipher-algo $c --encrypt -o "gpg-$c.gpg" hello.txt
	g --cipher-algo $c --symmetric -o "gpg-symmetric-$c.gpg" hello.txt
done
for c in CAST5 3DES; do
	g --cipher-algo $c --symmetric -o "gpg-symmetric-$c.gpg" hello.txt
done
g --cipher-algo CAST5 --rfc2440 --disable-mdc --symmetric -o gpg-symmetric-CAST5-no-mdc.gpg hello.txt
for c in TWOFISH CAMELLIA192; do
	rnp -c --cipher $c --aead=OCB --password password --overwrite --output "rnp-aead-$c.gpg" hello.txt
done
rnp -c --aead=EAX --password password --overwrite --output rnp-aead-eax.gpg hello.txt
rnp -c --aead=OCB --password password --overwrite --output rnp-aead-ocb.gpg hello.txt
printf 'first\npassword\n' | rnp -c --aead=OCB --passwords 2 --pass-fd 0 --overwrite --output rnp-aead-two.gpg hello.txt
