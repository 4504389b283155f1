package clamd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/clamd"
)

// daemon stands for clamd: it finds something in whatever has "virus" in it.
func daemon() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var command []byte // up to the chunk of length 0
			for part := make([]byte, 4096); !bytes.HasSuffix(command, make([]byte, 4)); {
				n, err := conn.Read(part)
				if err != nil {
					break
				}
				command = append(command, part[:n]...)
			}
			answer := "stream: OK\x00"
			if bytes.Contains(command, []byte("virus")) {
				answer = "stream: Test.Signature FOUND\x00"
			}
			io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return l
}

// A Scanner is given to whatever imports, such as component.Options; Scan asks directly.
func Example() {
	l := daemon()
	defer l.Close()
	scanner := clamd.Scanner{Network: "tcp", Address: l.Addr().String()}
	for _, content := range []string{"a certificate", "a virus"} {
		err := scanner.Scan(context.Background(), "partner.p12", []byte(content))
		fmt.Println(errors.Is(err, trustkeep.ErrRejected), err)
	}
	// Output:
	// false <nil>
	// true clamd: scan: partner.p12: rejected: Test.Signature
}
