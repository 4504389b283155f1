// Package audit looks at keystores, truststores, components and certificates as a reviewer
// does, and reports what would break or weaken a connection.
//
// Most programs need five names: [Run], [Target], [Report], [Report.Worst] and
// [Options.Expiring].
//
//	report := audit.Run(
//		audit.Target{Keystore: ks, Roles: keystore.ForServer},
//		audit.Target{Truststore: partners, Path: "partners.jks"},
//	)
//	fmt.Print(report)
//	if report.Worst() >= trustkeep.Warning {
//		os.Exit(1)
//	}
//
// Each finding has a stable code, a severity and a remedy. A Report prints as text, marshals
// to JSON and logs to slog. It holds aliases, subjects and dates, and never a password or
// key.
//
// What holds between the targets of one Run, such as a key in two stores, is found as well.
// Run unlocks private keys to see that they fit their certificates, and compares passwords
// with those that everybody knows, unless [Options.SkipKeys] is set.
package audit
