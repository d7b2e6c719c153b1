package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// settleLook is how often the server is looked at, settleStill how long
	// nothing may have changed, at most, and settleLimit when waiting ends anyway.
	// Sealed rows are removed from disk some ten seconds after.
	settleLook  = 250 * time.Millisecond
	settleStill = 12 * time.Second
	settleLimit = 15 * time.Minute
)

// diskReport is the space that everything takes, once the server is at rest.
type diskReport struct {
	// Bytes is what the data directory holds, or with --server what the
	// server says that its database does.
	Bytes         int64   `json:"bytes"`
	BytesPerEvent float64 `json:"bytes_per_event"`
	// SettleSeconds is how long the server worked on after the bulk load.
	SettleSeconds float64 `json:"settle_seconds"`
}

// settle waits until what the server does in the background after a load is
// done, so that what follows is measured alone, and notes the space used.
func (b *bench) settle(ctx context.Context) error {
	took, err := b.target.settled(ctx, min(settleStill, time.Duration(max(1, b.Idle))*time.Second))
	if err != nil {
		return err
	}
	b.report.Memory.Settling = max(b.report.Memory.Settling, b.memory.take(ctx))
	if b.report.Disk.SettleSeconds == 0 {
		b.report.Disk.SettleSeconds = took.Seconds()
	}
	if b.target.child != nil {
		b.report.Disk.Bytes, err = directorySize(filepath.Join(b.target.dir, "data"))
	} else {
		var v float64
		v, err = b.target.metric(ctx, "stele_store_disk_bytes")
		b.report.Disk.Bytes = int64(v)
	}
	var events uint64
	for _, n := range b.acks.byOrg {
		events += n
	}
	b.report.Disk.BytesPerEvent = float64(b.report.Disk.Bytes) / float64(max(events, 1))
	return err
}

// settled waits until everything that the server says about its store stands
// still for as long as wanted, and returns when it came to rest.
func (t *benchTarget) settled(ctx context.Context, wanted time.Duration) (time.Duration, error) {
	tick := time.NewTicker(settleLook)
	defer tick.Stop()
	var last []string
	var rest time.Duration // since when it stands still
	for still, at := time.Duration(0), time.Duration(0); still < wanted; at += settleLook {
		if at > settleLimit {
			return 0, errors.New("the store still changes after " + settleLimit.String())
		}
		now, err := t.storeGauges(ctx)
		if err != nil {
			return 0, err
		}
		if still += settleLook; !slices.Equal(now, last) || !slices.Contains(now, nothingDue) {
			last, still, rest = now, 0, at
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
	return rest, nil
}

// nothingDue says that all is sealed that will be.
const nothingDue = "stele_store_due_events 0"

// storeGauges are the lines of the server's metrics that tell how its store
// stands: disk, what waits to be compacted or sealed. Memory and the free space
// of the disk change by themselves.
func (t *benchTarget) storeGauges(ctx context.Context) ([]string, error) {
	body, err := t.do(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	var gauges []string
	for line := range bytes.Lines(body) {
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "stele_store_") && !strings.HasPrefix(text, "stele_store_free_bytes") && !strings.HasPrefix(text, "stele_store_memory_bytes") {
			gauges = append(gauges, text)
		}
	}
	return gauges, nil
}

// directorySize adds up the files below a directory. One that is gone before it
// is looked at counts nothing.
func directorySize(dir string) (int64, error) {
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		total += info.Size()
		return nil
	})
	return total, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
