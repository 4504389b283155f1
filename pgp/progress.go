package pgp

import "io"

// watched reports to Progress what is read from r.
func (o Options) watched(r io.Reader) io.Reader {
	if o.Progress == nil {
		return r
	}
	return &watchedReader{r: r, progress: o.Progress}
}

type watchedReader struct {
	r        io.Reader
	progress func(int64) error
	n        int64
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	w.n += int64(n)
	switch perr := w.progress(w.n); perr {
	case nil:
	case io.EOF: // or the content would seem to end here, and be signed so
		return 0, io.ErrUnexpectedEOF
	default:
		return 0, perr
	}
	return n, err
}
