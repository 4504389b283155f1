package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressAfter is how long input may take before progress is shown.
const progressAfter = time.Second

// progress shows how much of the input has been read, if standard error is a
// terminal and it takes long.
func (c *command) progress(r io.Reader, size int64) io.Reader {
	f, ok := c.stderr.(*os.File)
	if !ok {
		return r
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return r
	}
	return &meter{r: r, w: f, size: size, last: time.Now()}
}

type meter struct {
	r       io.Reader
	w       io.Writer
	n, size int64
	last    time.Time
	shown   bool
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	switch {
	case err != nil && m.shown:
		fmt.Fprint(m.w, "\r\x1b[K")
		m.shown = false
	case err == nil && time.Since(m.last) >= progressAfter:
		m.last, m.shown = time.Now(), true
		if m.size > 0 {
			fmt.Fprintf(m.w, "\r%d MiB of %d, %d%%", m.n>>20, m.size>>20, 100*m.n/m.size)
		} else {
			fmt.Fprintf(m.w, "\r%d MiB", m.n>>20)
		}
	}
	return n, err
}
