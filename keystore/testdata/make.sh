#!/usr/bin/env bash
# Makes the stores of this folder with keytool and openssl, and truth.txt: what
# Java's KeyStore says about each of them. Needs a JDK and openssl.
#   ./make.sh
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C.UTF-8
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f ./*.p12 ./*.jks ./*.jceks ./*.pem truth.txt

J="-J-Duser.language=en"
kt() { keytool $J "$@" 2>/dev/null; }
days=36500

# A CA, an intermediate and what they sign: chains of three.
kt -genkeypair -alias root -dname "CN=TrustKeep Test Root" -ext bc:c=ca:true -keyalg EC -groupname secp256r1 -validity $days -keystore $work/ca.p12 -storepass changeit
kt -genkeypair -alias inter -dname "CN=TrustKeep Test Intermediate" -ext bc:c=ca:true,pathlen:0 -keyalg EC -groupname secp256r1 -validity $days -keystore $work/ca.p12 -storepass changeit -signer root
kt -exportcert -alias root -rfc -keystore $work/ca.p12 -storepass changeit > $work/root.pem
kt -exportcert -alias inter -rfc -keystore $work/ca.p12 -storepass changeit > $work/inter.pem

# sign STORE TYPE ALIAS STOREPASS KEYPASS: replaces the self-signed certificate by a chain of three.
sign() {
  local store=$1 type=$2 alias=$3 pass=$4 keypass=$5
  kt -certreq -alias "$alias" -keystore "$store" -storetype "$type" -storepass "$pass" -keypass "$keypass" > $work/csr
  kt -gencert -alias inter -keystore $work/ca.p12 -storepass changeit -infile $work/csr -rfc -validity $days \
     -ext san=dns:localhost,ip:127.0.0.1 -ext eku=serverAuth,clientAuth > $work/leaf.pem
  cat $work/leaf.pem $work/inter.pem $work/root.pem > $work/reply.pem
  kt -importcert -noprompt -alias "$alias" -keystore "$store" -storetype "$type" -storepass "$pass" -keypass "$keypass" -file $work/reply.pem
}
gen() { # STORE TYPE ALIAS STOREPASS KEYPASS ALG... (extra keytool options)
  local store=$1 type=$2 alias=$3 pass=$4 keypass=$5; shift 5
  kt -genkeypair -alias "$alias" -dname "CN=$alias" -validity $days -keystore "$store" -storetype "$type" -storepass "$pass" -keypass "$keypass" "$@"
}
truth=()   # STORE TYPE PASS [ALIAS=KEYPASS]...
note() { truth+=("$*"); }

# keytool: three keys with chains of three, two key types
for a in server client; do gen keytool-three.p12 PKCS12 $a changeit changeit -keyalg EC -groupname secp256r1; sign keytool-three.p12 PKCS12 $a changeit changeit; done
gen keytool-three.p12 PKCS12 rsa changeit changeit -keyalg RSA -keysize 2048; sign keytool-three.p12 PKCS12 rsa changeit changeit
note keytool-three.p12 PKCS12 changeit

# a trusted entry beside a key, and a CA that was imported before the key
gen keytool-mixed.p12 PKCS12 mine changeit changeit -keyalg EC -groupname secp384r1
kt -importcert -noprompt -alias partner -file $work/root.pem -keystore keytool-mixed.p12 -storepass changeit
note keytool-mixed.p12 PKCS12 changeit
kt -importcert -noprompt -alias ca -file $work/root.pem -keystore keytool-ca-first.p12 -storetype PKCS12 -storepass changeit
gen keytool-ca-first.p12 PKCS12 server changeit changeit -keyalg EC -groupname secp256r1; sign keytool-ca-first.p12 PKCS12 server changeit changeit
note keytool-ca-first.p12 PKCS12 changeit

# what JDK 8 wrote
J="-J-Duser.language=en -J-Dkeystore.pkcs12.legacy"
gen keytool-legacy.p12 PKCS12 old changeit changeit -keyalg EC -groupname secp256r1; sign keytool-legacy.p12 PKCS12 old changeit changeit
J="-J-Duser.language=en"
note keytool-legacy.p12 PKCS12 changeit

# trust stores: protected, and without any password
for f in inter root; do kt -importcert -noprompt -alias $f -file $work/$f.pem -keystore keytool-trust.p12 -storetype PKCS12 -storepass changeit; done
note keytool-trust.p12 PKCS12 changeit
J="-J-Duser.language=en -J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE -J-Dkeystore.pkcs12.macAlgorithm=NONE"
for f in inter root; do kt -importcert -noprompt -alias $f -file $work/$f.pem -keystore keytool-passwordless.p12 -storetype PKCS12 -storepass changeit; done
J="-J-Duser.language=en"
note keytool-passwordless.p12 PKCS12 -
kt -importcert -noprompt -alias root -file $work/root.pem -keystore keytool-trust.jks -storetype JKS -storepass changeit
note keytool-trust.jks JKS changeit

# aliases outside ASCII
gen keytool-alias.p12 PKCS12 "schlüssel 鍵" changeit changeit -keyalg EC -groupname secp256r1
note keytool-alias.p12 PKCS12 changeit
gen keytool-alias.jks JKS "schlüssel 鍵" changeit changeit -keyalg EC -groupname secp256r1
note keytool-alias.jks JKS changeit

# a secret key beside a private key
gen keytool-secret.p12 PKCS12 mine changeit changeit -keyalg EC -groupname secp256r1
kt -genseckey -alias aes -keyalg AES -keysize 256 -keystore keytool-secret.p12 -storetype PKCS12 -storepass changeit
note keytool-secret.p12 PKCS12 changeit

# keys with passwords of their own
gen keytool-two.jks JKS first storepass firstpass -keyalg EC -groupname secp256r1; sign keytool-two.jks JKS first storepass firstpass
gen keytool-two.jks JKS second storepass storepass -keyalg RSA -keysize 2048
kt -importcert -noprompt -alias ca -file $work/root.pem -keystore keytool-two.jks -storetype JKS -storepass storepass
note keytool-two.jks JKS storepass first=firstpass
gen keytool-two.jceks JCEKS first storepass firstpass -keyalg EC -groupname secp256r1
note keytool-two.jceks JCEKS storepass first=firstpass

# 20 keys, for benchmarks
for i in $(seq -w 20); do gen keytool-20.p12 PKCS12 key$i changeit changeit -keyalg RSA -keysize 2048; done
note keytool-20.p12 PKCS12 changeit
gen keytool-1.p12 PKCS12 only changeit changeit -keyalg RSA -keysize 2048
note keytool-1.p12 PKCS12 changeit

# openssl: modern and legacy, a chain, names for the CA certificates
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $work/k.pem 2>/dev/null
openssl req -new -key $work/k.pem -subj /CN=openssl -out $work/csr
kt -gencert -alias inter -keystore $work/ca.p12 -storepass changeit -infile $work/csr -rfc -validity $days -ext san=dns:localhost > $work/leaf.pem
cat $work/inter.pem $work/root.pem > $work/chain.pem
openssl pkcs12 -export -inkey $work/k.pem -in $work/leaf.pem -certfile $work/chain.pem -name "from openssl" -caname inter -caname root -out openssl.p12 -passout pass:changeit
note openssl.p12 PKCS12 changeit
openssl pkcs12 -export -legacy -inkey $work/k.pem -in $work/leaf.pem -certfile $work/chain.pem -name old -out openssl-legacy.p12 -passout pass:changeit
note openssl-legacy.p12 PKCS12 changeit
cat $work/root.pem $work/k.pem $work/leaf.pem $work/inter.pem > openssl-any-order.pem

cat > $work/Truth.java <<'JAVA'
import java.io.*; import java.security.*; import java.security.cert.Certificate; import java.util.*;
public class Truth {
  static String sha(byte[] b) throws Exception { return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b)); }
  public static void main(String[] a) throws Exception {
    PrintStream out = new PrintStream(System.out, true, "UTF-8");
    KeyStore ks = KeyStore.getInstance(a[1]);
    char[] pass = a[2].equals("-") ? null : a[2].toCharArray();
    try (InputStream in = new FileInputStream(a[0])) { ks.load(in, pass); }
    Map<String,String> keyPass = new HashMap<>();
    for (int i = 3; i < a.length; i++) { String[] p = a[i].split("=", 2); keyPass.put(p[0], p[1]); }
    for (String alias : new TreeSet<>(Collections.list(ks.aliases()))) {
      StringBuilder line = new StringBuilder(a[0] + "\t" + a[2] + "\t" + alias + "\t");
      Certificate[] chain = new Certificate[0];
      if (ks.isCertificateEntry(alias)) { line.append("trusted\t-\t-"); chain = new Certificate[]{ks.getCertificate(alias)}; }
      else {
        char[] kp = keyPass.containsKey(alias) ? keyPass.get(alias).toCharArray() : pass;
        Key k = ks.getKey(alias, kp);
        line.append((k instanceof PrivateKey ? "key" : "secret") + "\t" + new String(kp) + "\t" + sha(k.getEncoded()));
        if (ks.getCertificateChain(alias) != null) chain = ks.getCertificateChain(alias);
      }
      for (Certificate c : chain) line.append("\t" + sha(c.getEncoded()));
      out.println(line);
    }
  }
}
JAVA
javac -d $work $work/Truth.java
echo "# file, store password, alias, kind, key password, SHA-256 of the key's encoding, SHA-256 of each certificate; made by make.sh with $(java -version 2>&1 | head -n 1), $(openssl version)" > truth.txt
for t in "${truth[@]}"; do java -Dfile.encoding=UTF-8 -cp $work Truth $t >> truth.txt; done
chmod 644 ./*.p12 ./*.jks ./*.jceks ./*.pem
