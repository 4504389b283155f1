package storefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/trustkeep/trustkeep"
)

// ReadAll reads r to its end. More than maxSize bytes (zero: trustkeep's
// default limit) is an error that wraps trustkeep.ErrLimit.
func ReadAll(r io.Reader, maxSize int64) ([]byte, error) {
	maxSize = trustkeep.Limits{MaxSize: maxSize}.WithDefaults().MaxSize
	return readInto(new(bytes.Buffer), r, maxSize)
}

// ReadFile is ReadAll of the file at path, with the buffer sized in advance. For a pipe, such
// as a process substitution of the shell, it waits for the writer.
func ReadFile(path string, maxSize int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readOpened(f, maxSize)
}

// ReadRegular is ReadFile for regular files only. It never waits for a writer: use it for
// paths that others choose.
func ReadRegular(path string, maxSize int64) ([]byte, error) {
	data, _, err := readRegular(path, "read", maxSize, 0)
	return data, err
}

var errNotRegular = errors.New("not a regular file")

func readRegular(path, op string, maxSize int64, flags int) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblocking|flags, 0) // a pipe without a writer would wait
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: op, Path: path, Err: errNotRegular}
	}
	data, err := readOpened(f, maxSize)
	return data, info, err
}

func readOpened(f *os.File, maxSize int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	maxSize = trustkeep.Limits{MaxSize: maxSize}.WithDefaults().MaxSize
	var buf bytes.Buffer
	if info.Mode().IsRegular() && info.Size() <= maxSize {
		buf.Grow(int(info.Size()) + bytes.MinRead)
	}
	return readInto(&buf, f, maxSize)
}

func readInto(buf *bytes.Buffer, r io.Reader, maxSize int64) ([]byte, error) {
	if _, err := buf.ReadFrom(io.LimitReader(r, maxSize+1)); err != nil {
		return nil, err
	}
	if int64(buf.Len()) > maxSize {
		return nil, fmt.Errorf("input of more than %d bytes: %w", maxSize, trustkeep.ErrLimit)
	}
	return buf.Bytes(), nil
}
