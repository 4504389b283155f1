import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import javax.crypto.spec.*;
import javax.crypto.Cipher;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cms.*;
import org.bouncycastle.asn1.cms.ecc.ECCCMSSharedInfo;
import org.bouncycastle.asn1.pkcs.*;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.cert.jcajce.*;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.crypto.DerivationFunction;
import org.bouncycastle.crypto.agreement.X25519Agreement;
import org.bouncycastle.crypto.digests.SHA256Digest;
import org.bouncycastle.crypto.engines.AESWrapEngine;
import org.bouncycastle.crypto.generators.HKDFBytesGenerator;
import org.bouncycastle.crypto.generators.KDF2BytesGenerator;
import org.bouncycastle.crypto.params.*;
import org.bouncycastle.crypto.util.PrivateKeyFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.*;
import org.bouncycastle.operator.jcajce.*;
import org.bouncycastle.tsp.*;

/**
 * The other side of TestInteropBouncyCastle. In the folder of its argument are NAME.crt and NAME.key (PKCS #8), and
 * messages of ours, NAME.LABEL.sealed and NAME.LABEL.signed. It writes what they hold to MESSAGE.out, and messages of
 * its own to NAME.LABEL.theirs-sealed and NAME.LABEL.theirs-signed, over the file content. NAME may also be x25519,
 * "password" or "shared", for what is sealed without a certificate. FILE.compressed and FILE.stamped are handled alike.
 * With "tsa" as second argument, it is a time-stamp authority that answers the file query with the file reply.
 */
public class BouncyCastle {
    static Path dir;
    static byte[] content;

