package storagetest

import (
	"errors"

	"github.com/trustkeep/trustkeep"
)

// capitals: a storage refuses them, or tells keys apart that differ in case alone and takes only
// one of these at a time.
func capitals(f *fixture) {
	f.put("a/other", "other", 0)
	revision, err := f.Put(f.ctx, "a/Key", []byte("one"), 0)
	if errors.Is(err, trustkeep.ErrInvalid) {
		if _, err := f.Get(f.ctx, "a/Key"); err == nil {
			f.Error("what was refused is there")
		}
		return
	}
	if err != nil {
		f.Fatal(err)
	}
	for _, key := range []string{"a/key", "a/KEY"} {
		_, err := f.Put(f.ctx, key, []byte("two"), 0)
		f.wantErr(err, trustkeep.ErrExists, "Put(%q) beside a/Key", key)
		_, err = f.Get(f.ctx, key)
		f.wantErr(err, trustkeep.ErrNotFound, "Get(%q) beside a/Key", key)
		f.wantErr(f.Delete(f.ctx, key, revision), trustkeep.ErrNotFound, "Delete(%q) beside a/Key", key)
		_, err = f.Versions(f.ctx, key)
		f.wantErr(err, trustkeep.ErrNotFound, "Versions(%q) beside a/Key", key)
	}
	f.wantValue(f.Storage, "a/Key", "one", revision)
	below := f.put("a/Key/Deep", "deep", 0)
	for prefix, want := range map[string][]string{"": {"a/Key", "a/Key/Deep", "a/other"}, "a/K": {"a/Key", "a/Key/Deep"}, "a/Key/": {"a/Key/Deep"}, "a/k": nil} {
		all, err := f.List(f.ctx, prefix)
		if err != nil || len(all) != len(want) {
			f.Errorf("List(%q) has %d records and error %v, not %q", prefix, len(all), err, want)
			continue
		}
		for i, r := range all {
			if r.Key != want[i] {
				f.Errorf("List(%q) has %s, not %s", prefix, r.Key, want[i])
			}
		}
	}
	v := f.watch(f.ctx, f.Storage, "a/Key", "a/Key/")
	v.until("a/Key", "one")
	v.until("a/Key/Deep", "deep")
	if revision, err = f.Put(f.ctx, "a/Key", []byte("two"), revision); err != nil {
		f.Fatal(err)
	}
	v.until("a/Key", "two")
	for key, revision := range map[string]uint64{"a/Key": revision, "a/Key/Deep": below} {
		if err := f.Delete(f.ctx, key, revision); err != nil {
			f.Fatal(err)
		}
	}
	v.until("a/Key", "")
	f.put("a/key", "three", 0)
	if _, err := f.Get(f.ctx, "a/Key"); !errors.Is(err, trustkeep.ErrNotFound) {
		f.Errorf("Get of what was deleted, beside its twin: %v", err)
	}
}
