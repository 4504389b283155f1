//go:build unix

package storefile

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode tells files of one name apart.
func inode(info fs.FileInfo) string {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprint(s.Dev, ":", s.Ino)
	}
	return ""
}
