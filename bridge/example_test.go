package bridge_test

import (
	"fmt"
	"log"

	keystorego "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/bridge"
)

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
