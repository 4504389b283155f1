package jks

import (
	"testing"

	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/javaio/javatest"
)

func TestCorpus(t *testing.T) { javatest.CheckCorpus(t, Parse, entry.JKS, entry.JCEKS) }
