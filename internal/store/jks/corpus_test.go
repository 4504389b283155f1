package jks

import (
	"testing"

	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
)

func TestCorpus(t *testing.T) { javatest.CheckCorpus(t, Parse, entry.JKS, entry.JCEKS) }
