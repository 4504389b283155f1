import java.io.*;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.*;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.*;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.crypto.util.*;
import org.bouncycastle.jcajce.BCFKSLoadStoreParameter;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;

/**
 * Writes the key stores that the tests of the packages jks, bks and bcfks read,
 * with a truth.json beside them that says what Java finds in each. See
 * README.md for the command.
 */
public class Fixtures {
  static final String STORE = "changeit";
  static KeyPair rsa, ec, ed, dsa;
  static X509Certificate root, intermediate;
  static Certificate[] rsaChain, ecChain, edChain, dsaChain;

  /** One store under construction, with the truth about it. */
  static class Store {
    final KeyStore ks;
    final String type, provider, file, password;
    final Map<String, String> keyPasswords = new HashMap<>();

    String variant; // of BCFKS

    Store(String provider, String type, String file, String password) throws Exception {
      this.type = type;
      this.provider = provider;
      this.file = file;
      this.password = password;
      ks = Describe.open(provider, type);
      ks.load(null, password.toCharArray());
    }

    Store key(String alias, Key key, String password, Certificate... chain) throws Exception {
      ks.setKeyEntry(alias, key, password.toCharArray(), chain.length == 0 ? null : chain);
      keyPasswords.put(alias, password);
      return this;
    }

    Store cert(String alias, Certificate c) throws Exception {
      ks.setCertificateEntry(alias, c);
      return this;
    }

    /** Writes the file, reads it again and appends what Java sees to truth. */
    void save(Path dir, List<String> truth) throws Exception {
      Path path = dir.resolve(file);
      try (OutputStream out = Files.newOutputStream(path)) {
        if (variant == null) ks.store(out, password.toCharArray());
        else ks.store(parameters(variant, out));
      }
      truth.add(Describe.describe(provider, type, path, password, keyPasswords));
    }
  }

  static KeyPair generate(String algorithm, int size) throws Exception {
    KeyPairGenerator g = KeyPairGenerator.getInstance(algorithm);
    if (algorithm.equals("EC")) g.initialize(new ECGenParameterSpec("secp256r1"));
    else if (size > 0) g.initialize(size);
    return g.generateKeyPair();
  }

  static int serial = 100;

  static X509Certificate issue(String subject, PublicKey key, boolean ca, String issuer, PrivateKey signer) throws Exception {
    Date from = new Date(1767225600000L), to = new Date(2713910400000L); // 2026 to 2056
    var b = new JcaX509v3CertificateBuilder(new X500Name("CN=" + issuer), BigInteger.valueOf(serial++), from, to, new X500Name("CN=" + subject), key);
    b.addExtension(Extension.basicConstraints, true, new BasicConstraints(ca));
    var holder = b.build(new JcaContentSignerBuilder(signer.getAlgorithm().equals("EC") ? "SHA256withECDSA" : "SHA256withRSA").build(signer));
    return new JcaX509CertificateConverter().getCertificate(holder);
  }

  static void make() throws Exception {
    KeyPair ca = generate("EC", 0), sub = generate("EC", 0);
    root = issue("Root", ca.getPublic(), true, "Root", ca.getPrivate());
    intermediate = issue("Intermediate", sub.getPublic(), true, "Root", ca.getPrivate());
    rsa = generate("RSA", 2048);
    ec = generate("EC", 0);
    ed = generate("Ed25519", 0);
    dsa = generate("DSA", 1024);
    rsaChain = chain("rsa.example", rsa, sub);
    ecChain = chain("ec.example", ec, sub);
    edChain = chain("ed.example", ed, sub);
    dsaChain = chain("dsa.example", dsa, sub);
  }

  static Certificate[] chain(String name, KeyPair pair, KeyPair issuer) throws Exception {
    return new Certificate[] {issue(name, pair.getPublic(), false, "Intermediate", issuer.getPrivate()), intermediate, root};
  }

  static SecretKey secret(String algorithm, int n) {
    byte[] b = new byte[n];
    new SecureRandom().nextBytes(b);
    return new SecretKeySpec(b, algorithm);
  }

  public static void main(String[] args) throws Exception {
    Path jks = Paths.get(args[0], "jks/testdata"), bks = Paths.get(args[0], "bks/testdata"), bcfks = Paths.get(args[0], "bcfks/testdata");
    for (Path p : List.of(jks, bks, bcfks)) Files.createDirectories(p);
    make(); // before BouncyCastle is a provider, so that the keys are the JDK's
    jdk(jks);
    System.setProperty("org.bouncycastle.bks.enable_v1", "true");
    Security.addProvider(new BouncyCastleProvider());
    bouncyCastle(bks, bcfks);
  }

