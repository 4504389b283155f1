package sshctx

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Identity is one or several keys to log in with, or for a server to prove its name by. It is
// asked on each connection, so what it answers may change. It must be safe for concurrent use.
type Identity interface {
	SSHSigners() ([]ssh.Signer, error)
}

// FromIdentity uses the key of an X.509 identity, such as a *keystore.Identity or a
// *keystore.LiveIdentity. SSH knows nothing of the certificate.
func FromIdentity(id trustkeep.Identity) Identity { return x509Identity{id} }

type x509Identity struct{ id trustkeep.Identity }

func (x x509Identity) SSHSigners() ([]ssh.Signer, error) {
	if given.IsNil(x.id) {
		return nil, errNilIdentity
	}
	c, err := x.id.TLSCertificate()
	if err != nil {
		return nil, fmt.Errorf("sshctx: identity: %w", err)
	}
	if c == nil {
		return nil, errNilIdentity
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, &trustkeep.Error{Op: "sshctx: identity", Err: trustkeep.ErrUnsupported, Hint: "its private key is no crypto.Signer"}
	}
	return FromSigner(key).SSHSigners()
}

var errNilIdentity error = &trustkeep.Error{Op: "sshctx: identity", Err: trustkeep.ErrInvalid, Hint: "it is nil; was the error of making it checked?"}

// FromSigner uses a key that signs: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519. It may stay
// in hardware. keystore.Keystore.Signer has those of OpenSSH keys without a certificate.
func FromSigner(key crypto.Signer) Identity { return signerIdentity{key} }

type signerIdentity struct{ key crypto.Signer }

func (s signerIdentity) SSHSigners() ([]ssh.Signer, error) {
	if given.IsNil(s.key) {
		return nil, errNilIdentity
	}
	signer, err := ssh.NewSignerFromSigner(s.key)
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: identity", Err: trustkeep.ErrUnsupported, Hint: "SSH has RSA, ECDSA on the NIST curves and Ed25519"}
	}
	return []ssh.Signer{signer}, nil
}

// FromAgent uses the keys of an agent, such as golang.org/x/crypto/ssh/agent.ExtendedAgent. The
// agent is asked on each connection.
func FromAgent(agent interface{ Signers() ([]ssh.Signer, error) }) Identity {
	return agentIdentity{agent}
}

type agentIdentity struct {
	agent interface{ Signers() ([]ssh.Signer, error) }
}

func (a agentIdentity) SSHSigners() ([]ssh.Signer, error) {
	if given.IsNil(a.agent) {
		return nil, errNilIdentity
	}
	signers, err := a.agent.Signers()
	if err != nil {
		return nil, fmt.Errorf("sshctx: agent: %w", err)
	}
	return signers, nil
}

// WithCertificate shows an OpenSSH certificate with the key that it is for, and after it the key
// alone, for servers that do not know the authority. Line is the certificate as ssh-keygen writes
// it, in a file that ends in -cert.pub. The error is trustkeep.ErrCorrupt if it is none; using it
// with an identity that has not its key is trustkeep.ErrKeyMismatch.
func WithCertificate(id Identity, line []byte) (Identity, error) {
	if given.IsNil(id) {
		return nil, errNilIdentity
	}
	key, _, err := parseKeyFields(strings.TrimSpace(string(line)))
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: certificate", Err: err, Hint: "want the line of a file that ends in -cert.pub"}
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, &trustkeep.Error{Op: "sshctx: certificate", Err: fmt.Errorf("a plain key: %w", trustkeep.ErrUnsupported), Hint: "want the line of a file that ends in -cert.pub"}
	}
	return certified{id, cert}, nil
}

type certified struct {
	id   Identity
	cert *ssh.Certificate
}

func (c certified) SSHSigners() ([]ssh.Signer, error) {
	plain, err := c.id.SSHSigners()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(plain, func(s ssh.Signer) bool { return samePublicKey(s.PublicKey(), c.cert) })
	if i < 0 {
		return nil, &trustkeep.Error{Op: "sshctx: certificate", Err: trustkeep.ErrKeyMismatch, Hint: "the certificate is for " + describe(c.cert)}
	}
	signer, err := ssh.NewCertSigner(c.cert, plain[i])
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: certificate", Err: fmt.Errorf("%w", trustkeep.ErrKeyMismatch)}
	}
	return slices.Insert(plain, i, signer), nil
}

// AuthorizedLines returns the lines that let an identity log in: for the file authorized_keys of
// the server's user, or the administrator who keeps it. Certificates are left out.
func AuthorizedLines(id Identity) ([]string, error) {
	if given.IsNil(id) {
		return nil, errNilIdentity
	}
	signers, err := id.SSHSigners()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range signers {
		if line := keyText(bare(s.PublicKey())); !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out, nil
}

// signersOf asks identities for their keys, each once, and lets RSA keys sign with SHA-2 alone
// unless legacy names "ssh-rsa".
func signersOf(identities []Identity, legacy []string) ([]ssh.Signer, error) {
	var out []ssh.Signer
	var seen [][]byte
	for _, id := range identities {
		if given.IsNil(id) {
			return nil, errNilIdentity
		}
		signers, err := id.SSHSigners()
		if err != nil {
			return nil, err
		}
		for _, s := range signers {
			if given.IsNil(s) || given.IsNil(s.PublicKey()) {
				return nil, errNilIdentity
			}
			blob := s.PublicKey().Marshal()
			if slices.ContainsFunc(seen, func(b []byte) bool { return bytes.Equal(b, blob) }) {
				continue
			}
			seen = append(seen, blob)
			if s, err = modern(s, legacy); err != nil {
				return nil, err
			}
			out = append(out, s)
		}
	}
	return out, nil
}

// modern restricts an RSA signer to the hashes of RFC 8332.
func modern(s ssh.Signer, legacy []string) (ssh.Signer, error) {
	if bare(s.PublicKey()).Type() != ssh.KeyAlgoRSA {
		return s, nil
	}
	with, ok := s.(ssh.AlgorithmSigner)
	if !ok {
		return nil, &trustkeep.Error{Op: "sshctx: identity", Err: trustkeep.ErrUnsupported, Hint: "its RSA key can only sign with SHA-1, which servers refuse"}
	}
	algorithms := []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	if slices.Contains(legacy, ssh.KeyAlgoRSA) {
		algorithms = append(algorithms, ssh.KeyAlgoRSA)
	}
	if many, ok := s.(ssh.MultiAlgorithmSigner); ok {
		able := many.Algorithms()
		algorithms = slices.DeleteFunc(algorithms, func(a string) bool { return !slices.Contains(able, a) })
	}
	m, err := ssh.NewSignerWithAlgorithms(with, algorithms)
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: identity", Err: errors.Join(trustkeep.ErrUnsupported), Hint: "its RSA key signs with none of rsa-sha2-512 and rsa-sha2-256"}
	}
	return m, nil
}
