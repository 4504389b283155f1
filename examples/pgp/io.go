package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
	"github.com/trustkeep/trustkeep/pgp"
)

// list is a flag that can be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// secret is a passphrase by one of three flags.
type secret struct{ literal, env, file *string }

func (c *command) secret(name, what string) secret {
	return secret{
		c.String(name, "", what+"; visible to other users of the machine"),
		c.String(name+"-env", "", "environment variable that holds the "+what),
		c.String(name+"-file", "", "file that holds the "+what),
	}
}

// source returns nil when none of the flags was given.
func (s secret) source() trustkeep.PasswordSource {
	switch {
	case *s.literal != "":
		return trustkeep.Password(*s.literal)
	case *s.env != "":
		return trustkeep.PasswordFromEnv(*s.env)
	case *s.file != "":
		return trustkeep.PasswordFromFile(*s.file)
	}
	return nil
}

// keys loads all keys of the files.
func keys(files []string) ([]*pgp.Key, error) {
	out := make([]*pgp.Key, 0, len(files))
	for _, f := range files {
		ring, err := pgp.Load(f)
		if err != nil {
			return nil, err
		}
		out = append(out, ring.Keys()...)
	}
	return out, nil
}

// unlocked loads private keys and opens them.
func unlocked(files []string, passphrase trustkeep.PasswordSource) ([]*pgp.Key, error) {
	found, err := keys(files)
	if err != nil {
		return nil, err
	}
	for i, k := range found {
		if found[i], err = k.Unlock(passphrase, pgp.Options{}); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// oneKey loads a file that holds one private key, unlocked.
func oneKey(file string, passphrase trustkeep.PasswordSource) (*pgp.Key, error) {
	found, err := unlocked([]string{file}, passphrase)
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("pgp: %s holds %d keys; one is needed", trustkeep.Printable(file), len(found))
	}
	return found[0], nil
}

func relaxations(name string) (pgp.Relaxations, error) {
	switch name {
	case "strict":
		return pgp.Strict, nil
	case "legacy":
		return pgp.Legacy, nil
	}
	return 0, usage("policy %q; there are strict and legacy", name)
}

// open opens a file to read, with progress on a terminal.
func (c *command) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(c.progress(c.stdin, 0)), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	var size int64
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return struct {
		io.Reader
		io.Closer
	}{c.progress(f, size), f}, nil
}

// produce lets write fill a file beside the one named, which it replaces when
// write has succeeded. Standard output gets all or nothing, too, by way of a
// temporary file.
func (c *command) produce(file string, write func(path string) error) error {
	if file != "-" {
		return write(file)
	}
	dir, err := os.MkdirTemp("", "pgp")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := dir + "/out"
	if err := write(path); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(c.stdout, f)
	return err
}

// writeFile writes what a small result consists of.
func (c *command) writeFile(file string, data []byte, mode os.FileMode) error {
	if file == "-" {
		_, err := c.stdout.Write(data)
		return err
	}
	return storefile.Write(file, data, storefile.Options{Mode: mode, SetMode: true})
}

// when reads a point in time: a date, a number of years, months, weeks or days
// from now, or "never".
func when(s string) (time.Time, error) {
	if s == "never" || s == "0" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if len(s) > 1 {
		n, err := strconv.Atoi(s[:len(s)-1])
		now := time.Now()
		if err == nil {
			switch s[len(s)-1] {
			case 'y':
				return now.AddDate(n, 0, 0), nil
			case 'm':
				return now.AddDate(0, n, 0), nil
			case 'w':
				return now.AddDate(0, 0, 7*n), nil
			case 'd':
				return now.AddDate(0, 0, n), nil
			}
		}
	}
	return time.Time{}, usage("time %q; examples are 2y, 18m, 90d, 2030-12-31 and never", s)
}
