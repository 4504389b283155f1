import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.oiw.OIWObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.*;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.crypto.ExtendedDigest;
import org.bouncycastle.crypto.digests.*;
import org.bouncycastle.crypto.engines.*;
import org.bouncycastle.crypto.modes.CBCBlockCipher;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.pkcs.*;
import org.bouncycastle.pkcs.bc.*;
import org.bouncycastle.pkcs.jcajce.JcePKCSPBEOutputEncryptorBuilder;

/** Writes stores with the layout and the parameters of products: see README.md. */
public class Products {
    static final char[] PASSWORD = "changeit".toCharArray();
    static final ASN1ObjectIdentifier NAME = PKCSObjectIdentifiers.pkcs_9_at_friendlyName, ID = PKCSObjectIdentifiers.pkcs_9_at_localKeyId;
    static final ASN1ObjectIdentifier MS_CSP = new ASN1ObjectIdentifier("1.3.6.1.4.1.311.17.1"),
        MS_LOCAL = new ASN1ObjectIdentifier("1.3.6.1.4.1.311.17.2"), MS_PROPERTY = new ASN1ObjectIdentifier("1.3.6.1.4.1.311.17.3");

    static byte[] key;
    static X509CertificateHolder leaf, ca;

    static byte[] read(String name) throws IOException { return Files.readAllBytes(Paths.get(name)); }
    static void write(String name, byte[] data) throws IOException { Files.write(Paths.get(name), data); }

    static OutputEncryptor tripleDES(int n) {
        return new BcPKCS12PBEOutputEncryptorBuilder(PKCSObjectIdentifiers.pbeWithSHAAnd3_KeyTripleDES_CBC, new CBCBlockCipher(new DESedeEngine())).setIterationCount(n).build(PASSWORD);
    }
    static OutputEncryptor rc2(int n) {
        return new BcPKCS12PBEOutputEncryptorBuilder(PKCSObjectIdentifiers.pbeWithSHAAnd40BitRC2_CBC, new CBCBlockCipher(new RC2Engine())).setIterationCount(n).build(PASSWORD);
    }
    static OutputEncryptor aes(int n) throws Exception {
        return new JcePKCSPBEOutputEncryptorBuilder(NISTObjectIdentifiers.id_aes256_CBC).setProvider("BC").setIterationCount(n)
            .setPRF(new AlgorithmIdentifier(PKCSObjectIdentifiers.id_hmacWithSHA256, DERNull.INSTANCE)).build(PASSWORD);
    }
    static ASN1Sequence attribute(ASN1ObjectIdentifier oid, ASN1Encodable... values) {
        return new DERSequence(new ASN1Encodable[]{oid, new DERSet(values)});
    }
    static PKCS12SafeBag with(PKCS12SafeBagBuilder b, ASN1Encodable... attributes) {
        SafeBag plain = b.build().toASN1Structure();
        return new PKCS12SafeBag(new SafeBag(plain.getBagId(), plain.getBagValue(), new DERSet(attributes)));
    }
    static PKCS12SafeBagBuilder keyBag(OutputEncryptor e) throws Exception { return new PKCS12SafeBagBuilder(PrivateKeyInfo.getInstance(key), e); }
    static void save(String name, PKCS12PfxPduBuilder b, boolean sha256, int iterations) throws Exception {
        ExtendedDigest d = sha256 ? new SHA256Digest() : new SHA1Digest();
        ASN1ObjectIdentifier oid = sha256 ? NISTObjectIdentifiers.id_sha256 : OIWObjectIdentifiers.idSHA1;
        write(name, b.build(new BcPKCS12MacCalculatorBuilder(d, new AlgorithmIdentifier(oid, DERNull.INSTANCE)).setIterationCount(iterations), PASSWORD).getEncoded(ASN1Encoding.DER));
    }

    static void windows(String name, boolean modern) throws Exception {
        ASN1Encodable id = attribute(ID, new DEROctetString(new byte[]{1, 0, 0, 0}));
        PKCS12PfxPduBuilder b = new PKCS12PfxPduBuilder();
        b.addData(with(keyBag(modern ? aes(2000) : tripleDES(2000)), id,
            attribute(NAME, new DERBMPString("te-5c0e2a3f-7c1e-4b4e-9a55-0d7c3f3a9f10")),
            attribute(MS_CSP, new DERBMPString("Microsoft Software Key Storage Provider")), attribute(MS_LOCAL)));
        b.addEncryptedData(modern ? aes(2000) : tripleDES(2000), new PKCS12SafeBag[]{
            with(new PKCS12SafeBagBuilder(leaf), id, attribute(NAME, new DERBMPString("Web Server")),
                // -ExportAllProperties: the key identifier and the container of the key
                attribute(new ASN1ObjectIdentifier(MS_PROPERTY + ".20"), new DEROctetString(new byte[20])),
                attribute(new ASN1ObjectIdentifier(MS_PROPERTY + ".2"), new DEROctetString("KeyProvInfo".getBytes("UTF-16LE")))),
            with(new PKCS12SafeBagBuilder(ca)),
        });
        save(name, b, modern, 2000);
    }

    static void macos(String name) throws Exception {
        ASN1Encodable id = attribute(ID, new DEROctetString(MessageDigest.getInstance("SHA-1").digest(leaf.getSubjectPublicKeyInfo().getPublicKeyData().getBytes())));
        ASN1Encodable friendly = attribute(NAME, new DERBMPString("Jane Appleseed"));
        PKCS12PfxPduBuilder b = new PKCS12PfxPduBuilder();
        b.addEncryptedData(rc2(2048), new PKCS12SafeBag[]{with(new PKCS12SafeBagBuilder(leaf), friendly, id),
            with(new PKCS12SafeBagBuilder(ca), attribute(NAME, new DERBMPString("Products Test CA")))});
        b.addData(with(keyBag(tripleDES(2048)), friendly, id));
        save(name, b, false, 1);
    }

    static void jce(String name, String type, boolean trustOnly) throws Exception {
        KeyStore ks = KeyStore.getInstance(type, "BC");
        ks.load(null, null);
        CertificateFactory cf = CertificateFactory.getInstance("X.509");
        Certificate l = cf.generateCertificate(new ByteArrayInputStream(leaf.getEncoded())), c = cf.generateCertificate(new ByteArrayInputStream(ca.getEncoded()));
        if (!trustOnly) {
            PrivateKey k = KeyFactory.getInstance("EC", "BC").generatePrivate(new PKCS8EncodedKeySpec(key));
            ks.setKeyEntry("products.example (products test ca)", k, PASSWORD, new Certificate[]{l, c});
        }
        ks.setCertificateEntry(trustOnly ? "0" : "products test ca", c);
        try (OutputStream out = new FileOutputStream(name)) { ks.store(out, PASSWORD); }
    }

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        key = read("key.der");
        leaf = new X509CertificateHolder(read("leaf.der"));
        ca = new X509CertificateHolder(read("ca.der"));
        windows("windows-3des-sha1.pfx", false);
        windows("windows-aes256-sha256.pfx", true);
        macos("macos-keychain.p12");
        jce("keystore-explorer.p12", "PKCS12", false);
        jce("keystore-explorer.bcfks", "BCFKS", false);
        jce("keystore-explorer.uber", "UBER", false);
        jce("android.bks", "BKS", false);
        jce("android-v1.bks", "BKS-V1", false);
        jce("android-cacerts.bks", "BKS-V1", true);
    }
}
