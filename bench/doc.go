// Package bench is the place for benchmarks that compare TrustKeep with its
// peers in one run. It is a module of its own, so that the peers never become
// dependencies of the library. A peer whose module graph is large gets a module
// of its own outside go.work, so that it does not slow the first build of a
// clone.
package bench
