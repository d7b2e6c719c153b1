package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stelehq/stele/internal/catalog"
)

func (s suite) testKV(t *testing.T) {
	subject := s.open(t)
	kv := subject.Store
	put := func(key, value string, rev uint64) error {
		return kv.Apply(t.Context(), catalog.Change{Key: key, Value: []byte(value), Rev: rev})
	}
	remove := func(key string, rev uint64) error {
		return kv.Apply(t.Context(), catalog.Change{Key: key, Rev: rev, Delete: true})
	}
	long := strings.Repeat("k", 512)
	for i, step := range []struct {
		err  error
		want error
	}{
		{put("a", "1", 1), catalog.ErrConflict},
		{put("a", "1", 0), nil},
		{put("a", "2", 0), catalog.ErrConflict},
		{put("a", "2", 1), nil},
		{put("a", "3", 1), catalog.ErrConflict},
		{put("a", "", 2), nil},
		{remove("a", 2), catalog.ErrConflict},
		{remove("a", 3), nil},
		{remove("a", 3), catalog.ErrConflict},
		{put("a", "again", 0), nil},
		{put(long, strings.Repeat("v", 1<<20), 0), nil},
		{put("ключ/with spaces", "\x00\xff", 0), nil},
		// All or none.
		{kv.Apply(t.Context(), catalog.Change{Key: "x", Rev: 0}, catalog.Change{Key: "a", Rev: 0}), catalog.ErrConflict},
		{kv.Apply(t.Context(), catalog.Change{Key: "y", Rev: 0}, catalog.Change{Key: "a", Rev: 1, Delete: true}), nil},
		{kv.Apply(t.Context()), nil},
	} {
		if !errors.Is(step.err, step.want) || step.want == nil && step.err != nil {
			t.Fatalf("step %d: got %v, want %v", i, step.err, step.want)
		}
	}
	check := func(kv Store) {
		t.Helper()
		for key, want := range map[string]string{
			long: strings.Repeat("v", 1<<20), "ключ/with spaces": "\x00\xff", "y": "",
		} {
			r, err := kv.Get(t.Context(), key)
			if err != nil || string(r.Value) != want || r.Rev != 1 || r.Key != key {
				t.Errorf("get %.20q: got rev %d, %d bytes, %v; want rev 1, %d bytes", key, r.Rev, len(r.Value), err, len(want))
			}
			clear(r.Value) // it is the caller's
		}
		for _, key := range []string{"a", "x", "b", "aa"} {
			if r, err := kv.Get(t.Context(), key); !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("get %q: got %+v, %v; want ErrNotFound", key, r, err)
			}
		}
	}
	check(kv)
	check(kv)
	for name, c := range map[string]catalog.Change{
		"no key": {}, "key too long": {Key: long + "k"}, "NUL": {Key: "a\x00"}, "value too long": {Key: "big", Value: make([]byte, 1<<20+1)},
	} {
		if err := kv.Apply(t.Context(), c); err == nil || errors.Is(err, catalog.ErrConflict) {
			t.Errorf("%s: got %v, want an error about it", name, err)
		}
	}
	if err := kv.Apply(canceled(t), catalog.Change{Key: "x"}); err == nil {
		t.Error("changed with a canceled context")
	}
	if subject.Reopen != nil {
		check(subject.Reopen(t))
	}
}

// testKVConcurrent counts in one record from many goroutines, and keeps two
// records equal.
func (s suite) testKVConcurrent(t *testing.T) {
	kv := s.open(t).Store
	const writers, rounds = 8, 25
	var conflicts atomic.Int64
	parallel(writers+1, func(i int) {
		for n := 0; n < rounds; {
			a, errA := kv.Get(t.Context(), "a")
			b, errB := kv.Get(t.Context(), "b")
			if err := errors.Join(errA, errB); err != nil && !errors.Is(err, catalog.ErrNotFound) {
				t.Errorf("get: %v", err)
				return
			}
			if i == writers { // only reads: in one list, both are the same
				checkEqual(t, kv)
				n++
				continue
			}
			count, _ := strconv.Atoi(string(a.Value)) // 0 when absent
			value := []byte(strconv.Itoa(count + 1))
			err := kv.Apply(t.Context(),
				catalog.Change{Key: "a", Value: value, Rev: a.Rev}, catalog.Change{Key: "b", Value: value, Rev: b.Rev})
			switch {
			case err == nil:
				n++
			case errors.Is(err, catalog.ErrConflict):
				conflicts.Add(1)
			default:
				t.Errorf("apply: %v", err)
				return
			}
		}
	})
	for _, key := range []string{"a", "b"} {
		r, err := kv.Get(t.Context(), key)
		if err != nil || string(r.Value) != strconv.Itoa(writers*rounds) || r.Rev != writers*rounds {
			t.Errorf("%s: got %s at rev %d, %v; want %d", key, r.Value, r.Rev, err, writers*rounds)
		}
	}
	t.Logf("%d conflicts", conflicts.Load())
}

func checkEqual(t TB, kv catalog.KV) {
	list, err := kv.List(t.Context(), "", "", 10)
	if err != nil {
		t.Errorf("list: %v", err)
	}
	if len(list) != 0 && (len(list) != 2 || string(list[0].Value) != string(list[1].Value)) {
		t.Errorf("list: two records that are changed together differ: %v", list)
	}
}

func (s suite) testKVList(t *testing.T) {
	kv := s.open(t).Store
	var keys []string
	for _, prefix := range []string{"", "a", "org/", "org/x", "org0", "é", "\U0010ffff", "z"} {
		for _, suffix := range []string{"a", "b", "a/b", "ab", "\u007f", "\u0080", "\U0010ffff\U0010ffff"} {
			keys = append(keys, prefix+suffix)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	for _, i := range rng.Perm(len(keys)) {
		if err := kv.Apply(t.Context(), catalog.Change{Key: keys[i], Value: []byte(keys[i])}); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefix := range []string{"", "a", "org", "org/", "org/x", "\U0010ffff", "nothing", "é", "z\U0010ffff"} {
		for _, after := range append([]string{"", "org/", "b", "0", "\U0010ffff\U0010ffff\U0010ffff\U0010ffff"}, keys[:8]...) {
			for _, limit := range []int{0, 1, 3, 1000} {
				checkList(t, kv, keys, prefix, after, limit)
			}
		}
	}
}

func checkList(t TB, kv catalog.KV, keys []string, prefix, after string, limit int) {
	t.Helper()
	var want, got []string
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) && k > after && len(want) < limit {
			want = append(want, k)
		}
	}
	list, err := kv.List(t.Context(), prefix, after, limit)
	for _, r := range list {
		if string(r.Value) != r.Key || r.Rev != 1 {
			err = fmt.Errorf("record %+v", r)
		}
		got = append(got, r.Key)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("list %q after %q, %d at most: got %q, %v; want %q", prefix, after, limit, got, err, want)
	}
}
