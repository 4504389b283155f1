module github.com/trustkeep/trustkeep/bench

go 1.26.0

require (
	github.com/spiffe/go-spiffe/v2 v2.9.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0 // indirect
)

require (
	github.com/jlaffaye/ftp v0.2.4
	github.com/pkg/sftp v1.13.12
	github.com/trustkeep/trustkeep v0.0.0
)

require (
	github.com/kr/fs v0.1.0 // indirect
	golang.org/x/net v0.60.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/trustkeep/trustkeep => ../
