package testnet

import (
	"io"
	"net"
	"testing"
)

func TestServe(t *testing.T) {
	var idle net.Conn
	ended := make(chan error, 1)
	t.Run("served", func(t *testing.T) {
		address := Serve(t, func(c net.Conn) {
			first := make([]byte, 1)
			io.ReadFull(c, first)
			if first[0] == 'x' {
				_, err := c.Read(first)
				ended <- err
				return
			}
			c.Write(first)
		})
		var err error
		if idle, err = net.Dial("tcp", address); err != nil {
			t.Fatal(err)
		}
		idle.Write([]byte("x"))
		c, err := net.Dial("tcp", address) // beside the first
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte("y"))
		if got, err := io.ReadAll(c); string(got) != "y" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
	defer idle.Close()
	if err := <-ended; err == nil {
		t.Error("the end of the test did not end the connection")
	}
}
