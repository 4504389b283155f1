#!/bin/bash
# Makes the fixtures of this folder with OpenSSH 9.2. Run it in an empty folder.
set -euo pipefail
gen() { ssh-keygen -q -f "$@"; }
gen rsa -t rsa -b 2048 -N '' -C 'rsa comment'
gen ecdsa256 -t ecdsa -b 256 -N '' -C 'user@host'
gen ecdsa384 -t ecdsa -b 384 -N '' -C ''
gen ecdsa521 -t ecdsa -b 521 -N '' -C 'ünïcode 鍵'
gen ed25519 -t ed25519 -N '' -C 'user@host'
gen dsa -t dsa -N '' -C 'old'
for k in rsa ecdsa256 ed25519 dsa; do
  cp $k $k-secret; cp $k.pub $k-secret.pub; ssh-keygen -q -p -P '' -N secret -f $k-secret
done
cp ed25519 ed25519-cbc; cp ed25519.pub ed25519-cbc.pub; ssh-keygen -q -p -P '' -N secret -Z aes256-cbc -f ed25519-cbc
cp ed25519 ed25519-gcm; cp ed25519.pub ed25519-gcm.pub; ssh-keygen -q -p -P '' -N secret -Z aes256-gcm@openssh.com -f ed25519-gcm
# One round of bcrypt, so that a test can afford every bit of them.
for c in 3des-cbc aes256-ctr aes256-gcm@openssh.com chacha20-poly1305@openssh.com; do
  f=damage-${c%%@*}; cp ed25519 $f; cp ed25519.pub $f.pub; ssh-keygen -q -p -P '' -N secret -a 1 -Z $c -f $f
done
# File, fingerprint, and the SHA-256 of PKCS#8 where OpenSSH writes that.
for k in $(ls | grep -v '\.pub$\|\.txt$'); do
  p=$(case $k in *-*) echo secret;; esac)
  cp $k p8.tmp
  if ssh-keygen -q -p -m PKCS8 -P "$p" -N '' -f p8.tmp >/dev/null 2>&1 && openssl pkcs8 -topk8 -nocrypt -in p8.tmp -outform DER -out der.tmp 2>/dev/null; then
    h=$(sha256sum < der.tmp | cut -c1-64)
  else h=-; fi
  echo $k $(ssh-keygen -lf $k.pub | cut -d' ' -f2) $h
done > keys.txt
rm -f *.tmp *.pub
