package environment

import "time"

// WaitForPasswords bounds how long handshakes wait for a password.
func (a *Atom) WaitForPasswords(d time.Duration) { a.passwordWait = d }