    public static void main(String[] args) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        System.out.println("BouncyCastle " + new BouncyCastleProvider().getVersionStr() + ", Java " + System.getProperty("java.version"));
        dir = Paths.get(args[0]);
        if (args.length > 1 && args[1].equals("tsa")) {
            stamp();
            return;
        }
        content = Files.readAllBytes(dir.resolve("content"));
        try (DirectoryStream<Path> files = Files.newDirectoryStream(dir)) {
            for (Path f : files) {
                String name = f.getFileName().toString();
                if (name.endsWith(".sealed")) write(name + ".out", open(f));
                if (name.endsWith(".signed") || name.endsWith(".stamped")) write(name + ".out", verify(f));
                if (name.endsWith(".compressed"))
                    write(name + ".out", new CMSCompressedData(Files.readAllBytes(f)).getContent(new org.bouncycastle.cms.jcajce.ZlibExpanderProvider()));
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
        write("content.theirs-compressed", new CMSCompressedDataGenerator().generate(new CMSProcessableByteArray(content), new org.bouncycastle.cms.jcajce.ZlibCompressor()).getEncoded());
        ByteArrayOutputStream streamed = new ByteArrayOutputStream();
        try (OutputStream out = new CMSCompressedDataStreamGenerator().open(streamed, new org.bouncycastle.cms.jcajce.ZlibCompressor())) { out.write(content); }
        write("content-stream.theirs-compressed", streamed.toByteArray());
        for (String cipher : new String[] {"AES256_CBC", "DES_EDE3_CBC", "AES256_GCM"}) {
            for (PasswordRecipient.PRF prf : new PasswordRecipient.PRF[] {PasswordRecipient.PRF.HMacSHA1, PasswordRecipient.PRF.HMacSHA256, PasswordRecipient.PRF.HMacSHA512})
                for (ASN1ObjectIdentifier wrap : new ASN1ObjectIdentifier[] {CMSAlgorithm.AES128_CBC, CMSAlgorithm.AES256_CBC, CMSAlgorithm.DES_EDE3_CBC}) {
                    JcePasswordRecipientInfoGenerator g = new JcePasswordRecipientInfoGenerator(wrap, PASSWORD);
                    seal("password", cipher, "-" + prf.getName() + "-" + wrap, g.setProvider("BC").setPasswordConversionScheme(PasswordRecipient.PKCS5_SCHEME2_UTF8)
                        .setPRF(prf).setSaltAndIterationCount(new byte[20], 2048));
                }
            seal("shared", cipher, "", new JceKEKRecipientInfoGenerator("id".getBytes(), new SecretKeySpec(SHARED, "AES")).setProvider("BC"));
            for (boolean hkdf : new boolean[] {true, false})
                for (byte[] ukm : new byte[][] {null, {1, 2, 3}}) seal("x25519", cipher, "-" + hkdf + "-" + (ukm != null), agree(hkdf, ukm));
        }
    }

    static final char[] PASSWORD = "p\u00e4ss w\u00f6rd".toCharArray();
    static final byte[] SHARED = "0123456789abcdef0123456789abcdef".getBytes();

    /** The key of RFC 8418 for a shared secret, by HKDF or by the derivation of X9.63. */
    static byte[] derive(boolean hkdf, byte[] secret, AlgorithmIdentifier wrap, byte[] ukm) throws Exception {
        byte[] info = new ECCCMSSharedInfo(wrap, ukm, new byte[] {0, 0, 1, 0}).getEncoded("DER");
        DerivationFunction kdf = hkdf ? new HKDFBytesGenerator(new SHA256Digest()) : new KDF2BytesGenerator(new SHA256Digest());
        kdf.init(hkdf ? new HKDFParameters(secret, null, info) : new KDFParameters(secret, info));
        byte[] kek = new byte[32];
        kdf.generateBytes(kek, 0, 32);
        return kek;
    }

    static final ASN1ObjectIdentifier HKDF = new ASN1ObjectIdentifier("1.2.840.113549.1.9.16.3.19");
    static final ASN1ObjectIdentifier X963 = new ASN1ObjectIdentifier("1.3.132.1.11.1");

    /** X25519, which version 1.72 lacks, put together from its parts. */
    static RecipientInfoGenerator agree(boolean hkdf, byte[] ukm) throws Exception {
        return key -> {
            try {
                X509Certificate cert = cert("x25519");
                byte[] to = SubjectPublicKeyInfo.getInstance(cert.getPublicKey().getEncoded()).getPublicKeyData().getBytes();
                X25519PrivateKeyParameters own = new X25519PrivateKeyParameters(new SecureRandom());
                AlgorithmIdentifier wrap = new AlgorithmIdentifier(CMSAlgorithm.AES256_WRAP);
                Object k = key.getRepresentation();
                byte[] cek = k instanceof Key ? ((Key) k).getEncoded() : (byte[]) k;
                AESWrapEngine engine = new AESWrapEngine();
                engine.init(true, new KeyParameter(derive(hkdf, secret(own, to), wrap, ukm)));
                return new RecipientInfo(new KeyAgreeRecipientInfo(
                    new OriginatorIdentifierOrKey(new OriginatorPublicKey(
                        new AlgorithmIdentifier(new ASN1ObjectIdentifier("1.3.101.110")), own.generatePublicKey().getEncoded())),
                    ukm == null ? null : new DEROctetString(ukm),
                    new AlgorithmIdentifier(hkdf ? HKDF : X963, wrap),
                    new DERSequence(new RecipientEncryptedKey(new KeyAgreeRecipientIdentifier(
                        new org.bouncycastle.asn1.cms.IssuerAndSerialNumber(new JcaX509CertificateHolder(cert).toASN1Structure())),
                        new DEROctetString(engine.wrap(cek, 0, cek.length))))));
            } catch (Exception e) {
                throw new CMSException("x25519", e);
            }
        };
    }

    static byte[] secret(X25519PrivateKeyParameters own, byte[] other) {
        byte[] secret = new byte[32];
        X25519Agreement agreement = new X25519Agreement();
        agreement.init(own);
        agreement.calculateAgreement(new X25519PublicKeyParameters(other, 0), secret, 0);
        return secret;
    }

    static byte[] openX25519(byte[] data) throws Exception {
        EnvelopedData enveloped = EnvelopedData.getInstance(org.bouncycastle.asn1.cms.ContentInfo.getInstance(data).getContent());
        KeyAgreeRecipientInfo info = KeyAgreeRecipientInfo.getInstance(RecipientInfo.getInstance(enveloped.getRecipientInfos().getObjectAt(0)).getInfo());
        if (!info.getKeyEncryptionAlgorithm().getAlgorithm().equals(HKDF)) throw new Exception("derivation " + info.getKeyEncryptionAlgorithm().getAlgorithm());
        X25519PrivateKeyParameters own = (X25519PrivateKeyParameters) PrivateKeyFactory.createKey(Files.readAllBytes(dir.resolve("x25519.key")));
        byte[] secret = secret(own, info.getOriginator().getOriginatorKey().getPublicKey().getBytes());
        AlgorithmIdentifier wrap = AlgorithmIdentifier.getInstance(info.getKeyEncryptionAlgorithm().getParameters());
        AESWrapEngine engine = new AESWrapEngine();
        engine.init(false, new KeyParameter(derive(true, secret, wrap, null)));
        byte[] wrapped = RecipientEncryptedKey.getInstance(info.getRecipientEncryptedKeys().getObjectAt(0)).getEncryptedKey().getOctets();
        byte[] cek = engine.unwrap(wrapped, 0, wrapped.length);
        EncryptedContentInfo encrypted = enveloped.getEncryptedContentInfo();
        Cipher cipher = Cipher.getInstance("AES/CBC/PKCS5Padding");
        byte[] iv = ASN1OctetString.getInstance(encrypted.getContentEncryptionAlgorithm().getParameters()).getOctets();
        cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(cek, "AES"), new IvParameterSpec(iv));
        return cipher.doFinal(encrypted.getEncryptedContent().getOctets());
    }

