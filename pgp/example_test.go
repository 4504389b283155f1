package pgp_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

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

func Example() {
	us, them := generate("us"), generate("them")

	var message bytes.Buffer
	err := pgp.Encryption{To: []*pgp.Key{them.Public()}, Signers: []*pgp.Key{us}, Armor: true}.
		Encrypt(&message, strings.NewReader("order 4711"))
	fmt.Println(err)

	var content bytes.Buffer
	res, err := pgp.Decryption{Keys: []*pgp.Key{them}, Signers: []*pgp.Key{us.Public()}}.Decrypt(&content, &message)
	fmt.Println(content.String(), res.Signature, err)
	// Output:
	// <nil>
	// order 4711 valid <nil>
}

// A message that the expected partner did not sign is refused, and the reason
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
