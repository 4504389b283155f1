// Package audit reports what would break or weaken a connection: in keystores, truststores,
// components and certificates.
//
// Most programs need five names: [Run], [Target], [Report], [Report.Worst] and
// [Options.Expiring].
//
//	report := audit.Run(
//		audit.Target{Keystore: ks, Roles: issue.ForServer},
//		audit.Target{Truststore: partners, Path: "partners.jks"},
//	)
//	fmt.Print(report)
//	if report.Worst() >= trustkeep.Warning {
//		os.Exit(1)
//	}
//	soon := audit.Options{Window: 60 * 24 * time.Hour}.Expiring(audit.Target{Keystore: ks})
//
// Each finding has a stable code, a severity and a remedy. A Report prints as text, marshals
// to JSON and logs to slog. It holds aliases, subjects and dates, and never a password or a
// key.
//
// Run compares the targets with each other too: it finds a key in two stores. It unlocks
// private keys to check that they match their certificates, and tries well-known passwords,
// unless [Options.SkipKeys] is set.
//
// [CanRead] predicts which consumers can read a store that is about to be saved.
package audit
