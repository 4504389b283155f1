import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import javax.crypto.spec.*;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.pkcs.*;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.*;
import org.bouncycastle.operator.jcajce.*;

/**
 * The other side of TestInteropBouncyCastle. In the folder of its argument are NAME.crt and NAME.key (PKCS #8), and
 * messages of ours, NAME.LABEL.sealed and NAME.LABEL.signed. It writes what they hold to MESSAGE.out, and messages of
 * its own to NAME.LABEL.theirs-sealed and NAME.LABEL.theirs-signed, over the file content.
 */
public class BouncyCastle {
    static Path dir;
    static byte[] content;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        System.out.println("BouncyCastle " + new BouncyCastleProvider().getVersionStr() + ", Java " + System.getProperty("java.version"));
        dir = Paths.get(args[0]);
        content = Files.readAllBytes(dir.resolve("content"));
        try (DirectoryStream<Path> files = Files.newDirectoryStream(dir)) {
            for (Path f : files) {
                String name = f.getFileName().toString();
                if (name.endsWith(".sealed")) write(name + ".out", open(f));
                if (name.endsWith(".signed")) write(name + ".out", verify(f));
            }
        }
        for (String name : new String[] {"rsa", "p256"}) {
            for (String cipher : new String[] {"AES256_CBC", "AES192_CBC", "AES128_CBC", "DES_EDE3_CBC", "AES256_GCM", "AES128_GCM"}) {
                if (name.equals("rsa")) {
                    seal(name, cipher, "", new JceKeyTransRecipientInfoGenerator(cert(name)));
                    if (cipher.equals("AES256_CBC"))
                        for (String hash : new String[] {"SHA-1", "SHA-256", "SHA-512"})
                            for (String mask : new String[] {"SHA-1", "SHA-256"}) {
                                AlgorithmIdentifier oaep = new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                                    PKCSObjectIdentifiers.id_RSAES_OAEP,
                                    new OAEPParameterSpec(hash, "MGF1", new MGF1ParameterSpec(mask), PSource.PSpecified.DEFAULT));
                                seal(name, cipher, "-" + hash + "-" + mask, new JceKeyTransRecipientInfoGenerator(cert(name), oaep));
                            }
                } else {
                    KeyPairGenerator g = KeyPairGenerator.getInstance("EC", "BC");
                    g.initialize(new ECGenParameterSpec("P-256"));
                    KeyPair pair = g.generateKeyPair();
                    for (ASN1ObjectIdentifier kdf : new ASN1ObjectIdentifier[] {CMSAlgorithm.ECDH_SHA1KDF, CMSAlgorithm.ECDH_SHA256KDF})
                        seal(name, cipher, "-" + kdf, new JceKeyAgreeRecipientInfoGenerator(kdf, pair.getPrivate(), pair.getPublic(), CMSAlgorithm.AES128_WRAP)
                            .addRecipient(cert(name)));
                }
            }
        }
        for (String[] s : new String[][] {{"rsa", "SHA256withRSA"}, {"rsa", "SHA512withRSAandMGF1"}, {"p256", "SHA256withECDSA"}, {"ed", "Ed25519"}})
            for (boolean attached : new boolean[] {true, false}) sign(s[0], s[1], attached);
    }

    static X509Certificate cert(String name) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(Files.newInputStream(dir.resolve(name + ".crt")));
    }

    static PrivateKey key(String name) throws Exception {
        byte[] der = Files.readAllBytes(dir.resolve(name + ".key"));
        return BouncyCastleProvider.getPrivateKey(PrivateKeyInfo.getInstance(der));
    }

    static void write(String name, byte[] data) throws Exception { Files.write(dir.resolve(name), data); }

    static String owner(Path f) { return f.getFileName().toString().split("\\.")[0]; }

    static byte[] open(Path f) throws Exception {
        byte[] data = Files.readAllBytes(f);
        boolean rsa = owner(f).equals("rsa");
        if (f.toString().contains("GCM")) // by RSA only: version 1.72 has no key agreement here
            return new CMSAuthEnvelopedData(data).getRecipientInfos().getRecipients().iterator().next()
                .getContent(new JceKeyTransAuthEnvelopedRecipient(key("rsa")).setProvider("BC"));
        Recipient r = rsa
            ? new JceKeyTransEnvelopedRecipient(key("rsa")).setProvider("BC")
            : new JceKeyAgreeEnvelopedRecipient(key(owner(f))).setProvider("BC");
        return new CMSEnvelopedData(data).getRecipientInfos().getRecipients().iterator().next().getContent(r);
    }

    static byte[] verify(Path f) throws Exception {
        CMSSignedData signed = new CMSSignedData(Files.readAllBytes(f));
        if (signed.getSignedContent() == null) signed = new CMSSignedData(new CMSProcessableByteArray(content), Files.readAllBytes(f));
        X509Certificate cert = cert(owner(f));
        for (SignerInformation s : signed.getSignerInfos().getSigners())
            if (!s.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(cert))) throw new Exception("bad signature");
        return (byte[]) signed.getSignedContent().getContent();
    }

    static void seal(String name, String cipher, String label, RecipientInfoGenerator to) throws Exception {
        ASN1ObjectIdentifier id = (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(cipher).get(null);
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(id).setProvider("BC").build();
        byte[] out;
        if (cipher.endsWith("GCM")) {
            CMSAuthEnvelopedDataGenerator g = new CMSAuthEnvelopedDataGenerator();
            g.addRecipientInfoGenerator(to);
            g.setAuthenticatedAttributeGenerator(new DefaultAuthenticatedAttributeTableGenerator() {
                public org.bouncycastle.asn1.cms.AttributeTable getAttributes(Map parameters) {
                    return new org.bouncycastle.asn1.cms.AttributeTable(new org.bouncycastle.asn1.cms.Attribute(
                        PKCSObjectIdentifiers.pkcs_9_at_friendlyName, new DERSet(new DERUTF8String("authenticated"))));
                }
            });
            out = g.generate(new CMSProcessableByteArray(content), (OutputAEADEncryptor) encryptor).getEncoded();
        } else {
            CMSEnvelopedDataGenerator g = new CMSEnvelopedDataGenerator();
            g.addRecipientInfoGenerator(to);
            out = g.generate(new CMSProcessableByteArray(content), encryptor).getEncoded();
        }
        write(name + "." + cipher + label + ".theirs-sealed", out);
    }

    static void sign(String name, String algorithm, boolean attached) throws Exception {
        CMSSignedDataGenerator g = new CMSSignedDataGenerator();
        ContentSigner signer = new JcaContentSignerBuilder(algorithm).setProvider("BC").build(key(name));
        g.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().build()).build(signer, cert(name)));
        g.addCertificate(new JcaX509CertificateHolder(cert(name)));
        byte[] out = g.generate(new CMSProcessableByteArray(content), attached).getEncoded();
        write(name + "." + algorithm + (attached ? "" : "-detached") + ".theirs-signed", out);
    }
}
