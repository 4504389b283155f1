package main

import (
	"runtime"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// report is what -json prints of a file.
type report struct {
	File     string        `json:"file"`
	Format   string        `json:"format"`
	Entries  []entryReport `json:"entries"`
	Findings []finding     `json:"findings"`
}

type entryReport struct {
	Alias     string       `json:"alias"`
	Kind      string       `json:"kind"`
	Algorithm string       `json:"algorithm"`
	Chain     []certReport `json:"chain"`
	// Unlocked: the key was decrypted and, as far as its algorithm is known,
	// belongs to its certificate.
	Unlocked bool   `json:"unlocked"`
	Error    string `json:"error"`
	// SSHFingerprint is that of the public key as ssh-keygen prints it, for
	// keys of OpenSSH.
	SSHFingerprint string `json:"sshFingerprint,omitempty"`

	protection string
	created    time.Time
}

type certReport struct {
	Subject      string    `json:"subject"`
	Issuer       string    `json:"issuer"`
	Serial       string    `json:"serial"` // hex
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	SHA256       string    `json:"sha256"`
	KeyAlgorithm string    `json:"keyAlgorithm"`
	SANs         []string  `json:"sans"`
}

type finding struct {
	Alias string `json:"alias"`
	Code  string `json:"code"`
	Text  string `json:"text"`
}

// describe looks at every entry, and tries every key.
func describe(file string, ks *keystore.Keystore) report {
	entries := ks.Entries()
	r := report{File: file, Format: string(ks.Format()), Entries: make([]entryReport, len(entries)), Findings: []finding{}}
	for _, f := range ks.Findings() {
		r.Findings = append(r.Findings, finding{f.Alias, string(f.Code), f.Text})
	}
	// Each key costs a derivation, so they are shared out.
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				r.Entries[i] = describeEntry(ks, entries[i])
			}
		})
	}
	for i := range entries {
		next <- i
	}
	close(next)
	wg.Wait()
	return r
}

func describeEntry(ks *keystore.Keystore, e keystore.Entry) entryReport {
	out := entryReport{
		Alias: e.Alias, Kind: e.Kind.String(), Algorithm: e.Algorithm, Chain: chain(e),
		protection: e.Protection, created: e.Created,
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	if e.Kind != keystore.KeyEntry && e.Kind != keystore.SecretEntry {
		return out
	}
	info, err := ks.CheckKey(e.Alias)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.Unlocked = true
	if info.Algorithm != "" {
		out.Algorithm = info.Algorithm
	}
	if ks.Format() == trustkeep.OpenSSH {
		out.SSHFingerprint = info.SSHFingerprint
	}
	return out
}

// chain describes all certificates of an entry, also those that crypto/x509
// cannot parse.
func chain(e keystore.Entry) []certReport {
	out := make([]certReport, len(e.RawChain))
	for i, raw := range e.RawChain {
		c := keystore.DescribeCertificate(raw)
		out[i] = certReport{
			Subject: c.Subject, Issuer: c.Issuer, Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			SHA256: c.SHA256, KeyAlgorithm: c.KeyAlgorithm, SANs: append([]string{}, c.Names...),
		}
	}
	return out
}
