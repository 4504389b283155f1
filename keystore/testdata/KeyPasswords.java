// Writes java-key-passwords.p12: keys first and second, under "firstpass" and "secondpass", in a store
// under "storepass". keytool gives keys of PKCS#12 the password of the store; KeyStore.setKeyEntry does not.
import java.security.*; import java.io.*;
public class KeyPasswords { public static void main(String[] a) throws Exception {
 KeyStore in = KeyStore.getInstance("PKCS12"); 
 try (var f = new FileInputStream("one.p12")) { in.load(f, "storepass".toCharArray()); }
 KeyStore out = KeyStore.getInstance("PKCS12"); out.load(null, null);
 for (String s : new String[]{"first","second"}) out.setKeyEntry(s, in.getKey(s, "storepass".toCharArray()), (s+"pass").toCharArray(), in.getCertificateChain(s));
 try (var f = new FileOutputStream("keys.p12")) { out.store(f, "storepass".toCharArray()); }
}}
