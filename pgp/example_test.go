package pgp_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/pgp"
)

func generate(name string) *pgp.Key {
	key, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{name + " <" + name + "@example.com>"}})
	if err != nil {
		panic(err)
	}
	return key
}

// files writes what two partners have: each its own private key, and the public
// key of the other.
func files() (dir string) {
	dir, err := os.MkdirTemp("", "pgp")
	if err != nil {
		panic(err)
	}
	for _, name := range []string{"own", "partner"} {
		key, _, err := pgp.Generate(pgp.GenerateOptions{
			UserIDs: []string{name + "@example.com"}, Passphrase: trustkeep.Password("secret"),
		})
		if err != nil {
			panic(err)
		}
		private, err := key.ArmorPrivate()
		if err != nil {
			panic(err)
		}
		public, err := key.Armor()
		if err != nil {
			panic(err)
		}
		os.WriteFile(filepath.Join(dir, name+"_priv.asc"), private, 0o600)
		os.WriteFile(filepath.Join(dir, name+"_pub.asc"), public, 0o644)
	}
	return dir
}

// Two partners exchange a message. What can go wrong is shown only once.
func Example() {
	dir := files()
	defer os.RemoveAll(dir)

	// We encrypt to the partner's public key and sign with our private key.
	own, err := pgp.Load(filepath.Join(dir, "own_priv.asc"))
	if err != nil {
		fmt.Println(err)
		return
	}
	partner, _ := pgp.Load(filepath.Join(dir, "partner_pub.asc"))
	us, err := own.Keys()[0].Unlock(trustkeep.Password("secret"), pgp.Options{})
	fmt.Println("unlocked:", err == nil)

	var message bytes.Buffer
	err = pgp.Encryption{To: partner.Keys(), Signers: []*pgp.Key{us}, Armor: true}.
		Encrypt(&message, strings.NewReader("order 4711"))
	fmt.Println("encrypted:", err == nil)

	// The partner decrypts and accepts our signature alone.
	theirs, _ := pgp.Load(filepath.Join(dir, "partner_priv.asc"))
	ours, _ := pgp.Load(filepath.Join(dir, "own_pub.asc"))
	var content bytes.Buffer
	res, err := pgp.Decryption{
		Keys: theirs.Keys(), Passphrase: trustkeep.Password("secret"), Signers: ours.Keys(),
	}.Decrypt(&content, &message)
	fmt.Println(content.String(), res.Signature, err)
	// Output:
	// unlocked: true
	// encrypted: true
	// order 4711 valid <nil>
}

// A message may be encrypted to a password instead of a key.
func ExampleDecryption() {
	password := trustkeep.Password("correct horse")
	var message, content bytes.Buffer
	pgp.Encryption{Passwords: []trustkeep.PasswordSource{password}}.Encrypt(&message, strings.NewReader("order 4711"))

	d := pgp.Decryption{Passwords: []trustkeep.PasswordSource{trustkeep.Password("guess"), password}}
	res, err := d.Decrypt(&content, &message)
	fmt.Println(content.String(), res.ByPassword, res.Signature, err)
	fmt.Printf("%v\n", d.Passwords)
	// Output:
	// order 4711 true none <nil>
	// [[redacted] [redacted]]
}

// A message that the expected partner did not sign is refused, and the error
// says why.
func ExampleDecryption_Decrypt() {
	us, them, other := generate("us"), generate("them"), generate("other")
	var message, content bytes.Buffer
	pgp.Encryption{To: []*pgp.Key{us}, Signers: []*pgp.Key{other}}.Encrypt(&message, strings.NewReader("pay 1000"))

	_, err := pgp.Decryption{Keys: []*pgp.Key{us}, Signers: []*pgp.Key{them}}.Decrypt(&content, &message)
	var signature *pgp.SignatureError
	fmt.Println(errors.As(err, &signature), signature.State, content.Len())
	// Output: true unknown 0
}

// A keyring holds what a file held. Look keys up by fingerprint: anyone can put
// any e-mail address into a key.
func ExampleKeyring() {
	alice, bob := generate("alice"), generate("bob")
	both, _ := new(pgp.Keyring).With(alice, bob)
	text, _ := both.Armor()

	ring, err := pgp.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	for key := range ring.All() {
		fmt.Println(key.Info(pgp.Options{}).UserIDs[0].ID, key.IsPrivate())
	}
	found, err := ring.Key(bob.Fingerprint())
	fmt.Println(found.Fingerprint() == bob.Fingerprint(), err)
	_, err = ring.Key("0000000000000000000000000000000000000000")
	fmt.Println(errors.Is(err, trustkeep.ErrNotFound))
	// Output:
	// alice <alice@example.com> false
	// bob <bob@example.com> false
	// true <nil>
	// true
}

// A detached signature leaves the content as it is.
func ExampleSigning() {
	us := generate("us")
	const content = "release 1.2.3"
	var signature bytes.Buffer
	err := pgp.Signing{Signers: []*pgp.Key{us}, Armor: true}.Detached(&signature, strings.NewReader(content))
	first, _, _ := strings.Cut(signature.String(), "\n")
	fmt.Println(first, err)

	err = pgp.Signing{}.Detached(&signature, strings.NewReader(content))
	fmt.Println(err)
	// Output:
	// -----BEGIN PGP SIGNATURE----- <nil>
	// pgp: no signer: invalid argument
}

