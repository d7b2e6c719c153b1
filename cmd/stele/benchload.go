package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stelehq/stele/internal/workload"
)

// batchFile holds the bodies of the bulk load, made before the clock starts so
// that making them is not measured, in a file so that they need no memory.
type batchFile struct {
	file    *os.File
	batches []batchRange
}

type batchRange struct {
	offset       int64
	size, events int
	org          string
}

// openBytes bounds the bodies that are not full yet: with many organizations
// they are sent before they are full.
const openBytes = 64 << 20

// writeBatches renders the workload as NDJSON bodies of one organization each.
func (c *benchCmd) writeBatches() (*batchFile, error) {
	f, err := os.CreateTemp(c.Dir, "stele-bench-*.ndjson")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name()) // it lives as long as it is open
	bf := &batchFile{file: f}
	g := c.workload(c.Seed, c.Events)
	open := make([]bytes.Buffer, c.organizations())
	counts := make([]int, len(open))
	var offset, waiting int64
	flush := func(org int) error {
		if counts[org] == 0 {
			return nil
		}
		n, err := f.Write(open[org].Bytes())
		waiting -= int64(n)
		bf.batches = append(bf.batches, batchRange{offset, n, counts[org], workload.Organization(org)})
		offset += int64(n)
		open[org].Reset()
		counts[org] = 0
		return err
	}
	flushAll := func() error {
		for org := range open {
			if err := flush(org); err != nil {
				return err
			}
		}
		return nil
	}
	var line []byte
	for range c.Events {
		var org int
		line, org = g.Next(line[:0])
		line = append(line, '\n')
		_, _ = open[org].Write(line) // a bytes.Buffer takes everything
		waiting += int64(len(line))
		if counts[org]++; counts[org] == c.Batch {
			err = flush(org)
		} else if waiting > openBytes {
			err = flushAll()
		}
		if err != nil {
			return nil, err
		}
	}
	return bf, flushAll()
}

func (b *bench) bulk(ctx context.Context) error {
	bodies, err := b.writeBatches()
	if err != nil {
		return fmt.Errorf("make the events: %w", err)
	}
	defer bodies.file.Close() //nolint:errcheck // a removed temporary file
	var next atomic.Int64
	b.acks.start(time.Now())
	series, took, err := parallel(ctx, b.Clients, func(ctx context.Context, s *series) error {
		client := b.target.dialer.client()
		defer client.close()
		var request []byte
		for {
			i := int(next.Add(1)) - 1
			if i >= len(bodies.batches) {
				return nil
			}
			r := bodies.batches[i]
			request = b.target.dialer.appendRequest(request[:0], r.org, "application/x-ndjson", "", r.size)
			head := len(request)
			request = slices.Grow(request, r.size)[:head+r.size]
			if _, err := bodies.file.ReadAt(request[head:], r.offset); err != nil {
				return err
			}
			if err := s.time(func() error { return client.send(ctx, request) }); err != nil {
				return err
			}
			b.acks.add(time.Now(), r.org, r.events)
		}
	})
	b.report.Bulk = newLoadReport(b.Events, took, series)
	return err
}

func (b *bench) singles(ctx context.Context) error {
	var err error
	b.report.Single, err = b.oneByOne(ctx, b.Single, b.SingleClients, "single")
	return err
}

func (b *bench) serial(ctx context.Context) error {
	var err error
	b.report.Serial, err = b.oneByOne(ctx, b.Serial, 1, "serial")
	return err
}

// oneByOne sends events one a request, each with an idempotency key. The
// requests are made before the clock starts.
func (b *bench) oneByOne(ctx context.Context, n, clients int, name string) (loadReport, error) {
	requests := b.singleRequests(n, name)
	var next atomic.Int64
	series, took, err := parallel(ctx, clients, func(ctx context.Context, s *series) error {
		client := b.target.dialer.client()
		defer client.close()
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			if err := s.time(func() error { return client.send(ctx, requests[i].text) }); err != nil {
				return err
			}
			b.acks.add(time.Now(), requests[i].org, 1)
		}
	})
	return newLoadReport(n, took, series), err
}

// singleRequest is a whole request that records one event.
type singleRequest struct {
	org  string
	text []byte
}

func (b *bench) singleRequests(n int, name string) []singleRequest {
	requests := make([]singleRequest, n)
	g := b.workload(b.Seed+1, n)
	var event []byte
	for i := range requests {
		var org int
		event, org = g.Next(event[:0])
		key := fmt.Sprintf("%s-%d-%d", name, b.Seed, i)
		id := workload.Organization(org)
		text := b.target.dialer.appendRequest(nil, id, "application/json", key, len(event))
		requests[i] = singleRequest{id, append(text, event...)}
	}
	return requests
}

// series collects how long the requests of one client took.
type series struct{ took []time.Duration }

func (s *series) time(do func() error) error {
	began := time.Now()
	err := do()
	s.took = append(s.took, time.Since(began))
	return err
}

// parallel runs a client n times at once and gathers their series. The first
// error stops them all.
func parallel(ctx context.Context, n int, client func(context.Context, *series) error) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]series, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			if err := client(ctx, &all[i]); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	var merged []time.Duration
	for _, s := range all {
		merged = append(merged, s.took...)
	}
	return merged, took, context.Cause(ctx)
}
