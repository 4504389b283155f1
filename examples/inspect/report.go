package main

import (
	"errors"
	"fmt"
	"strings"
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
	Name         string    `json:"name,omitempty"` // that the store gives it
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
	checks, notTried := make(map[string]keystore.KeyCheck), 0
	var limit error
	all := ks.CheckKeys(checking)
	for _, c := range all {
		checks[c.Alias] = c
		if errors.Is(c.Err, trustkeep.ErrLimit) {
			notTried++
			limit = c.Err
		}
	}
	if notTried > 0 {
		r.Findings = append(r.Findings, finding{Code: "keys-not-tried", Text: fmt.Sprintf("%d of %d keys not tried: %v", notTried, len(all), limit)})
	}
	for i, e := range entries {
		r.Entries[i] = describeEntry(ks, e, checks[e.Alias])
	}
	return r
}

// checking bounds how long the keys of a file are tried: all of them take less than a
// second. What reading the file may cost comes before it.
var checking = trustkeep.Limits{MaxIterations: 2_500_000}

func describeEntry(ks *keystore.Keystore, e keystore.Entry, check keystore.KeyCheck) entryReport {
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
	info := check.Info
	if check.Err != nil {
		out.Error = check.Err.Error()
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
		name := ""
		if e.ChainNames != nil {
			name = e.ChainNames[i]
		}
		if e.OtherNames != nil && len(e.OtherNames[i]) > 0 {
			others := strings.Join(e.OtherNames[i], ", ")
			name = strings.TrimPrefix(name+", "+others, ", ")
		}
		out[i] = certReport{
			Subject: c.Subject, Issuer: c.Issuer, Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
			Name: name, SHA256: c.SHA256, KeyAlgorithm: c.KeyAlgorithm, SANs: append([]string{}, c.Names...),
		}
	}
	return out
}
