import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
import javax.net.ssl.*;

/**
 * A peer on JSSE, for the tests beside it.
 *
 * server KEYSTORE TRUSTSTORE|- : accepts on a free port, which it prints, presents the
 * keystore's identity and requires a client certificate unless there is no truststore;
 * answers each connection with a line. It ends with its standard input.
 *
 * https KEYSTORE TRUSTSTORE|- : the same with an HttpsServer, which answers each request.
 *
 * client : for each line "https|socket HOST PORT TRUSTSTORE KEYSTORE|-" of standard
 * input, connects and prints OK or FAIL and why. https checks the host name, socket
 * does not. Stores are PKCS#12 with the password changeit.
 */
public class Peer {
    static final char[] PASSWORD = "changeit".toCharArray();

    static KeyStore store(String path) throws Exception {
        KeyStore ks = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(Path.of(path))) {
            ks.load(in, PASSWORD);
        }
        return ks;
    }

    static SSLContext context(String keys, String trust) throws Exception {
        KeyManager[] km = null;
        TrustManager[] tm = null;
        if (!keys.equals("-")) {
            KeyManagerFactory f = KeyManagerFactory.getInstance("PKIX");
            f.init(store(keys), PASSWORD);
            km = f.getKeyManagers();
        }
        if (!trust.equals("-")) {
            TrustManagerFactory f = TrustManagerFactory.getInstance("PKIX");
            f.init(store(trust));
            tm = f.getTrustManagers();
        }
        SSLContext c = SSLContext.getInstance("TLS");
        c.init(km, tm, null);
        return c;
    }

    static void server(String keys, String trust) throws Exception {
        SSLServerSocket s = (SSLServerSocket) context(keys, trust).getServerSocketFactory()
            .createServerSocket(0, 50, InetAddress.getLoopbackAddress());
        s.setNeedClientAuth(!trust.equals("-"));
        System.out.println("PORT " + s.getLocalPort());
        Thread t = new Thread(() -> {
            while (true) {
                try (SSLSocket c = (SSLSocket) s.accept()) {
                    c.setSoTimeout(20000);
                    c.startHandshake();
                    String who = "nobody";
                    try {
                        who = c.getSession().getPeerPrincipal().getName();
                    } catch (SSLPeerUnverifiedException e) { }
                    c.getOutputStream().write(("hello " + who + "\n").getBytes("UTF-8"));
                    c.getOutputStream().flush();
                } catch (SocketException e) {
                    if (s.isClosed()) return;
                } catch (IOException e) { }
            }
        });
        t.setDaemon(true);
        t.start();
        while (System.in.read() >= 0) { }
    }

    static void httpsServer(String keys, String trust) throws Exception {
        HttpsServer s = HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 50);
        s.setHttpsConfigurator(new HttpsConfigurator(context(keys, trust)) {
            public void configure(HttpsParameters p) {
                SSLParameters all = getSSLContext().getDefaultSSLParameters();
                all.setNeedClientAuth(!trust.equals("-"));
                p.setSSLParameters(all);
            }
        });
        s.createContext("/", e -> {
            String who = "nobody";
            try {
                who = ((HttpsExchange) e).getSSLSession().getPeerPrincipal().getName();
            } catch (SSLPeerUnverifiedException none) { }
            byte[] answer = ("hello " + who).getBytes("UTF-8");
            e.sendResponseHeaders(200, answer.length);
            e.getResponseBody().write(answer);
            e.close();
        });
        s.start();
        System.out.println("PORT " + s.getAddress().getPort());
        while (System.in.read() >= 0) { }
        s.stop(0);
    }

    static String connect(String[] f) throws Exception {
        SSLContext c = context(f[4], f[3]);
        if (f[0].equals("https")) {
            HttpsURLConnection u = (HttpsURLConnection) new URL("https://" + f[1] + ":" + f[2] + "/").openConnection();
            u.setSSLSocketFactory(c.getSocketFactory());
            u.setConnectTimeout(20000);
            u.setReadTimeout(20000);
            return new String(u.getInputStream().readAllBytes(), "UTF-8").trim();
        }
        try (SSLSocket s = (SSLSocket) c.getSocketFactory().createSocket(f[1], Integer.parseInt(f[2]))) {
            s.setSoTimeout(20000);
            s.startHandshake();
            s.getOutputStream().write("GET / HTTP/1.0\r\n\r\n".getBytes("UTF-8"));
            String all = new String(s.getInputStream().readAllBytes(), "UTF-8");
            return all.substring(all.lastIndexOf('\n') + 1).trim();
        }
    }

    public static void main(String[] args) throws Exception {
        if (args[0].equals("server")) {
            server(args[1], args[2]);
            return;
        }
        if (args[0].equals("https")) {
            httpsServer(args[1], args[2]);
            return;
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            try {
                System.out.println("OK " + connect(line.split(" ")));
            } catch (Exception e) {
                System.out.println("FAIL " + String.valueOf(e).replace('\n', ' '));
            }
        }
    }
}
