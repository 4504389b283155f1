package sshctx_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/sshctx"
)

const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJK8tgvU/N7ejyH2KNZeOz8j7JkTiwYXtN55AzgrrXGD"
	keyB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDyvnzFlcZvvzXGEQ96BzNkaCvRrFO3gHkGJEwAgrJTM"
)

// The trust of a connection replaces that of the environment.
func Example() {
	global, err := sshctx.ParseKnownHosts([]byte("sftp.example.com " + keyA))
	if err != nil {
		log.Fatal(err)
	}
	b, err := sshctx.ParsePin(keyB)
	if err != nil {
		log.Fatal(err)
	}
	connection := sshctx.Builder{
		Global: global, Trusted: sshctx.Pinned(b),
		User: "partner", Password: trustkeep.PasswordFromEnv("SFTP_PASSWORD"),
	}
	config, err := connection.Client("sftp.example.com")
	if err != nil {
		log.Fatal(err)
	}
	a, err := global.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.User, config.HostKeyAlgorithms, a.Empty())
	// Output: partner [ssh-ed25519] false
}

// A host that is not known is refused; the error names the fingerprint to compare.
func ExampleHosts_Verify() {
	hosts, err := sshctx.ParseKnownHosts([]byte("*.example.com " + keyA))
	if err != nil {
		log.Fatal(err)
	}
	shown, err := sshctx.ParsePin(keyB)
	if err != nil {
		log.Fatal(err)
	}
	if err := hosts.Add("sftp.example.org:2222", exampleKey(keyB)); err != nil {
		log.Fatal(err)
	}
	now, err := hosts.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	_, err = now.Verify("sftp.example.com", exampleKey(keyB), sshctx.VerifyOptions{})
	var refused *sshctx.HostKeyError
	fmt.Println(errors.As(err, &refused), refused.Code, refused.Lines, refused.Fingerprint == shown.String())
	// Output: true changed-host-key [line 1] true
}
