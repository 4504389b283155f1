// Package environment manages certificates and keys that several programs share, and
// deploys them.
//
// Most users need five names: Open, Registry, Environment, Atom and Connection.
//
// A Registry holds components, X.509 and PGP, public and private, and the connections,
// processes and partners that refer to them by ID. An Environment, such as "test" or
// "production", is a place to which they are deployed. Running programs attach to one as an
// Atom and follow it:
//
//	storage, err := dirstore.Open("/var/lib/certificates", dirstore.Options{})
//	registry, err := environment.Open(ctx, storage, environment.Options{Sealer: environment.FileSealer("/run/secrets/registry")})
//	test, err := registry.Environment(ctx, "test")
//	atom, err := test.Attach(ctx, "node-1", environment.AtomOptions{})
//	builder, err := atom.Connection("ftps-partner")
//	dialer, err := builder.Dialer()
//
// Start opens the registry and attaches in one step, and works while the storage cannot be
// reached.
//
// # What a connection trusts
//
// A public X.509 component that is deployed to an environment is trusted by every
// connection there that has no trust of its own. A connection's own trusted components
// replace all of that: if the server presents A, A is deployed, and the connection is set
// to B, the connection fails. If a component of a connection is unavailable, the connection
// trusts nobody.
//
// # Replacing and freezing
//
// A component keeps its ID when its content is replaced: re-imported, regenerated, rolled
// back. Whatever refers to it uses the new content at once. A deployed process is
// the exception: it keeps the copies that it was deployed with, and Environment.Stale
// lists it until it is deployed again.
//
// Deleting what something else refers to fails with trustkeep.ErrInUse, also if the reference
// is made at the same moment by another program.
//
// # Storage
//
// Everything is in a Storage, which many programs may share: a directory (package
// dirstore) whose files keytool, openssl and gpg open, or NATS JetStream for a fleet of
// machines (module natskv). Private keys are in it under their passwords, and those under
// a key that the caller supplies, see Sealer, or sealed by environment, see Registry.Seal. docs/environment.md describes the records.
package environment
