package jks

import (
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// secret reads a secret key entry of JCEKS: a serialized
// SealedObjectForKeyProtector, which carries no length but its own grammar.
// Protected is that object, Open yields the bytes of the key itself.
func (d *decoder) secret(e *entry.Entry) error {
	rest := d.Rest()
	object, n, err := readObject(rest)
	if err != nil {
		return err
	}
	if object.class != classSealedForKey && object.class != classSealed {
		return fmt.Errorf("class %s is no sealed key: %w", object.class, trustkeep.ErrUnsupported)
	}
	e.Kind = entry.Secret
	e.Key = newSecretKey(object, d.Bytes(n))
	return nil
}

func newSecretKey(sealed *javaObject, protected []byte) *entry.PrivateKey {
	k := &entry.PrivateKey{Protected: protected, Encrypted: true}
	algorithm := sealed.text("sealAlg")
	if algorithm != nameTripleDES {
		k.Protection = trustkeep.Printable(algorithm)
		k.Unlock = neverOpens(fmt.Errorf("sealed with %q: %w", k.Protection, trustkeep.ErrUnsupported))
		return k
	}
	scheme, err := parseTripleDES(sealed.bytes("encodedParams"))
	if err != nil {
		k.Protection = nameTripleDES
		k.Unlock = neverOpens(err)
		return k
	}
	k.Protection = scheme.String()
	content := sealed.bytes("encryptedContent")
	k.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
		name, key, err := openSecret(scheme, content, password, spend)
		if err == nil {
			k.LearnAlgorithm(name)
		}
		return named(key, err)
	}
	return k
}

func openSecret(scheme *tripleDES, content, password []byte, spend limits.Spender) (algorithm string, key []byte, err error) {
	plain, err := scheme.open(content, password, spend)
	if err != nil {
		return "", nil, err
	}
	// The key is copied out, so that nothing else of the plaintext stays.
	defer clear(plain)
	object, n, err := readObject(plain)
	if errors.Is(err, trustkeep.ErrCorrupt) || err == nil && n != len(plain) {
		// Nothing authenticates the ciphertext, and the padding is right
		// for one wrong password in 256.
		return "", nil, trustkeep.ErrIncorrectPassword
	}
	if err != nil {
		return "", nil, err
	}
	switch object.class {
	case classSecretKey:
		return object.text("algorithm"), cloneKey(object.bytes("key")), nil
	case classKeyRep: // how the JDK's own key classes serialize themselves
		kind, _ := object.fields["type"].(javaEnum)
		if kind != (javaEnum{classKeyRepType, "SECRET"}) || object.text("format") != "RAW" {
			return "", nil, fmt.Errorf("key of type %q and format %q: %w",
				trustkeep.Printable(kind.constant), trustkeep.Printable(object.text("format")), trustkeep.ErrUnsupported)
		}
		return object.text("algorithm"), cloneKey(object.bytes("encoded")), nil
	}
	return "", nil, fmt.Errorf("class %s is no secret key: %w", object.class, trustkeep.ErrUnsupported)
}

// cloneKey never returns nil, which would read as "not opened".
func cloneKey(key []byte) []byte { return append([]byte{}, key...) }

// sealSecret is the inverse of newSecretKey and its Open.
func sealSecret(scheme *tripleDES, algorithm string, key, password []byte) ([]byte, error) {
	plain, err := serializeSecret(algorithm, key)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	content, err := scheme.seal(plain, password)
	if err != nil {
		return nil, err
	}
	params, err := scheme.params()
	if err != nil {
		return nil, err
	}
	return serializeSealed(params, content, nameTripleDES)
}
