// Package audit looks at keystores, truststores and single certificates the way
// a reviewer does, and reports what would break or weaken a connection:
//
//	report := audit.Run(
//		audit.Target{Keystore: ks, Roles: issue.ForServer},
//		audit.Target{Truststore: partners, Path: "partners.jks"},
//	)
//	fmt.Print(report)
//	if report.Worst() >= trustkeep.Warning { ... }
//
// Each Finding has a stable Code, a Severity and a Remedy. A Report prints as
// text, marshals to JSON and logs to slog. It holds aliases, subjects and
// dates, and never a password or key.
//
// Options.Expiring is the part about time alone, for a warning some weeks ahead.
//
// The package stands above keystore and truststore, which do not know it.
package audit
