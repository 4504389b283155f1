package truststore

// Ticking makes a watch look when the test says so: each tick is a look, and the tick
// after it waits until it is done.
func (o Options) Ticking(ticks <-chan struct{}) Options {
	o.ticks = ticks
	return o
}
