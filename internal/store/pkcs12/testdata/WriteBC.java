import java.io.*;
import java.security.*;
import java.security.cert.Certificate;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

/** Copies the first key of a PKCS#12 file into stores of BouncyCastle's own types. */
public class WriteBC {
  public static void main(String[] args) throws Exception {
    char[] password = "changeit".toCharArray();
    KeyStore in = KeyStore.getInstance("PKCS12", "SunJSSE");
    try (InputStream f = new FileInputStream(args[0])) { in.load(f, password); }
    Security.addProvider(new BouncyCastleProvider());
    for (String type : new String[] {"PKCS12", "PKCS12-3DES-3DES", "PKCS12-DEF-3DES-3DES"}) {
      KeyStore out = KeyStore.getInstance(type, "BC");
      out.load(null, null);
      for (String alias : new String[] {"first", "second"})
        out.setKeyEntry(alias, in.getKey(alias, password), null, in.getCertificateChain(alias));
      Certificate[] chain = in.getCertificateChain("first");
      out.setCertificateEntry("trusted", chain[chain.length - 1]);
      try (OutputStream f = new FileOutputStream("bc-" + type.toLowerCase() + ".p12")) { out.store(f, password); }
    }
  }
}
