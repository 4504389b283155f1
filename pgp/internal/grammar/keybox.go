package grammar

import (
	"encoding/binary"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// IsKeybox tells GnuPG's keyring file by the header of its first record.
func IsKeybox(data []byte) bool { return len(data) >= 12 && string(data[8:12]) == "KBXf" }

// NextKeybox takes the record at the start of data, as kbx/keybox-blob.c of GnuPG
// describes it: a length, a type, a version, flags, and for a key the place of its
// packets. keys is nil for records without OpenPGP keys; start is where the packets
// stand in the record.
func NextKeybox(data []byte) (keys []byte, start int, rest []byte, err error) {
	const keyRecord, headerLength = 2, 16
	if len(data) < 5 {
		return nil, 0, nil, fault.New(trustkeep.ErrCorrupt, "truncated keybox record")
	}
	n := binary.BigEndian.Uint32(data)
	if n < 5 || uint64(n) > uint64(len(data)) {
		return nil, 0, nil, fault.New(trustkeep.ErrCorrupt, "keybox record of %d bytes in %d", n, len(data))
	}
	record, rest := data[:n], data[n:]
	if record[4] != keyRecord {
		return nil, 0, rest, nil
	}
	if len(record) < headerLength {
		return nil, 0, rest, fault.New(trustkeep.ErrCorrupt, "keybox record of %d bytes", n)
	}
	from, length := uint64(binary.BigEndian.Uint32(record[8:])), uint64(binary.BigEndian.Uint32(record[12:]))
	if from < headerLength || from+length > uint64(len(record)) {
		return nil, 0, rest, fault.New(trustkeep.ErrCorrupt, "keybox record with a key of %d bytes", length)
	}
	return record[from : from+length], int(from), rest, nil
}
