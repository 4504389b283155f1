import java.io.*;
import java.security.*;
import java.security.cert.Certificate;
import java.util.*;

/** Prints what the JDK finds in a PKCS#12 file: a line for each entry. */
public class Dump {
  static String sha256(byte[] b) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b));
  }

  public static void main(String[] args) throws Exception {
    System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8"));
    char[] password = args.length > 1 ? args[1].toCharArray() : null;
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream f = new FileInputStream(args[0])) { store.load(f, password); }
    List<String> aliases = Collections.list(store.aliases());
    Collections.sort(aliases);
    for (String alias : aliases) {
      StringBuilder line = new StringBuilder();
      if (store.isKeyEntry(alias)) {
        Key key = store.getKey(alias, password);
        line.append("key ").append(alias).append(' ').append(sha256(key.getEncoded()));
        Certificate[] chain = store.getCertificateChain(alias);
        if (chain != null) for (Certificate c : chain) line.append(' ').append(sha256(c.getEncoded()));
      } else {
        line.append("trusted ").append(alias).append(' ').append(sha256(store.getCertificate(alias).getEncoded()));
      }
      System.out.println(line);
    }
  }
}
