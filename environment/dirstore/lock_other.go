//go:build !unix && !windows

package dirstore

import "os"

// No advisory locks here: only one program may have the directory open.
func tryLock(*os.File) (bool, error) { return true, nil }

func unlockFile(*os.File) {}

// isReadOnly tells whether the file system cannot be written to at all.
func isReadOnly(error) bool { return false }
