package storefile

import (
	"errors"
	"io"
	"path/filepath"
)

// Stream replaces the content of the file at path by what write writes. Until write returns
// nil, the new content has no name: it is in an unnamed file or, where there are none,
// encrypted under a key that exists only in memory. A process that dies leaves nothing that
// write has not confirmed; the next writer removes the rest.
//
// Other writers wait only while the complete content is put in place. The error of write is
// returned unchanged; other errors are those of Update.
func Stream(path string, o Options, write func(io.Writer) error) error {
	target, err := o.resolve(path)
	if err != nil {
		return err
	}
	if _, err := examine(target); err != nil {
		return err
	}
	sys := o.sys()
	f, err := sys.unnamed(filepath.Dir(target))
	if errors.Is(err, errNoUnnamed) {
		return o.streamSpooled(target, sys, write)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	// The most of it, while nobody waits.
	if err := f.Sync(); err != nil {
		return err
	}
	return o.publishStream(target, sys, func(temp string) (file, error) {
		err := f.linkTo(temp)
		if errors.Is(err, errNoUnnamed) {
			return copyTo(temp, sys, func(w io.Writer) error {
				_, err := io.Copy(w, io.NewSectionReader(f, 0, 1<<63-1))
				return err
			})
		}
		if err != nil {
			return nil, err
		}
		return f, nil
	})
}

// streamSpooled is Stream where files have names.
func (o Options) streamSpooled(target string, sys calls, write func(io.Writer) error) error {
	s, err := newSpool(target, sys)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := write(s); err != nil {
		return err
	}
	if err := s.finish(); err != nil {
		return err
	}
	return o.publishStream(target, sys, func(temp string) (file, error) {
		return copyTo(temp, sys, s.decrypt)
	})
}

func (o Options) publishStream(target string, sys calls, make func(temp string) (file, error)) error {
	unlock, err := lockDir(filepath.Dir(target), o.Wait, sys)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := examine(target)
	if err != nil {
		return err
	}
	return o.publish(target, old, sys, make)
}

func copyTo(temp string, sys calls, write func(io.Writer) error) (file, error) {
	f, err := sys.create(temp)
	if err != nil {
		return nil, err
	}
	return f, write(f)
}
