package pkcs12

import (
	"runtime"
	"sync"
)

// crew runs tasks in the order in which they are given, on the cores there
// are. Tasks may give further tasks. Its goroutines end when there is nothing
// to do and at the latest with stop or wait.
type crew struct {
	mu      sync.Mutex
	queue   []func()
	running int
	stopped bool
	wg      sync.WaitGroup
}

func (c *crew) do(task func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.queue = append(c.queue, task)
	if c.running < runtime.GOMAXPROCS(0) {
		c.running++
		c.wg.Go(c.work)
	}
}

func (c *crew) work() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.running--
			c.mu.Unlock()
			return
		}
		task := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		c.mu.Unlock()
		task()
	}
}

// drop forgets what has not been started.
func (c *crew) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.queue = nil
}

// stop is drop and wait.
func (c *crew) stop() {
	c.drop()
	c.wait()
}

// wait returns when all is done.
func (c *crew) wait() { c.wg.Wait() }
