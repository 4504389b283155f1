#!/bin/sh
# Makes the fixtures of this folder anew. Needs keytool (JDK 17) and openssl 3.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f ./*.jks ./*.p12 ./*.pem ./*.p7b ./*.cer
ca() { # alias, common name
	keytool -genkeypair -alias "$1" -dname "CN=$2" -keyalg EC -groupname secp256r1 -validity 36500 -ext bc:c=ca:true \
		-keystore "$work/ca.p12" -storepass changeit 2>/dev/null
	keytool -exportcert -rfc -alias "$1" -keystore "$work/ca.p12" -storepass changeit -file "$work/$1.pem" 2>/dev/null
}
ca alpha "Alpha CA"
ca beta "Beta CA"

# Trust stores of two certificates under the aliases alpha and beta.
for type in jks pkcs12; do
	for name in alpha beta; do
		keytool -importcert -noprompt -alias "$name" -file "$work/$name.pem" -storetype "$type" \
			-keystore "$work/trust.$type" -storepass changeit 2>/dev/null
	done
done
mv "$work/trust.jks" trust.jks; mv "$work/trust.pkcs12" trust.p12
for name in alpha beta; do
	keytool -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE -importcert -noprompt \
		-alias "$name" -file "$work/$name.pem" -storetype pkcs12 -keystore passwordless.p12 -storepass changeit 2>/dev/null
done
cat "$work/alpha.pem" "$work/beta.pem" > trust.pem
openssl crl2pkcs7 -nocrl -certfile trust.pem -outform DER -out trust.p7b
openssl x509 -in "$work/alpha.pem" -outform DER -out alpha.cer
openssl x509 -in "$work/alpha.pem" -addtrust serverAuth -out openssl-trusted.pem

# A keystore: the key "server" with its chain of three, and the trusted entry beta.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=Partner Root CA" -days 36500 -keyout "$work/root.key" -out "$work/root.pem" 2>/dev/null
issue() { # name, subject, issuer, extension
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
	printf '%s\n' "$4" > "$work/ext"
	openssl x509 -req -in "$work/$1.csr" -CA "$work/$3.pem" -CAkey "$work/$3.key" -CAcreateserial -days 36500 -extfile "$work/ext" -out "$work/$1.pem" 2>/dev/null
}
issue sub "Partner Issuing CA" root "basicConstraints=critical,CA:TRUE"
issue leaf "server.example" sub "subjectAltName=DNS:server.example"
openssl pkcs12 -export -name server -inkey "$work/leaf.key" -in "$work/leaf.pem" -certfile "$work/sub.pem" -out "$work/key.p12" -passout pass:changeit
cat "$work/root.pem" >> "$work/sub.pem"
openssl pkcs12 -export -name server -inkey "$work/leaf.key" -in "$work/leaf.pem" -certfile "$work/sub.pem" -out keys.p12 -passout pass:changeit
cp keys.p12 mixed.p12
keytool -importcert -noprompt -alias beta -file "$work/beta.pem" -storetype pkcs12 -keystore mixed.p12 -storepass changeit 2>/dev/null

# A trust store without entries.
cp trust.jks empty.jks
keytool -delete -alias alpha -keystore empty.jks -storepass changeit 2>/dev/null
keytool -delete -alias beta -keystore empty.jks -storepass changeit 2>/dev/null
