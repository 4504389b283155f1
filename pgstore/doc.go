// Package pgstore keeps the records of environments (package environment) in PostgreSQL, for
// those who have a database and no broker.
//
//	pool, err := pgxpool.New(ctx, "postgres://trustkeep@db.example/registry")
//	storage, err := pgstore.Open(ctx, pool, pgstore.Options{})
//	registry, err := environment.Open(ctx, storage, environment.Options{})
//
// Writers of one schema take turns: each locks the row that counts revisions until it commits,
// so that revisions become visible in their order. LISTEN and NOTIFY only wake watchers; what
// has changed they read from the tables, after the last revision that they know, and after
// each new connection all of it. What a read returns is as fresh as the server that is asked:
// connect to the primary, or to standbys that are synchronous with remote_apply. A standby
// takes no LISTEN: there a watcher sees what is new with its heartbeat.
//
// The server is PostgreSQL 12 or later.
package pgstore
