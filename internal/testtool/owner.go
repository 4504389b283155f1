package testtool

import (
	"os"
	"os/user"
	"strconv"
	"testing"
)

// Owner is the user that runs a tool which refuses to run as root. Empty is whoever runs the
// test.
type Owner string

// OwnerInRootsPlace is a user, if the test runs as root, and nobody otherwise.
func OwnerInRootsPlace(name string) Owner {
	if os.Geteuid() != 0 {
		return ""
	}
	return Owner(name)
}

// Give makes a file or folder the owner's.
func (o Owner) Give(tb testing.TB, path string) {
	tb.Helper()
	if o == "" {
		return
	}
	u, err := user.Lookup(string(o))
	if err != nil {
		tb.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		tb.Fatal(err)
	}
}

// Args is the command by which the owner runs a tool.
func (o Owner) Args(tb testing.TB, tool string, args ...string) []string {
	tb.Helper()
	args = append([]string{Find(tb, tool)}, args...)
	if o == "" {
		return args
	}
	return append([]string{"setpriv", "--reuid=" + string(o), "--regid=" + string(o), "--clear-groups"}, args...)
}
