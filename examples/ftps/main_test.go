package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep/examples/internal/ftpserver"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

func TestProve(t *testing.T) {
	var out bytes.Buffer
	if err := prove(t.Context(), &out); err != nil || bytes.Count(out.Bytes(), []byte("as it should")) != 12 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// What is fetched stands under its name when it is complete.
func TestFetch(t *testing.T) {
	s := new(ftpserver.Server)
	address, b := start(t, s, 0)
	s.Put("folder/x", []byte("content"))
	c, _, err := connect(t.Context(), b, address, ftps.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	if err := c.Login("u", "p"); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := fetch(c, "folder/none", folder); err == nil {
		t.Error("fetched what is not there")
	}
	if err := fetch(c, "folder/x", folder); err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "x" {
		t.Errorf("%q, %v", files, err)
	}
	if err := send(c, files[0]); err != nil {
		t.Error(err)
	}
	if got, _ := s.File("x"); string(got) != "content" {
		t.Errorf("%q", got)
	}
}
