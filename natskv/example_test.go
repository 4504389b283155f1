package natskv_test

import (
	"context"
	"log"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/natskv"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// An atom follows the records of its environment, over TLS with its own certificate.
func ExampleConnect() {
	ctx := context.Background()
	brokers, err := truststore.Load("brokers.p12", trustkeep.Password("changeit"))
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
	dialer, err := tlsctx.Builder{Trusted: brokers, Identity: me}.Dialer()
	if err != nil {
		log.Fatal(err)
	}
	storage, err := natskv.Connect(ctx, natskv.Server{URLs: []string{"nats://nats.example:4222"}, TLS: dialer}, natskv.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer storage.Close()
	updates, err := storage.Watch(ctx, "environments/production/")
	if err != nil {
		log.Fatal(err)
	}
	for u := range updates {
		log.Printf("%d records have changed", len(u.Records))
	}
}
