package storagetest_test

import (
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

func TestMemory(t *testing.T) {
	storagetest.Run(t, func(*testing.T) environment.Storage { return storagetest.NewMemory(nil) })
}
