package pgstore_test

import (
	"context"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgstore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// A registry in a database, over TLS with a certificate of its own.
func ExampleOpen() {
	ctx := context.Background()
	config, err := pgxpool.ParseConfig("postgres://trustkeep@db.example/registry?target_session_attrs=read-write")
	if err != nil {
		log.Fatal(err)
	}
	databases, err := truststore.Load("databases.p12", trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keystore.Load("atom.p12", trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	me, err := keys.Identity("atom-17")
	if err != nil {
		log.Fatal(err)
	}
	dialer, err := tlsctx.Builder{Trusted: databases, Identity: me}.Dialer()
	if err != nil {
		log.Fatal(err)
	}
	if err := pgstore.UseTLS(config, dialer); err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	storage, err := pgstore.Open(ctx, pool, pgstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer storage.Close()
	registry, err := environment.Open(ctx, storage, environment.Options{})
	if err != nil {
		log.Fatal(err)
	}
	environments, err := registry.Environments(ctx)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("%d environments", len(environments))
}
