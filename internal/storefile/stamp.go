package storefile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// stampOf sums up files and directories; of directories, the files in them that
// keep accepts. A missing file has a stamp too.
func stampOf(paths []string, keep func(name string) bool) (stamp, place string) {
	var s, p strings.Builder
	for _, path := range paths {
		stampOne(&s, &p, path)
		info, err := os.Stat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		entries, err := os.ReadDir(path)
		fmt.Fprintf(&s, "%v\n", err)
		for _, e := range entries {
			if keep == nil || keep(e.Name()) {
				stampOne(&s, &p, filepath.Join(path, e.Name()))
			}
		}
	}
	return s.String(), p.String()
}

func stampOne(s, p *strings.Builder, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprintf(s, "%s %v\n", path, err)
		fmt.Fprintf(p, "%s -\n", path)
		return
	}
	// The target tells apart what links lead to; the inode what was renamed.
	target, _ := filepath.EvalSymlinks(path)
	fmt.Fprintf(p, "%s %s %s\n", path, target, inode(info))
	fmt.Fprintf(s, "%s %s %s %d %d %s\n", path, target, inode(info), info.Size(), info.ModTime().UnixNano(), info.Mode())
}

// foldersOf are the directories in which changes of the files show: their own, and
// those that links lead to.
func foldersOf(paths []string) []string {
	seen := map[string]bool{}
	var out []string
	add := func(dir string) {
		if !seen[dir] {
			seen[dir] = true
			out = append(out, dir)
		}
	}
	for _, path := range paths {
		add(filepath.Dir(path))
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			add(path)
		}
		if target, err := filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(target))
		}
	}
	return out
}
