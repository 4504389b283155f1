package pgp

// SignatureState is the verdict on a signature.
type SignatureState uint8

// The states. Only SignatureValid means that the content is as an expected
// signer signed it.
const (
	// SignatureUnverified: no verdict was reached, such as before the end of
	// the message. The zero value.
	SignatureUnverified SignatureState = iota
	SignatureNone                      // there is no signature
	SignatureValid                     // made by an expected signer, and good
	SignatureUnknown                   // made by somebody else
	SignatureInvalid                   // does not fit the content, or its key may not sign
	SignatureExpired                   // good, but the key or the signature has expired
	SignatureRevoked                   // good, but the key has been revoked
	SignatureWeak                      // good, but by algorithms that the policy refuses
)

// String returns the word that stands for the state in JSON.
func (s SignatureState) String() string {
	names := [...]string{"unverified", "none", "valid", "unknown", "invalid", "expired", "revoked", "weak"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (s SignatureState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