  static void jdk(Path dir) throws Exception {
    List<String> truth = new ArrayList<>();
    new Store("", "JKS", "keys.jks", STORE)
        .key("rsa", rsa.getPrivate(), STORE, rsaChain)
        .key("ec", ec.getPrivate(), STORE, ecChain)
        .key("ed25519", ed.getPrivate(), STORE, edChain)
        .key("dsa", dsa.getPrivate(), STORE, dsaChain)
        .key("other password", ec.getPrivate(), "sesame", ecChain)
        .key("leaf only", ec.getPrivate(), STORE, ecChain[0])
        .cert("root", root).save(dir, truth);
    new Store("", "JKS", "trust.jks", STORE).cert("root", root).cert("intermediate", intermediate).save(dir, truth);
    new Store("", "JKS", "empty.jks", STORE).save(dir, truth);
    // A letter of two bytes, one of three, one outside the basic plane, a NUL and half a surrogate pair.
    new Store("", "JKS", "aliases.jks", STORE)
        .cert("schl\u00fcssel", root).cert("\u9375", root).cert("key \uD83D\uDD11", root)
        .cert("nul\u0000byte", root).cert("half \uD83D.", root).cert("\u0130stanbul", root).cert("", root).save(dir, truth);
    new Store("", "JKS", "password.jks", "p\u00e4ss \u20ac \uD83D\uDD11")
        .key("ec", ec.getPrivate(), "\u9375 \uD83D\uDD11", ecChain).save(dir, truth);
    new Store("", "JKS", "nopassword.jks", "").key("ec", ec.getPrivate(), "", ecChain).save(dir, truth);
    new Store("", "CaseExactJKS", "caseexact.jks", STORE)
        .key("MixedCase", ec.getPrivate(), STORE, ecChain).cert("ROOT", root).save(dir, truth);
    new Store("", "JCEKS", "keys.jceks", STORE)
        .key("rsa", rsa.getPrivate(), STORE, rsaChain)
        .key("other password", ec.getPrivate(), "sesame", ecChain)
        .cert("root", root).save(dir, truth);
    new Store("", "JCEKS", "secrets.jceks", STORE)
        .key("aes", secret("AES", 32), STORE)
        .key("hmac", secret("HmacSHA256", 20), "sesame")
        .key("desede", javax.crypto.KeyGenerator.getInstance("DESede").generateKey(), STORE)
        .key("des", javax.crypto.KeyGenerator.getInstance("DES").generateKey(), STORE)
        .key("pbe", javax.crypto.SecretKeyFactory.getInstance("PBE").generateSecret(new javax.crypto.spec.PBEKeySpec("a password".toCharArray())), STORE)
        .key("rsa", rsa.getPrivate(), STORE, rsaChain)
        .cert("root", root).save(dir, truth);
    write(dir, truth);
  }

  static void bouncyCastle(Path bks, Path bcfks) throws Exception {
    List<String> truth = new ArrayList<>();
    for (String type : List.of("BKS", "BKS-V1", "UBER")) {
      String file = "keys." + type.toLowerCase();
      new Store("BC", type, file, STORE)
          .key("rsa", rsa.getPrivate(), STORE, rsaChain)
          .key("Ec", ec.getPrivate(), STORE, ecChain)
          .key("ed25519", ed.getPrivate(), STORE, edChain)
          .key("other password", ec.getPrivate(), "s\u00e9same \u20ac \uD83D\uDD11", ecChain)
          .key("aes", secret("AES", 32), STORE)
          .key("desede", secret("DESede", 24), "sesame")
          .cert("root", root).cert("ROOT", intermediate).cert("key \uD83D\uDD11", root).save(bks, truth);
    }
    new Store("BC", "BKS", "empty.bks", STORE).save(bks, truth);
    new Store("BC", "BKS", "nopassword.bks", "").cert("root", root).save(bks, truth);
    new Store("BC", "UBER", "nopassword.uber", "").cert("root", root).save(bks, truth);
    write(bks, truth);

    truth.clear();
    for (String variant : List.of("default", "scrypt", "kwp", "sha3")) {
      Store s = new Store("BC", "BCFKS", variant + ".bcfks", STORE);
      s.variant = variant;
      s.ks.load(parameters(variant, null));
      s.key("rsa", rsa.getPrivate(), STORE, rsaChain)
          .key("Ec", ec.getPrivate(), STORE, ecChain)
          .key("other password", ec.getPrivate(), "s\u00e9same \u20ac \uD83D\uDD11", ecChain)
          .key("aes", secret("AES", 32), STORE)
          .key("aes128", secret("AES", 16), "sesame") // HMAC keys it writes but does not read
          .key("desede", javax.crypto.KeyGenerator.getInstance("DESede").generateKey(), STORE)
          .cert("root", root).cert("ROOT", intermediate).cert("key \uD83D\uDD11", root).save(bcfks, truth);
    }
    new Store("BC", "BCFKS", "empty.bcfks", STORE).save(bcfks, truth);
    new Store("BC", "BCFKS", "nopassword.bcfks", "").cert("root", root).save(bcfks, truth);
    write(bcfks, truth);
    KeyStore signed = new Store("BC", "BCFKS", "", STORE).cert("root", root).ks;
    try (OutputStream out = Files.newOutputStream(bcfks.resolve("signed.bcfks"))) {
      signed.store(new BCFKSLoadStoreParameter.Builder(out, rsa.getPrivate())
          .withStoreSignatureAlgorithm(BCFKSLoadStoreParameter.SignatureAlgorithm.SHA512withRSA).build());
    }
  }

  static BCFKSLoadStoreParameter parameters(String variant, OutputStream out) throws Exception {
    var b = out == null ? new BCFKSLoadStoreParameter.Builder() : new BCFKSLoadStoreParameter.Builder(out, STORE.toCharArray());
    switch (variant) {
      case "scrypt":
        // r and p differ: BouncyCastle computes with r in both places.
        b.withStorePBKDFConfig(new ScryptConfig.Builder(1024, 8, 1).withSaltLength(20).build());
        break;
      case "kwp":
        b.withStoreEncryptionAlgorithm(BCFKSLoadStoreParameter.EncryptionAlgorithm.AES256_KWP);
        break;
      case "sha3":
        b.withStoreMacAlgorithm(BCFKSLoadStoreParameter.MacAlgorithm.HmacSHA3_512)
            .withStorePBKDFConfig(new PBKDF2Config.Builder().withPRF(PBKDF2Config.PRF_SHA3_512).withIterationCount(10000).build());
        break;
    }
    return b.build();
  }

  static void write(Path dir, List<String> truth) throws Exception {
    Files.writeString(dir.resolve("truth.json"), "[\n" + String.join(",\n", truth) + "\n]\n", StandardCharsets.UTF_8);
  }
}