    /** Answers a TimeStampReq. */
    static void stamp() throws Exception {
        DigestCalculatorProvider digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        TimeStampTokenGenerator g = new TimeStampTokenGenerator(
            new JcaSignerInfoGeneratorBuilder(digests).build(new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(key("tsa")), cert("tsa")),
            digests.get(new AlgorithmIdentifier(new ASN1ObjectIdentifier("2.16.840.1.101.3.4.2.1"))), new ASN1ObjectIdentifier("1.2.3.4"));
        g.setAccuracySeconds(2);
        g.addCertificates(new JcaCertStore(Arrays.asList(cert("tsa"), cert("tsa-issuer"))));
        TimeStampRequest request = new TimeStampRequest(Files.readAllBytes(dir.resolve("query")));
        write("reply", new TimeStampResponseGenerator(g, TSPAlgorithms.ALLOWED).generate(request, java.math.BigInteger.TEN, new Date()).getEncoded());
    }

    static void checkStamp(SignerInformation s) throws Exception {
        ASN1Encodable value = s.getUnsignedAttributes().get(PKCSObjectIdentifiers.id_aa_signatureTimeStampToken).getAttrValues().getObjectAt(0);
        TimeStampToken token = new TimeStampToken(new CMSSignedData(value.toASN1Primitive().getEncoded()));
        token.validate(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(cert("tsa")));
        byte[] imprint = MessageDigest.getInstance("SHA-256").digest(s.getSignature());
        if (!Arrays.equals(imprint, token.getTimeStampInfo().getMessageImprintDigest())) throw new Exception("time stamp of something else");
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
        if (owner(f).equals("x25519")) return openX25519(data);
        if (owner(f).equals("password"))
            return new CMSEnvelopedData(data).getRecipientInfos().getRecipients().iterator().next().getContent(
                new JcePasswordEnvelopedRecipient(PASSWORD).setProvider("BC").setPasswordConversionScheme(PasswordRecipient.PKCS5_SCHEME2_UTF8));
        if (owner(f).equals("shared"))
            return new CMSEnvelopedData(data).getRecipientInfos().getRecipients().iterator().next().getContent(
                new JceKEKEnvelopedRecipient(new SecretKeySpec(SHARED, "AES")).setProvider("BC"));
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
        if (f.toString().endsWith(".stamped")) for (SignerInformation s : signed.getSignerInfos().getSigners()) checkStamp(s);
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
