// Package forecast tells what a change of trust would do to the peers of TLS connections,
// before it is made.
//
//	seen := new(forecast.Seen)
//	b := tlsctx.Builder{Global: deployed, Accepted: seen.Note}
//	// connections are made
//	plan, err := seen.Plan(b, next)
//	fmt.Print(plan)
//
// A Seen collects the peers that were accepted, and Seen.Plan asks other trust about them. It
// needs no registry; for programs in an environment, environment.Environment.DryRun does the
// same for a whole fleet.
package forecast
