#!/bin/bash
# Makes the fixtures of this folder; see README.md. Run it in an empty folder
# next to WriteBC.java. Every run makes other keys.
set -eu
exec 2>generate.log
KT="keytool -noprompt -storetype PKCS12 -storepass changeit"
EC="-keyalg EC -groupname secp256r1 -validity 36500"

# --- keytool (JDK 17) ---
# A CA hierarchy in stores of its own; leaves signed by the intermediate.
$KT -keystore ca.ks -genkeypair -alias root $EC -dname "CN=Test Root" -ext bc:c
$KT -keystore ca.ks -genkeypair -alias inter $EC -dname "CN=Test Intermediate" -ext bc:c
$KT -keystore ca.ks -exportcert -rfc -alias root -file root.pem
$KT -keystore ca.ks -certreq -alias inter | $KT -keystore ca.ks -gencert -rfc -alias root -ext bc:c -validity 36500 >inter.pem
cat root.pem inter.pem >chain.pem
$KT -keystore ca.ks -importcert -alias inter -file chain.pem
leaf() { # store alias
  $KT -keystore "$1" -genkeypair -alias "$2" $EC -dname "CN=$2.example"
  $KT -keystore "$1" -certreq -alias "$2" | $KT -keystore ca.ks -gencert -rfc -alias inter -validity 36500 >leaf.pem
  cat leaf.pem inter.pem root.pem >full.pem
  $KT -keystore "$1" -importcert -alias "$2" -file full.pem
}
$KT -keystore keytool-one.p12 -genkeypair -alias one $EC -dname "CN=one.example"
leaf keytool-chains.p12 First
leaf keytool-chains.p12 second
# Key beside trusted entries; the CA imported before the key is made.
$KT -keystore keytool-mixed.p12 -importcert -alias "Trusted Root" -file root.pem
leaf keytool-mixed.p12 server
$KT -keystore keytool-mixed.p12 -importcert -alias zwischen-ä-パス -file inter.pem
$KT -keystore keytool-legacy.p12 -J-Dkeystore.pkcs12.legacy -genkeypair -alias old $EC -dname "CN=old.example"
$KT -keystore keytool-secret.p12 -genkeypair -alias key $EC -dname "CN=key.example"
$KT -keystore keytool-secret.p12 -genseckey -alias aes -keyalg AES -keysize 128
for a in root inter; do
  $KT -keystore keytool-trust.p12 -importcert -alias $a -file $a.pem
  $KT -keystore keytool-passwordless.p12 -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE -importcert -alias $a -file $a.pem
done
$KT -keystore keytool-sha384.p12 -J-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA384 -J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA384AndAES_256 -J-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithHmacSHA224AndAES_128 -genkeypair -alias sha $EC -dname "CN=sha.example"

# --- OpenSSL 3.0 ---
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=openssl root" -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=openssl leaf" -keyout leaf.key -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 36500 -out leaf.pem
ossl() { f=$1; shift; openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile ca.pem -out "openssl-$f.p12" -passout pass:changeit "$@"; }
ossl default -name "My Leaf" -caname "The Root"
ossl unnamed
ossl legacy -legacy -name leaf
ossl sha512 -macalg sha512 -keypbe AES-128-CBC -certpbe AES-192-CBC -name leaf
ossl certnone -certpbe NONE -name leaf
ossl bothnone -certpbe NONE -keypbe NONE -name leaf
ossl nomac -nomac -name leaf
ossl nomac-plain -nomac -certpbe NONE -keypbe NONE -name leaf
ossl csp -CSP "Microsoft Base" -LMK -name leaf
ossl camellia -keypbe CAMELLIA-256-CBC -name leaf
ossl camellia-certs -certpbe CAMELLIA-256-CBC -name leaf
ossl sha3 -macalg sha3-256 -name leaf
for a in PBE-SHA1-RC4-128 PBE-SHA1-RC4-40 PBE-SHA1-2DES PBE-SHA1-RC2-128 PBE-SHA1-RC2-40 PBE-SHA1-3DES DES-EDE3-CBC; do
  ossl $a -keypbe $a -certpbe $a -provider legacy -provider default -name leaf
done
ossl empty -name leaf -passout pass:
ossl umlaut -name leaf -passout pass:pässwörd
ossl emoji -name leaf -passout pass:pass😀
ossl iter1 -iter 1 -name leaf
openssl pkcs12 -export -nokeys -in leaf.pem -certfile ca.pem -out openssl-nokeys.p12 -passout pass:changeit
openssl pkcs12 -export -nocerts -inkey leaf.key -out openssl-nocerts.p12 -passout pass:changeit -name lonely
openssl ecparam -genkey -name secp256k1 -noout -out k1.key
openssl req -x509 -key k1.key -days 36500 -subj "/CN=secp256k1" -out k1.pem
openssl pkcs12 -export -inkey k1.key -in k1.pem -name k1 -out openssl-secp256k1.p12 -passout pass:changeit

# --- NSS ---
mkdir nss
certutil -N -d nss --empty-password
openssl pkcs12 -export -inkey leaf.key -in leaf.pem -certfile ca.pem -name nssleaf -caname nssca -out tmp.p12 -passout pass:changeit
pk12util -d nss -i tmp.p12 -W changeit
pk12util -d nss -o nss-default.p12 -n nssleaf -W changeit
pk12util -d nss -o nss-aes-sha384.p12 -n nssleaf -W changeit -c AES-256-CBC -C AES-128-CBC -M SHA-384
pk12util -d nss -o nss-3des.p12 -n nssleaf -W changeit -c "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC" -C "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC"
pk12util -d nss -o nss-plaincerts.p12 -n nssleaf -W changeit -C NONE

# --- GnuTLS ---
gtls() { f=$1; shift; certtool --to-p12 --outder --load-privkey leaf.key --load-certificate leaf.pem --outfile "gnutls-$f.p12" "$@"; }
gtls default --p12-name leaf --password changeit
gtls ca --load-ca-certificate ca.pem --p12-name leaf --password changeit
gtls rc2 --p12-name leaf --password changeit --pkcs-cipher rc2-40
gtls null --p12-name leaf --null-password
gtls empty --p12-name leaf --empty-password

# --- BouncyCastle ---
cp="/usr/share/java/bcprov.jar:/usr/share/java/bcpkix.jar:/usr/share/java/bcutil.jar"
javac -cp "$cp" -d bc WriteBC.java
java -cp "$cp:bc" WriteBC keytool-chains.p12

rm -rf nss bc *.ks *.pem *.key *.csr tmp.p12 generate.log
