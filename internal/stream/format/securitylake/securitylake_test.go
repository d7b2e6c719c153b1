package securitylake_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/event/eventtest"
	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/format/ocsf"
	"github.com/stelehq/stele/internal/stream/format/securitylake"
)

// TestFiles reads random batches back: every event once, sorted by time, with the
// values that the JSON of the same OCSF has.
func TestFiles(t *testing.T) {
	for seed, version := range slices.Repeat(ocsf.Versions(), 4) {
		w, err := securitylake.New(version)
		if err != nil {
			t.Fatal(err)
		}
		f, err := format.OCSF(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(version, func(t *testing.T) {
			batch := batchOf(t, rapid.SliceOfN(eventtest.Events(), 1, 40).Example(seed))
			files, err := w.Files(batch)
			if err != nil {
				t.Fatal(err)
			}
			again, err := w.Files(batch)
			if err != nil || !cmp.Equal(files, again) {
				t.Fatalf("not the same twice: %v", err)
			}
			var got []securitylake.Row
			next := uint64(0)
			for _, file := range files {
				rows, err := parquet.Read[securitylake.Row](bytes.NewReader(file.Data), int64(len(file.Data)))
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) != file.Events || file.First != next || file.Last != next+uint64(file.Events)-1 {
					t.Fatalf("%d rows, file %d-%d, events %d", len(rows), file.First, file.Last, file.Events)
				}
				next = file.Last + 1
				for i, r := range rows {
					if i > 0 && r.Time < rows[i-1].Time {
						t.Fatal("not sorted by time")
					}
					if day := time.UnixMilli(r.Metadata.LoggedTime).UTC().Truncate(24 * time.Hour); !day.Equal(file.Day) {
						t.Fatalf("received on %v, file of %v", day, file.Day)
					}
				}
				got = append(got, rows...)
			}
			slices.SortFunc(got, func(a, b securitylake.Row) int { return int(a.Metadata.Sequence - b.Metadata.Sequence) })
			for i, in := range batch {
				var want securitylake.Row
				if err := json.Unmarshal(f.Append(nil, in), &want); err != nil {
					t.Fatal(err)
				}
				if len(want.Resources) == 0 {
					want.Resources, got[i].Resources = nil, nil
				}
				if diff := cmp.Diff(want, got[i]); diff != "" {
					t.Fatalf("row (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// batchOf makes entries received some hours apart.
func batchOf(t rapid.TB, events []*audit.Event) []*format.Input {
	received := time.Date(2026, 2, 28, 20, 0, 0, 0, time.UTC)
	cipher := event.Keys{}.Cipher().Identifier()
	var batch []*format.Input
	for seq, e := range events {
		ev, err := event.FromAudit(e)
		if err != nil {
			t.Fatal(err)
		}
		entry := &event.Entry{Event: *ev, Seq: uint64(seq), ReceivedAt: received.UnixMilli()}
		cipher.SetID(entry)
		batch = append(batch, &format.Input{Entry: entry, Organization: "org_" + strconv.Itoa(seq%2), Server: "audit.example.com"})
		received = received.Add(time.Duration(len(e.Action)) * time.Hour / 8)
	}
	return batch
}

// TestNothingIsDropped says that the row has a column for everything that the
// mapping writes.
func TestNothingIsDropped(t *testing.T) {
	f, err := format.OCSF("1.8.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		in := batchOf(t, []*audit.Event{eventtest.Events().Draw(t, "event")})[0]
		dec := json.NewDecoder(bytes.NewReader(f.Append(nil, in)))
		dec.DisallowUnknownFields()
		var row securitylake.Row
		if err := dec.Decode(&row); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKey(t *testing.T) {
	got := securitylake.Key("ext/stele", "eu-west-1", "123456789012", time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC), "0-7")
	if want := "ext/stele/region=eu-west-1/accountId=123456789012/eventDay=20260301/0-7.parquet"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
