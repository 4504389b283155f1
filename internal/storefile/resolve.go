package storefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// resolve returns the file that is written where path is written to: symbolic links are
// followed, also one whose target does not exist yet. Links that another user may have
// planted are refused, wherever they are in the path; the file itself is looked at under
// the lock.
func resolve(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("no path: %w", trustkeep.ErrInvalid)
	}
	if dir, _ := filepath.Split(path); dir != "" {
		links := maxLinks
		if err := checkFolder(filepath.Clean(dir), &links); err != nil {
			return "", err
		}
	}
	return followLinks(path, checkPlanted)
}

// followLinks follows the links that path, its last element, leads to, and calls check,
// if it is not nil, with each. The folder of the result has no links in it.
func followLinks(path string, check func(string, fs.FileInfo) error) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return inFolder(path), nil
		}
		if err != nil {
			return "", err
		}
		if check != nil {
			if err := check(path, info); err != nil {
				return "", err
			}
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Dir(inFolder(path)) + string(filepath.Separator) + to
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.New("too many levels of symbolic links")}
}

// inFolder returns the path with the links in its folder followed: "..", which package
// filepath takes away with the element before it, leads elsewhere behind a link. Where
// the folder does not exist, or the system cannot tell, the path is returned as it is.
func inFolder(path string) string {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	folder, err := filepath.EvalSymlinks(dir)
	if err != nil || name == "" || name == "." || name == ".." {
		return path
	}
	return filepath.Join(folder, name)
}

// checkFolder refuses links that another user may have planted among the folders that
// lead to dir, itself included. Whatever else is wrong with them, the caller finds out.
func checkFolder(dir string, links *int) error {
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	if err := checkFolder(parent, links); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	if *links--; *links < 0 {
		return nil // the system says so too
	}
	if err := checkPlanted(dir, info); err != nil {
		return err
	}
	to, err := os.Readlink(dir)
	if err != nil {
		return nil
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(parent, to)
	}
	return checkFolder(to, links)
}

// checkPlanted refuses what lies in a folder that everybody may write to, such as /tmp,
// and belongs neither to this process's user nor to the folder's owner: a link, which
// may lead anywhere, as Linux refuses with fs.protected_symlinks; and a file, whose owner
// and mode the new content would get.
func checkPlanted(path string, info fs.FileInfo) error {
	folder, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil // the caller finds out
	}
	if !planted(info, folder, os.Geteuid()) {
		return nil
	}
	what := "a file"
	if info.Mode()&fs.ModeSymlink != 0 {
		what = "a symbolic link"
	}
	return &trustkeep.Error{Op: "write", Path: path,
		Err:  fmt.Errorf("%s of another user in a folder that everybody may write to: %w", what, fs.ErrPermission),
		Hint: "remove it, or choose a path outside " + trustkeep.Printable(filepath.Dir(path))}
}

// planted reports whether a user may have put a file or link into a sticky folder that
// everybody may write to without being the process's user or the folder's owner.
func planted(info, folder fs.FileInfo, user int) bool {
	if folder.Mode()&fs.ModeSticky == 0 || folder.Mode().Perm()&0o002 == 0 {
		return false
	}
	uid, _, ok := owner(info)
	of, _, known := owner(folder)
	return ok && known && uid != user && uid != of
}
