// Package forecast tells which peers of TLS connections a change of trust would refuse, before
// the change is made.
//
//	seen := new(forecast.Seen)
//	b := tlsctx.Builder{Global: deployed, Accepted: seen.Note}
//	// connections are made
//	plan, err := seen.Plan(b, next)
//	fmt.Print(plan)
//
// A [Seen] records the peers that connections of a Dialer, Transport, Listener or FTPS session have
// accepted. [Seen.Plan] replays them against other trust. Neither needs a registry;
// environment.Environment.DryRun does the same for all programs of an environment.
package forecast
