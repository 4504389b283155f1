#!/bin/bash
# Makes the stores of this folder with OpenSSL and BouncyCastle (bcprov, bcutil, bcpkix). Run it here.
set -euo pipefail
lib=/usr/share/java
class=$lib/bcprov.jar:$lib/bcutil.jar:$lib/bcpkix.jar
work=$(mktemp -d)
trap 'rm -rf $work' EXIT
out=$PWD
javac -cp $class -d $work Products.java
cd $work
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj "/CN=Products Test CA" -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=products.example" -keyout leaf.key -out leaf.csr
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 36500 -outform DER -out leaf.der
openssl x509 -in ca.pem -outform DER -out ca.der
openssl pkcs8 -topk8 -nocrypt -in leaf.key -outform DER -out key.der
java -Dorg.bouncycastle.bks.enable_v1=true -cp $class:$work Products
cp -- *.der *.pfx *.p12 *.bks *.bcfks *.uber "$out"
