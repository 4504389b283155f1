package sshctx_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/sshctx"
)

// No line of authorized_keys lets in here whom sshd refuses.
func TestInteropAuthorizedOptions(t *testing.T) {
	s := newSSHD(t)
	id, host := sshctx.FromSigner(newKey(t)), sshctx.FromSigner(newKey(t))
	key, err := sshctx.AuthorizedLines(id)
	if err != nil {
		t.Fatal(err)
	}
	pinned := sshctx.Pinned(sshctx.PinKey(s.public(t, "host_ed25519")))
	dial := s.dial(t, s.hostKeys("ed25519")...)
	same := 0
	for _, line := range []string{
		"", "restrict ", "RESTRICT ", "no-pty,no-user-rc ", "pty,agent-forwarding ", `pty="yes" `, "no-restrict ", "cert-authority ", "unknown ",
		`from="127.0.0.1" `, `from="127.0.0.0/8" `, `from="127.0.0.1/8" `, `from="127.*" `, `from="127.0.0.?" `, `from="*" `, `from="!127.0.0.1,*" `, `from="*,!127.0.0.0/8" `,
		`from="*,!127.1" `, `from="*,!127.0.0.01" `, `from="*,!0x7f.0.0.1" `, `from="*,!2130706433" `, `from="127.0.0.0/33,*" `, `from="*,127.0.0.0/33" `, `from="*,10.0.0.1/8" `,
		`from="*," `, `from=",*" `, `from="" `, `from=" 127.0.0.1" `, `from="127.0.0.1 " `, `from="*, !127.0.0.1" `, `from="::1,127.0.0.1" `, `from="::ffff:127.0.0.1" `, `from="*,!::ffff:127.0.0.1" `,
		`from="*,!::ffff:127.0.0.0/104" `, `from="*,!2001:db8::1" `, `from="*,!2001:db8::1/32" `, `from="*,![127.0.0.1]" `, `from="*,!localhost" `, `from="*,!!127.0.0.1" `, `from="*,!" `,
		`from="127.0.0.1",from="*" `, `from="10.0.0.1",from="*" `, `from=127.0.0.1 `, `from="127.0.0.1"x `, `from="127.0.0.1"x"*" `, `from="127.0.0.1 `, `FROM="127.0.0.1" `, `from = "*" `,
		`,from="*" `, `from="*", `, `restrict,,no-pty `, "restrict, ", `restrict, no-pty `, "restrict\t",
		`expiry-time="20990101" `, `expiry-time="20990101Z" `, `expiry-time="200001010000" `, `expiry-time="20990101",expiry-time="20000101" `, `expiry-time="2099" `, `expiry-time="" `, `expiry-time `,
		`expiry-time="20990230" `, `expiry-time="209901012460" `, `expiry-time="20990101z" `, `expiry-time="+2099101" `,
		`principals="x" `, `principals="` + s.user + `" `, `command="true",command="true" `, `command `, `environment="A=B" `, `environment="A" `, `permitopen="x" `, `tunnel="x" `, "no-touch-required ", "verify-required ",
		`from="*"\" `, `\"from="*" `, `restrict\ `, "from=\"127.0.0.1\r\" ", "restrict\r ",
	} {
		text := line + key[0] + "\n"
		s.folder.Write("authorized_keys", []byte(text))
		theirs := connect(t, sshctx.Builder{Trusted: pinned, User: s.user, Identities: []sshctx.Identity{id}}, dial)
		authorized, err := sshctx.ParseAuthorizedKeys([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		config, err := sshctx.Builder{Identities: []sshctx.Identity{host}, Authorized: authorized, ForcesCommands: true}.Server()
		if err != nil {
			t.Fatal(err)
		}
		let := make(chan bool, 1)
		address := testnet.Serve(t, func(raw net.Conn) {
			defer raw.Close()
			_, _, _, err := ssh.NewServerConn(raw, config)
			let <- err == nil
		})
		hosts, err := host.SSHSigners()
		if err != nil {
			t.Fatal(err)
		}
		d, err := sshctx.Builder{Trusted: sshctx.Pinned(sshctx.PinKey(hosts[0].PublicKey())), User: s.user, Identities: []sshctx.Identity{id}}.Dialer()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := d.DialContext(t.Context(), "tcp", address); err == nil {
			c.Close()
		}
		switch ours := <-let; {
		case ours && theirs != nil:
			t.Errorf("%q: sshd refuses: %v", line, theirs)
		case ours == (theirs == nil):
			same++
		default:
			t.Logf("stricter than sshd: %q: %v", line, authorized.Findings())
		}
	}
	t.Logf("%d verdicts are the same", same)
}

// No file of known_hosts accepts here a host that ssh refuses.
func TestInteropKnownHostsVerdicts(t *testing.T) {
	testtool.Need(t, "ssh", "ssh-keygen")
	folder := testtool.NewFolder(t, "ssh-keygen")
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "id")
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ca")
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host")
	folder.Run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other")
	raw, err := ssh.ParsePrivateKey(folder.Read("host"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) string {
		fields := strings.Fields(string(folder.Read(name)))
		return fields[0] + " " + fields[1]
	}
	key, ca, other := text("host.pub"), text("ca.pub"), text("other.pub")
	same := 0
	judge := func(what string, signer ssh.Signer, files ...string) {
		t.Helper()
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(signer)
		address := testnet.Serve(t, func(raw net.Conn) {
			defer raw.Close()
			if conn, channels, requests, err := ssh.NewServerConn(raw, config); err == nil {
				go ssh.DiscardRequests(requests)
				for c := range channels {
					c.Reject(ssh.Prohibited, "that is all")
				}
				conn.Close()
			}
		})
		host, port, _ := net.SplitHostPort(address)
		for _, file := range files {
			file = strings.NewReplacer("HOST", "["+host+"]:"+port, "PORT", port, "KEY", key, "CA", ca, "OTHER", other).Replace(file)
			folder.Write("known", []byte(file))
			cmd := testtool.Command(t, "ssh", "-F", "none", "-i", filepath.Join(folder.Dir, "id"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
				"-o", "UserKnownHostsFile="+filepath.Join(folder.Dir, "known"), "-o", "GlobalKnownHostsFile=none", "-o", "BatchMode=yes", "-p", port, "u@"+host, "true")
			out, _ := cmd.CombinedOutput()
			theirs := strings.Contains(string(out), "that is all")
			known, err := sshctx.ParseKnownHosts([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			hosts, err := known.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			_, err = hosts.Verify(address, signer.PublicKey(), sshctx.VerifyOptions{})
			switch ours := err == nil; {
			case ours && !theirs:
				t.Errorf("%s: %q: ssh refuses: %s", what, file, out)
			case ours == theirs:
				same++
			default:
				t.Logf("%s: stricter than ssh: %q: %v", what, file, err)
			}
		}
	}
	lines := []string{
		"HOST KEY\n", "HOST KEY", "  \tHOST\t KEY comment\r\n", "HOST,x KEY\n", "x,HOST KEY\n", "x,,HOST KEY\n", "HOST, KEY\n", ",HOST KEY\n", "*,!HOST KEY\n", "!HOST,* KEY\n", "!HOST KEY\n", "* KEY\n", "** KEY\n", "[127.0.0.?]:* KEY\n",
		"[127.*]:PORT KEY\n", "127.0.0.1 KEY\n", "127.0.0.1:PORT KEY\n", "#HOST KEY\n", "HOST OTHER\n", "HOST OTHER\nHOST KEY\n", "HOST KEY\nHOST OTHER\n", "HOST KEY\n@revoked * KEY\n", "@revoked * KEY\nHOST KEY\n", "HOST KEY\n @revoked * KEY\n",
		"HOST KEY\n@revoked HOST, KEY\n", "HOST KEY\n@revoked x,,HOST KEY\n", "HOST KEY\n@revoked  *\t KEY\n", "HOST KEY\n@REVOKED * KEY\n", "HOST KEY\n@revoked * OTHER\n", "HOST KEY\n@revoked other KEY\n", "@cert-authority * KEY\n", "@revoked @cert-authority * KEY\n",
		"@cert-authority @revoked * KEY\nHOST KEY\n", "HOST ssh-rsa " + strings.Fields(key)[1] + "\n", "HOST " + strings.Fields(key)[1] + "\n", "HOST KEY=\n", "HOST KEYAAAA\n", "\xef\xbb\xbfHOST KEY\n", "HOST\vKEY\n", "\"HOST\" KEY\n", strings.Repeat("x", 1100) + ",HOST KEY\n", "*" + strings.Repeat(",x", 600) + " KEY\n",
	}
	judge("plain", raw, lines...)
	for what, options := range map[string][]string{
		"certificate": {"-n", "127.0.0.1"}, "for others": {"-n", "other"}, "wildcard": {"-n", "127.*"}, "no principals": nil, "expired": {"-n", "127.0.0.1", "-V", "20000101:20000102"}, "with port": {"-n", "[127.0.0.1]:22"},
	} {
		folder.Run("ssh-keygen", append(append([]string{"-q", "-s", "ca", "-I", "test", "-h"}, options...), "host.pub")...)
		public, _, _, _, err := ssh.ParseAuthorizedKey(folder.Read("host-cert.pub"))
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewCertSigner(public.(*ssh.Certificate), raw)
		if err != nil {
			t.Fatal(err)
		}
		cert := string(folder.Read("host-cert.pub"))
		judge(what, signer, "@cert-authority * CA\n", "@cert-authority HOST CA\n", "@cert-authority other CA\n", "@cert-authority *,!HOST CA\n", "@cert-authority * OTHER\n", "* CA\n", "@cert-authority * CA\n@revoked * CA\n", "@cert-authority * CA\n@revoked * KEY\n",
			"@cert-authority * CA\n@revoked * "+cert, "@cert-authority * CA\n@revoked x,,* CA\n", "HOST KEY\n@cert-authority * OTHER\n", "@cert-authority * CA\nHOST OTHER\n", "HOST "+cert, "@cert-authority * "+cert)
	}
	t.Logf("%d verdicts are the same", same)
}
