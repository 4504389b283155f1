package main

import (
	"os"
	"strings"
	"testing"
)

// TestPerPartner shows what one partner may need, and what a receiver may demand.
func TestPerPartner(t *testing.T) {
	in := files(t)
	key := []string{"-passphrase", "pw"}
	with := func(command string, args ...string) []string {
		return append(append([]string{command}, args...), key...)
	}
	both := with("sign", "-key", in("me_priv.asc"), "-key", in("partner_priv.asc"), "-text", "-hash", "sha512", "-lifetime", "1h",
		"-notation", "order@example.com=7", "-context", "invoice")
	message := must(t, "order\n", both...)
	demand := []string{"verify", "-verify", in("me_pub.asc"), "-also", in("partner_pub.asc"), "-context", "invoice", "-notation", "order@example.com=7", "-max-age", "10m", "-json"}
	if v := parseVerdict(t, must(t, message, demand...)); !v.OK || len(v.Signers) != 2 {
		t.Errorf("%+v", v)
	}
	for name, args := range map[string][]string{
		"another context":  {"-context", "order"},
		"another notation": {"-notation", "order@example.com=8"},
	} {
		if status, _, stderr := call(t, message, append(demand, args...)...); status != exitRefused {
			t.Errorf("%s: %d %s", name, status, stderr)
		}
	}
	alone := must(t, "order\n", with("sign", "-key", in("me_priv.asc"), "-context", "invoice")...)
	if status, _, stderr := call(t, alone, "verify", "-verify", in("me_pub.asc"), "-also", in("partner_pub.asc"), "-context", "invoice"); status != exitRefused || !strings.Contains(stderr, "every signer") {
		t.Errorf("one of two: %d %s", status, stderr)
	}
	// A message for one partner, and its session key for whoever may read this one.
	sealed := must(t, "order\n", with("encrypt", "-to", in("partner_pub.asc"), "-sign", in("me_priv.asc"), "-cipher", "aes128", "-ignore-preferences", "-all-subkeys", "-text", "-compress", "zip")...)
	session := strings.TrimSpace(must(t, sealed, with("decrypt", "-key", in("partner_priv.asc"), "-show-session-key")...))
	if !strings.HasPrefix(session, "7:") {
		t.Errorf("session key %.2s", session)
	}
	if got := must(t, sealed, "decrypt", "-session-key", session, "-verify", in("me_pub.asc")); got != "order\n" {
		t.Errorf("%q", got)
	}
	for name, args := range map[string][]string{
		"cipher":  with("encrypt", "-to", in("me_pub.asc"), "-cipher", "des"),
		"hash":    with("sign", "-key", in("me_priv.asc"), "-hash", "md5"),
		"no pair": with("sign", "-key", in("me_priv.asc"), "-notation", "x"),
	} {
		if status, _, _ := call(t, "x", args...); status != exitUsage {
			t.Errorf("%s: %d", name, status)
		}
	}
	for _, profile := range []string{"rsa2048", "brainpoolP256r1"} {
		must(t, "", "generate", "-profile", profile, "-uid", "x", "-passphrase", "pw", "-out", in(profile))
		if _, err := os.Stat(in(profile)); err != nil {
			t.Error(err)
		}
	}
	if status, _, stderr := call(t, "", "lookup", "nobody"); status != exitRefused || !strings.Contains(stderr, "invalid") {
		t.Errorf("%d %s", status, stderr)
	}
}
