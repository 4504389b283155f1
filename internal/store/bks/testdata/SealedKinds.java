import java.io.*; import java.security.*; import java.security.cert.*; import javax.crypto.spec.*; import java.security.cert.Certificate;
public class SealedKinds {
  public static void main(String[] a) throws Exception {
    Security.addProvider(new org.bouncycastle.jce.provider.BouncyCastleProvider());
    KeyStore src = KeyStore.getInstance("PKCS12"); src.load(new FileInputStream(a[0]), "changeit".toCharArray());
    String al = src.aliases().nextElement();
    Key k = src.getKey(al, "changeit".toCharArray()); Certificate[] ch = src.getCertificateChain(al);
    for (String type : new String[]{"BKS","UBER"}) for (String pw : new String[]{"", "changeit"}) {
      KeyStore ks = KeyStore.getInstance(type, "BC"); ks.load(null, null);
      char[] p = pw.toCharArray();
      ks.setKeyEntry("private", k, p, ch);
      try { ks.setKeyEntry("secret", new SecretKeySpec(new byte[16], "AES"), p, ch); } catch (Exception e) { System.out.println(type+" secret+chain "+e); }
      try { ks.setKeyEntry("public", ch[0].getPublicKey(), p, ch); } catch (Exception e) { System.out.println(type+" public "+e); }
      try { ks.setKeyEntry("publicbare", ch[0].getPublicKey(), p, null); } catch (Exception e) { System.out.println(type+" publicbare "+e); }
      try { ks.setKeyEntry("secretbare", new SecretKeySpec(new byte[16], "AES"), p, null); } catch (Exception e) { System.out.println(type+" secretbare "+e); }
      String f = "sealed-kinds" + (pw.isEmpty() ? "-nopassword." : ".") + type.toLowerCase();
      try { ks.store(new FileOutputStream(f), p); } catch (Exception e) { System.out.println(type+" store "+e); continue; }
      KeyStore in = KeyStore.getInstance(type, "BC"); in.load(new FileInputStream(f), p);
      for (String x : java.util.Collections.list(in.aliases())) { Key kk = in.getKey(x, p); System.out.println(f+" "+x+" "+kk.getClass().getSimpleName()+" "+kk.getAlgorithm()+" chain "+(in.getCertificateChain(x)==null?0:in.getCertificateChain(x).length)); }
    }
  }
}
