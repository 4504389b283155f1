// Package natskv keeps the records of an environment.Registry in NATS JetStream, for
// programs on many machines.
//
//	dialer, err := tlsctx.Builder{Trusted: brokers, Identity: me}.Dialer()
//	storage, err := natskv.Connect(ctx, natskv.Server{
//		URLs: []string{"nats://nats.example:4222"},
//		TLS:  dialer,
//	}, natskv.Options{Replicas: 3})
//
// # What is where
//
// Records are in a key-value bucket (NATS ADR-8), by default "trustkeep", with a history of
// 64 versions. A revision is the sequence number of a message in the bucket's stream, a
// time is the server's. A key is the record's with dots for slashes. The value is a line of
// JSON with size and SHA-256, and behind it the record:
//
//	{"trustkeep":1,"size":11,"sha256":"b94d..."}
//	hello world
//
// A record of more than 64 KiB is in parts of 512 KiB in the bucket "trustkeep-chunks",
// under <key>.<upload>.<part>, and the line names the upload. Parts are uploaded before the
// record is written; a writer that loses removes its own. When no version in the history
// needs an upload any more, the next large Put of the record removes it, or Tidy does, but
// not before Options.KeepUploads is over. A reader who comes too late for an old version
// finds the newer one.
//
// What somebody else writes into the bucket, and what is damaged, is an error of that
// record alone; it can be overwritten and deleted like any other.
//
// # What holds
//
// The leader of the bucket answers Get, Put and Delete, and List and Versions wait until
// they hold what the leader had; so bigger clusters do not answer faster. A Put whose
// answer is lost with the connection is looked for in the history rather than repeated. If
// it cannot be found out in time, the error says so and the record tells.
//
// A watcher reads the stream in its order and reports what it has read at points where the
// server says that it has all. After a lost connection, a restarted server or missed
// heartbeats it goes on after the last message that it has read, or, where that one is gone,
// reads all records anew and reports them as a full Update. Until then its reader keeps what
// it had, and knows from Update.Err that it is so. Nothing but Close, the end of its context
// and a connection that its owner closes ends a watcher: a login that is refused, a bucket
// that was deleted and a right that was withdrawn may come back.
//
// Each program looks at the buckets once a minute. A limit with which they would discard
// records is Update.Err as long as it stands; records that were purged without a trace are
// noticed, and what remains follows as a full Update.
//
// A bucket or account that is full is trustkeep.ErrLimit at once.
//
// JetStream flushes files to the disk every two minutes unless it is configured with
// sync_interval: always. So a single server that loses power may lose the last records
// that it has acknowledged; replicas help as long as they do not lose power together.
package natskv
