package environment

import (
	"reflect"
	"slices"
)

// A program ignores what it does not know in a record. Where that would loosen what was meant, such
// as a connection whose policy is not seen, the record has a format that the program refuses, and it
// goes on with the last state that it understood. So each field that the first format did not have
// makes a record one of format 2, but for those that are listed with the reason in
// TestNewFieldsHaveALaterFormat. That test knows all fields: a new one needs a decision there.

// The fields of the first format.
var (
	firstOfConnection = []string{"ID", "Trusted", "Identity", "ServerName", "Allow", "Pins", "ClientAuth", "SSH", "Revision"}
	firstOfSSH        = []string{"User", "KnownHosts", "Pins"}
	firstOfOverride   = []string{"Trusted", "Identity", "ServerName", "SSHUser", "SSHKnownHosts", "SSHPins", "Revision"}
)

// hasMore tells whether a struct has content beside some fields.
func hasMore(settings any, beside []string) bool {
	for field, value := range reflect.ValueOf(settings).Fields() {
		empty := value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0
		if !empty && !slices.Contains(beside, field.Name) {
			return true
		}
	}
	return false
}

// format is that of a record with the connection.
func (c Connection) format() int {
	if hasMore(c, firstOfConnection) || c.SSH != nil && hasMore(*c.SSH, firstOfSSH) {
		return 2
	}
	return 1
}

// format is that of a record with the override.
func (o Override) format() int {
	if hasMore(o, firstOfOverride) {
		return 2
	}
	return 1
}

func (d *connectionRecord) format() int { return d.Connection.format() }

// format is 2 for an environment that is kept at versions, since a program of before would follow
// the current ones, and for one with known hosts, which it would drop.
func (d *environmentRecord) format() int {
	if len(d.Held) > 0 || d.KnownHosts != "" {
		return 2
	}
	last := 1
	for _, o := range d.Overrides {
		last = max(last, o.format())
	}
	return last
}

// format is 2 for a process that an atom of before would run although it is not deployed to it.
func (d *deployedRecord) format() int {
	if len(d.Atoms) > 0 || len(d.Partners) > 0 {
		return 2
	}
	last := 1
	for _, c := range d.Connections {
		last = max(last, c.format())
	}
	return last
}
