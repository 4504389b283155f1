module github.com/trustkeep/trustkeep

go 1.26.0

require (
	github.com/ProtonMail/go-crypto v1.5.2
	github.com/pavlo-v-chernykh/keystore-go/v4 v4.5.0
	github.com/smallstep/pkcs7 v0.2.3
	golang.org/x/crypto v0.58.0
	golang.org/x/net v0.60.0
	golang.org/x/sys v0.49.0
	software.sslmate.com/src/go-pkcs12 v0.7.4
)

require (
	github.com/cloudflare/circl v1.6.3 // indirect
	golang.org/x/text v0.43.0 // indirect
)
