package bridge_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	keystorego "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/bridge"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// A JKS store replaces its file only if keystore-go reads the same from it.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ks := keystore.New()
	if err := ks.AddIdentity("server", pkitest.New(exampleTB{}).Server); err != nil {
		log.Fatal(err)
	}
	err = ks.Save(filepath.Join(dir, "server.jks"), trustkeep.SaveOptions{
		Format: trustkeep.JKS, Password: trustkeep.Password("changeit"),
		Check: func(e trustkeep.Encoded) error {
			fmt.Println(bridge.Ask(e))
			return bridge.Check(e)
		},
	})
	fmt.Println(err)
	// Output:
	// keystore-go agreed
	// <nil>
}

// A program that still fills a KeyStore of keystore-go hands it over.
func ExampleFromKeystoreGo() {
	ks := keystorego.New()
	k, err := bridge.FromKeystoreGo(ks, trustkeep.Password("changeit"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(k)
	// Output: jks keystore, 0 entries
}

// Ask tells in words what Check decides.
func ExampleAsk() {
	fmt.Println(bridge.Ask(trustkeep.Encoded{Container: trustkeep.BKS}))
	// Output: not asked: there is no second implementation of bks
}
