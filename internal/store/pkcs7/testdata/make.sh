#!/bin/bash
# Makes the fixtures of this folder with OpenSSL 3.0. Run it in an empty folder.
set -euo pipefail
newca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.k -out $1.c -days 36500 -subj "/O=TrustKeep/CN=$2" 2>/dev/null; }
newca a "Root A"
newca b "Root B"
touch index.txt; echo 01 > crlnumber
openssl ca -gencrl -keyfile a.k -cert a.c -crldays 36500 -out crl.pem -config <(printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n') 2>/dev/null
openssl crl2pkcs7 -nocrl -certfile <(cat a.c b.c) -outform DER -out certs.p7b
openssl crl2pkcs7 -nocrl -certfile <(cat a.c b.c) -out certs-pem.p7b
openssl crl2pkcs7 -in crl.pem -certfile a.c -outform DER -out cert-and-crl.p7b
openssl crl2pkcs7 -in crl.pem -outform DER -out crl.p7b
# A signed message in BER, with indefinite lengths and a constructed string.
echo hello | openssl cms -sign -stream -nodetach -signer a.c -inkey a.k -certfile b.c -outform DER -out signed-ber.p7m
echo hello | openssl cms -encrypt -outform DER -out enveloped.p7m a.c 2>/dev/null || echo hello | openssl smime -encrypt -outform DER -out enveloped.p7m a.c
rm -f *.k *.c *.pem index.txt* crlnumber*
