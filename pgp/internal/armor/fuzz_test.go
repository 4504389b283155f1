package armor

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func FuzzArmor(f *testing.F) {
	files, err := filepath.Glob("../../testdata/*.asc")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := Decode(data, BlockMessage)
		if err != nil || !Is(data) {
			return
		}
		again, err := Encode(BlockMessage, body, WithChecksum)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again, BlockMessage)
		if err != nil || !bytes.Equal(back, body) {
			t.Errorf("%v: armor does not round-trip", err)
		}
	})
}
