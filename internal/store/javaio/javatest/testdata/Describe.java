import java.io.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.interfaces.ECPrivateKey;
import java.util.*;
import javax.crypto.SecretKey;

/**
 * Says in JSON what Java finds in a key store: every alias, every certificate
 * chain and every key, opened with its password. Arguments: provider ("" for
 * any), type, file, store password, then alias and password of each key, all
 * but the first three in hexadecimal UTF-8, so that no locale gets in the way.
 */
public class Describe {
  public static void main(String[] args) throws Exception {
    if (args[0].equals("BC")) {
      Security.addProvider((Provider) Class.forName("org.bouncycastle.jce.provider.BouncyCastleProvider").getConstructor().newInstance());
    }
    Map<String, String> keys = new HashMap<>();
    for (int i = 4; i < args.length; i += 2) keys.put(text(args[i]), text(args[i + 1]));
    System.out.println("[" + describe(args[0], args[1], Paths.get(args[2]), text(args[3]), keys) + "]");
  }

  static String text(String hex) {
    return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
  }

  static KeyStore open(String provider, String type) throws Exception {
    return provider.isEmpty() ? KeyStore.getInstance(type) : KeyStore.getInstance(type, provider);
  }

  static String describe(String provider, String type, Path file, String password, Map<String, String> keyPasswords) throws Exception {
    KeyStore ks = open(provider, type);
    try (InputStream in = Files.newInputStream(file)) {
      ks.load(in, password.toCharArray());
    }
    List<String> entries = new ArrayList<>();
    for (String alias : Collections.list(ks.aliases())) {
      StringJoiner e = new StringJoiner(", ", "     {", "}");
      e.add("\"alias\": " + quote(alias));
      e.add("\"created\": " + ks.getCreationDate(alias).getTime());
      if (ks.isKeyEntry(alias)) {
        String keyPassword = keyPasswords.getOrDefault(alias, password);
        Key key = ks.getKey(alias, keyPassword.toCharArray());
        e.add("\"kind\": " + quote(key instanceof SecretKey ? "secret" : "key"));
        e.add("\"keyPassword\": " + quote(keyPassword));
        e.add("\"keyAlgorithm\": " + quote(key.getAlgorithm()));
        e.add("\"keySHA256\": " + quote(sha256(key.getEncoded())));
        if (key instanceof ECPrivateKey) { // BouncyCastle does not give out the bytes that it read
          String scalar = ((ECPrivateKey) key).getS().toString(16);
          e.add("\"scalarSHA256\": " + quote(sha256(scalar.getBytes(StandardCharsets.UTF_8))));
        }
      } else if (ks.isCertificateEntry(alias)) {
        e.add("\"kind\": \"trusted\"");
      } else {
        throw new IllegalStateException("alias " + quote(alias) + " is listed but not there");
      }
      Certificate[] chain = ks.getCertificateChain(alias);
      if (chain == null && ks.isCertificateEntry(alias)) {
        chain = new Certificate[] {ks.getCertificate(alias)};
      }
      StringJoiner certs = new StringJoiner(", ", "[", "]");
      for (Certificate c : chain == null ? new Certificate[0] : chain) {
        certs.add(quote(sha256(c.getEncoded())));
      }
      e.add("\"certificates\": " + certs);
      entries.add(e.toString());
    }
    return "  {\"file\": " + quote(file.getFileName().toString()) + ", \"type\": " + quote(type)
        + ", \"provider\": " + quote(provider) + ", \"password\": " + quote(password)
        + ",\n   \"entries\": [\n" + String.join(",\n", entries) + "]}";
  }

  static String quote(String s) {
    StringBuilder b = new StringBuilder("\"");
    for (char c : s.toCharArray()) {
      if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') b.append(String.format("\\u%04x", (int) c));
      else b.append(c);
    }
    return b.append('"').toString();
  }

  static String sha256(byte[] b) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(b));
  }
}
