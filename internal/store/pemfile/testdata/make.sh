#!/bin/bash
# Makes the fixtures of this folder with OpenSSL 3.0. Run it in an empty folder.
set -euo pipefail
P=secret
key() { openssl genpkey -quiet "$@" 2>/dev/null || openssl genpkey "$@" 2>/dev/null; }

# Private keys in every spelling.
key -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa-pkcs8.pem
key -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsapss-pkcs8.pem
key -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec-pkcs8.pem
key -algorithm ED25519 -out ed25519-pkcs8.pem
key -algorithm ED448 -out ed448-pkcs8.pem
key -algorithm X25519 -out x25519-pkcs8.pem
key -algorithm X448 -out x448-pkcs8.pem
openssl dsaparam -out dsa.param 1024 2>/dev/null
key -paramfile dsa.param -out dsa-pkcs8.pem
openssl rsa -in rsa-pkcs8.pem -traditional -out rsa-pkcs1.pem 2>/dev/null
openssl dsa -in dsa-pkcs8.pem -out dsa-traditional.pem 2>/dev/null
openssl ecparam -name prime256v1 -genkey -out ec-sec1-with-parameters.pem
for c in secp224r1 secp384r1 secp521r1 secp256k1 brainpoolP256r1 brainpoolP384t1; do
  openssl ecparam -name $c -genkey -noout -out ec-$c-sec1.pem
  openssl pkcs8 -topk8 -nocrypt -in ec-$c-sec1.pem -out ec-$c-pkcs8.pem
done
openssl ecparam -name prime256v1 -param_enc explicit -genkey -noout -out ec-explicit-sec1.pem
openssl pkcs8 -topk8 -nocrypt -in ec-explicit-sec1.pem -out ec-explicit-pkcs8.pem

# Encrypted ones.
for c in des des3 aes128 aes192 aes256; do
  openssl rsa -in rsa-pkcs8.pem -traditional -$c -passout pass:$P -out rsa-pkcs1-$c.pem -provider default -provider legacy 2>/dev/null
done
openssl ec -in ec-pkcs8.pem -aes128 -passout pass:$P -out ec-sec1-aes128.pem 2>/dev/null
for c in camellia128 camellia192 camellia256 aria128 aria192 aria256 seed; do
  openssl ec -in ec-pkcs8.pem -$c -passout pass:$P -out ec-sec1-$c.pem -provider default -provider legacy 2>/dev/null
done
openssl dsa -in dsa-pkcs8.pem -aes256 -passout pass:$P -out dsa-traditional-aes256.pem 2>/dev/null
openssl pkcs8 -topk8 -in rsa-pkcs8.pem -passout pass:$P -out rsa-pkcs8-pbes2.pem
openssl pkcs8 -topk8 -in ec-pkcs8.pem -v2 aes128 -v2prf hmacWithSHA512 -iter 5000 -passout pass:$P -out ec-pkcs8-sha512.pem
openssl pkcs8 -topk8 -in ec-pkcs8.pem -scrypt -scrypt_N 1024 -passout pass:$P -out ec-pkcs8-scrypt.pem
openssl pkcs8 -topk8 -in ec-pkcs8.pem -v1 PBE-SHA1-3DES -passout pass:$P -out ec-pkcs8-pbes1.pem

# What OpenSSL makes of each: file, password, SHA-256 of PKCS#8 and of the
# public key in DER.
for f in *.pem; do
  openssl pkcs8 -topk8 -nocrypt -in $f -passin pass:$P -outform DER -out p8.tmp -provider default -provider legacy
  openssl pkey -inform DER -in p8.tmp -pubout -outform DER -out pub.tmp
  grep -q ENCRYPTED $f && p=$P || p=-
  echo $f $p $(sha256sum < p8.tmp | cut -c1-64) $(sha256sum < pub.tmp | cut -c1-64)
done > keys.txt
rm -f *.tmp dsa.param

# A chain of three, a revocation list, and what OpenSSL wraps them in.
newca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.k -out $1.c -days 36500 -subj "/O=TrustKeep/CN=$2" 2>/dev/null; }
sign() { # name, subject, issuer, CA
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.k -out $1.r -subj "$2" 2>/dev/null
  openssl x509 -req -in $1.r -CA $3.c -CAkey $3.k -CAcreateserial -days 36500 -out $1.c \
    -extfile <(echo "basicConstraints=critical,CA:$4") 2>/dev/null
}
newca root "Test Root"
sign sub "/O=TrustKeep/CN=Test Intermediate" root TRUE
sign leaf "/O=TrustKeep/CN=www.example.com" sub FALSE
cat leaf.k leaf.c sub.c root.c > chain.bundle
cat root.c leaf.c sub.c leaf.k > shuffled.bundle
openssl pkcs8 -topk8 -in leaf.k -passout pass:$P > leaf.ek
cat leaf.ek leaf.c sub.c root.c > encrypted.bundle
openssl pkcs12 -export -in leaf.c -inkey leaf.k -certfile <(cat sub.c root.c) -name "Web Server" -caname "Sub CA" -caname "Root CA" -passout pass:$P -out t.p12
openssl pkcs12 -in t.p12 -passin pass:$P -nodes -out pkcs12-nodes.bundle
openssl pkcs12 -in t.p12 -passin pass:$P -passout pass:$P -out pkcs12-encrypted.bundle
openssl x509 -in root.c -trustout -setalias "My Root" -addtrust serverAuth -out trusted.bundle
openssl x509 -in root.c -trustout -addreject serverAuth -out rejected.bundle
openssl x509 -in root.c -trustout -out trusted-without-settings.bundle
touch index.txt; echo 01 > crlnumber
openssl ca -gencrl -keyfile root.k -cert root.c -crldays 36500 -out crl.bundle -config <(printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n') 2>/dev/null
openssl crl2pkcs7 -in crl.bundle -certfile chain.bundle -out pkcs7.bundle
cp leaf.r request.bundle
openssl pkey -in leaf.k -pubout -out publickey.bundle
cat root.c sub.c > certificates.bundle
openssl x509 -in root.c -text > text.bundle
rm -f *.k *.c *.r *.ek *.srl t.p12 index.txt* crlnumber*
