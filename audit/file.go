package audit

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/trustkeep/trustkeep"
)

const (
	readByAll  fs.FileMode = 0o004
	writeByAll fs.FileMode = 0o002
)

// file looks at who may read and write the file of a target.
func (a *auditor) file(t Target) {
	if t.Path == "" || runtime.GOOS == "windows" { // where the mode says nothing
		return
	}
	info, err := os.Stat(t.Path)
	if err != nil {
		return // a store may outlive its file
	}
	mode := info.Mode().Perm()
	if mode&writeByAll != 0 {
		a.add(t, trustkeep.Finding{Code: WritableByAll, Severity: trustkeep.Critical, Text: fmt.Sprintf("mode %04o lets everybody replace it", mode), Remedy: fmt.Sprintf("chmod %04o", mode&^writeByAll)})
	}
	holdsKeys := t.Keystore != nil && hasKeys(t) || t.Truststore != nil && t.Truststore.HasKeys()
	if mode&readByAll != 0 && holdsKeys {
		a.add(t, trustkeep.Finding{Code: ReadableByAll, Severity: trustkeep.Critical, Text: fmt.Sprintf("mode %04o lets everybody read the private keys", mode), Remedy: "chmod 0600"})
	}
}