// A signature is verified against the signers that are expected, and only
// against those.
func ExampleVerification() {
	us, stranger := generate("us"), generate("stranger")
	const content = "release 1.2.3"
	var signature bytes.Buffer
	pgp.Signing{Signers: []*pgp.Key{us}}.Detached(&signature, strings.NewReader(content))
	file := signature.Bytes()

	res, err := pgp.Verification{Signers: []*pgp.Key{us.Public()}}.
		Detached(strings.NewReader(content), bytes.NewReader(file))
	fmt.Println(res.Signature, err)
	res, err = pgp.Verification{Signers: []*pgp.Key{us.Public()}}.
		Detached(strings.NewReader("release 6.6.6"), bytes.NewReader(file))
	fmt.Println(res.Signature, errors.Is(err, trustkeep.ErrRejected))
	res, err = pgp.Verification{Signers: []*pgp.Key{stranger}}.
		Detached(strings.NewReader(content), bytes.NewReader(file))
	fmt.Println(res.Signature, errors.Is(err, trustkeep.ErrRejected))
	// Output:
	// valid <nil>
	// invalid true
	// unknown true
}

// A key that is made here comes with a certificate that revokes it. Keep that
// apart from the key.
func ExampleGenerate() {
	key, revocation, err := pgp.Generate(pgp.GenerateOptions{
		UserIDs: []string{"EDI <edi@example.com>"}, Passphrase: trustkeep.Password("secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	revoked, err := key.Public().ApplyRevocation(revocation)
	fmt.Println(key.Revoked(), revoked.Revoked(), err)
	// Output: false true <nil>
}

// Old and new keys of a partner live side by side.
func Example_rollover() {
	before, after := generate("before"), generate("after")
	var keys partner.Set[*pgp.Key]
	for _, k := range []*pgp.Key{before, after} {
		keys.Add(partner.Member[*pgp.Key]{Item: k.Public(), Uses: partner.Encrypt | partner.Verify})
	}
	accept, err := keys.Resolve(partner.Verify, before.NotBefore())
	fmt.Println(len(accept), err)
	// Output: 2 <nil>
}

func ExampleKey_Unlock() {
	key, _, _ := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{"a"}, Passphrase: trustkeep.Password("secret")})
	file, _ := key.ArmorPrivate()

	ring, _ := pgp.Parse(file)
	locked := ring.Keys()[0]
	_, err := locked.Unlock(trustkeep.Password("guess"), pgp.Options{})
	fmt.Println(locked.IsLocked(), errors.Is(err, trustkeep.ErrIncorrectPassword))
	// Output: true true
}

// Private keys can be elsewhere: on a card, in a KMS, with an agent. Here, two keys of the
// standard library stand for them.
func ExampleKey_WithPrivate() {
	signer, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // any crypto.Signer
	decrypter, _ := ecdh.P256().GenerateKey(rand.Reader)         // any ecdh.KeyExchanger

	made, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{"orders <orders@example.com>"}}, signer, decrypter)
	if err != nil {
		fmt.Println(err)
		return
	}
	public := made.Marshal() // what is stored, and given to partners

	ring, _ := pgp.Parse(public)
	us, err := ring.Keys()[0].WithPrivate(signer, decrypter)
	if err != nil {
		fmt.Println(err)
		return
	}
	var message, content bytes.Buffer
	pgp.Encryption{To: ring.Keys(), Signers: []*pgp.Key{us}}.Encrypt(&message, strings.NewReader("order"))
	res, err := pgp.Decryption{Keys: []*pgp.Key{us}, Signers: ring.Keys(), MustBeSigned: true}.Decrypt(&content, &message)
	fmt.Println(err, res.Signature, content.String(), us.IsPrivate())
	// Output: <nil> valid order false
}

// What one partner needs is said in the fields; what is demanded of their signatures, too.
func ExampleSigningContext() {
	a, b, us := generate("a"), generate("b"), generate("us")
	invoice := pgp.SigningContext("invoice")
	var message, content bytes.Buffer
	pgp.Encryption{
		To: []*pgp.Key{us}, Signers: []*pgp.Key{a, b}, Notations: []pgp.Notation{invoice}, Lifetime: time.Hour,
		Cipher: pgp.AES128, IgnorePreferences: true, AllSubkeys: true,
	}.Encrypt(&message, strings.NewReader("pay 1000"))

	demands := pgp.Decryption{
		Keys: []*pgp.Key{us}, Signers: []*pgp.Key{a}, AlsoSignedBy: [][]*pgp.Key{{b}}, // signed by both
		Notations: []pgp.Notation{invoice}, MaxAge: 24 * time.Hour,
	}
	res, err := demands.Decrypt(&content, &message)
	fmt.Println(err, len(res.SignedBy()), res.SafeFileName("invoice.txt"))
	// Output: <nil> 2 invoice.txt
}
