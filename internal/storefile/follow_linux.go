package storefile

import (
	"os"
	"syscall"
)

// events are those after which a file may be another or complete.
const events = syscall.IN_CLOSE_WRITE | syscall.IN_MOVED_TO | syscall.IN_MOVED_FROM | syscall.IN_CREATE | syscall.IN_DELETE | syscall.IN_ATTRIB

// follow reports that something happened in the folders, by inotify(7). The channel is
// closed if that ends. Folders that cannot be followed are left to the clock.
func follow(folders []string) (<-chan struct{}, func()) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, func() {}
	}
	for _, dir := range folders {
		syscall.InotifyAddWatch(fd, dir, events)
	}
	f := os.NewFile(uintptr(fd), "inotify") // waits in the runtime's poller
	out := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		buf := make([]byte, 16<<10)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
			select {
			case out <- struct{}{}:
			default: // one is waiting
			}
		}
	}()
	return out, func() {
		f.Close()
		<-ended
	}
}
