//go:build unix

package pgp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesFollowLinks writes through a symbolic link whose target does not exist yet.
func TestFilesFollowLinks(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := []byte("content")
	message := encrypted(t, Encryption{To: []*Key{k}}, content)
	for name, write := range map[string]func(string) error{
		"encrypted": func(path string) error {
			return Encryption{To: []*Key{k}}.EncryptFile(path, bytes.NewReader(content))
		},
		"decrypted": func(path string) error {
			_, err := Decryption{Keys: []*Key{k}}.DecryptFile(path, bytes.NewReader(message))
			return err
		},
	} {
		dir := t.TempDir()
		link := filepath.Join(dir, name)
		if err := os.Symlink("target", link); err != nil {
			t.Skip(err)
		}
		if err := write(link); err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(link); err != nil || to != "target" {
			t.Errorf("%s: the link was replaced: %v", name, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "target")); err != nil || info.Size() == 0 || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// stuckReader says that it has been read to its end, and waits to be killed.
type stuckReader struct{ io.Reader }

func (s stuckReader) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		fmt.Println("stuck")
		io.Copy(io.Discard, os.Stdin)
	}
	return n, err
}

// TestKilledDecryption kills a process that has decrypted nearly all of a message and not
// authenticated it. Nothing of it may be left. The test binary itself is the process.
func TestKilledDecryption(t *testing.T) {
	const env = "TRUSTKEEP_TEST_DECRYPT"
	if path := os.Getenv(env); path != "" {
		k := fixtureKey(t, "gpg-ed25519_priv.asc")
		var content []byte
		for len(content) < 4<<20 {
			content = append(append(content, "plaintext "...), randomBytes(t, 1000)...) // which compression leaves long
		}
		message := encrypted(t, Encryption{To: []*Key{k}}, content)
		_, err := Decryption{Keys: []*Key{k}}.DecryptFile(path, stuckReader{bytes.NewReader(message[:len(message)-100])})
		fmt.Println("ended:", err)
		return
	}
	path := filepath.Join(t.TempDir(), "plain")
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledDecryption$")
	cmd.Env = append(os.Environ(), env+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if line != "stuck\n" {
		t.Fatalf("%q, %v", line, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "plaintext") {
			t.Errorf("%s holds %d bytes that were not authenticated", e.Name(), len(data))
		}
	}
}
