package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stelehq/stele/internal/workload"
)

// row is an event as the table has it.
type row struct {
	Action     string    `json:"action"`
	Version    int       `json:"version"`
	OccurredAt time.Time `json:"occurred_at"`
	Actor      struct {
		Type     string          `json:"type"`
		ID       string          `json:"id"`
		Name     string          `json:"name"`
		Metadata json.RawMessage `json:"metadata"`
	} `json:"actor"`
	Targets json.RawMessage `json:"targets"`
	Context struct {
		Location  string `json:"location"`
		UserAgent string `json:"user_agent"`
	} `json:"context"`
	Metadata json.RawMessage `json:"metadata"`
}

const (
	columns  = "org, occurred_at, action, version, actor_type, actor_id, actor_name, actor_metadata, targets, location, user_agent, metadata"
	copyRows = "copy events (" + columns + ") from stdin"
)

// values are the row's, in the order of columns.
func (r *row) values(org string) []any {
	var actorMetadata any
	if r.Actor.Metadata != nil {
		actorMetadata = string(r.Actor.Metadata)
	}
	return []any{
		org, r.OccurredAt, r.Action, r.Version, r.Actor.Type, r.Actor.ID, r.Actor.Name, actorMetadata,
		string(r.Targets), r.Context.Location, r.Context.UserAgent, string(r.Metadata),
	}
}

// appendCopy appends the row in the text format of COPY.
func (r *row) appendCopy(dst []byte, org string) []byte {
	escape := strings.NewReplacer("\\", "\\\\", "\t", "\\t", "\n", "\\n", "\r", "\\r")
	for i, v := range r.values(org) {
		if i > 0 {
			dst = append(dst, '\t')
		}
		switch v := v.(type) {
		case nil:
			dst = append(dst, `\N`...)
		case string:
			dst = append(dst, escape.Replace(v)...)
		case time.Time:
			dst = v.AppendFormat(dst, time.RFC3339Nano)
		default:
			dst = fmt.Append(dst, v)
		}
	}
	return append(dst, '\n')
}

// copyFile holds the transactions of the bulk load in the form that the database
// reads, made before the clock starts: as with the requests for Stele, making
// them is not measured.
type copyFile struct {
	file    *os.File
	batches []span
}

type span struct {
	offset int64
	size   int
}

func (f *copyFile) close() error { return f.file.Close() }

// writeCopies renders the bulk load in batches of one organization each, the
// same that stele bench sends.
func writeCopies(dir string, o options) (*copyFile, error) {
	file, err := os.Create(filepath.Join(dir, "events.copy")) //nolint:gosec // in the directory of the run
	if err != nil {
		return nil, err
	}
	f := &copyFile{file: file}
	var open [workload.Organizations]bytes.Buffer
	var counts [workload.Organizations]int
	var offset int64
	flush := func(org int) error {
		n, err := file.Write(open[org].Bytes())
		f.batches = append(f.batches, span{offset, n})
		offset += int64(n)
		open[org].Reset()
		counts[org] = 0
		return err
	}
	err = generate(o.seed, o.events, func(r *row, org int) error {
		_, _ = open[org].Write(r.appendCopy(open[org].AvailableBuffer(), workload.Organization(org))) // a bytes.Buffer takes everything
		if counts[org]++; counts[org] < o.batch {
			return nil
		}
		return flush(org)
	})
	for org := range open {
		if counts[org] > 0 {
			err = errors.Join(err, flush(org))
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// generate yields the events of a load.
func generate(seed uint64, n int, yield func(r *row, org int) error) error {
	g := workload.New(seed, n)
	var data []byte
	for range n {
		var org int
		data, org = g.Next(data[:0])
		r := new(row)
		if err := json.Unmarshal(data, r); err != nil {
			return err
		}
		if err := yield(r, org); err != nil {
			return err
		}
	}
	return nil
}

// bulk loads everything, a transaction for each batch.
func (c *comparison) bulk(ctx context.Context) error {
	memory := watchMemory(ctx, c.pg.cmd.Process.Pid)
	var next atomic.Int64
	took, series, err := c.parallel(ctx, c.clients, func(ctx context.Context, conn *pgx.Conn, took *[]time.Duration) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(c.events.batches) {
				return nil
			}
			b := c.events.batches[i]
			body := make([]byte, b.size)
			if _, err := c.events.file.ReadAt(body, b.offset); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			began := c.now()
			if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(body), copyRows); err != nil {
				return err
			}
			*took = append(*took, c.now().Sub(began))
		}
	})
	c.report.PostgreSQL.Loading = memory.stop()
	c.report.PostgreSQL.Bulk = newLoad(c.options.events, took, series)
	return err
}

// oneByOne inserts events in a transaction each, with an idempotency key.
func (c *comparison) oneByOne(ctx context.Context, n, clients int, name string) (load, error) {
	var rows [][]any
	err := generate(c.seed+1, n, func(r *row, org int) error {
		key := fmt.Sprintf("%s-%d-%d", name, c.seed, len(rows))
		rows = append(rows, append(r.values(workload.Organization(org)), key))
		return nil
	})
	if err != nil {
		return load{}, err
	}
	const insert = "insert into events (" + columns + ", idempotency_key) values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)" +
		" on conflict (org, idempotency_key) where idempotency_key is not null do nothing"
	var next atomic.Int64
	took, series, err := c.parallel(ctx, clients, func(ctx context.Context, conn *pgx.Conn, took *[]time.Duration) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(rows) {
				return nil
			}
			began := c.now()
			tag, err := conn.Exec(ctx, insert, rows[i]...)
			*took = append(*took, c.now().Sub(began))
			if err != nil || tag.RowsAffected() != 1 {
				return errors.Join(err, fmt.Errorf("event %d: %s", i, tag))
			}
		}
	})
	return newLoad(n, took, series), err
}

// parallel runs a client n times at once, each with a connection of its own that
// is open before the clock starts. The first error stops them all.
func (c *comparison) parallel(
	ctx context.Context, n int, client func(context.Context, *pgx.Conn, *[]time.Duration) error,
) (took time.Duration, all []time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conns := make([]*pgx.Conn, n)
	for i := range conns {
		if conns[i], err = c.pg.connect(ctx); err != nil {
			return 0, nil, err
		}
		defer conns[i].Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is open on it
	}
	series := make([][]time.Duration, n)
	began := c.now()
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			if err := client(ctx, conns[i], &series[i]); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	took = c.now().Sub(began)
	for _, s := range series {
		all = append(all, s...)
	}
	return took, all, context.Cause(ctx)
}

// settle brings the table to its best: statistics, visibility, everything
// written.
func (c *comparison) settle(ctx context.Context) error {
	if err := c.pg.exec(ctx, "vacuum (analyze) events", "checkpoint"); err != nil {
		return err
	}
	conn, err := c.pg.connect(ctx)
	if err != nil {
		return err
	}
	p := &c.report.PostgreSQL
	var count int
	err = conn.QueryRow(ctx, "select pg_total_relation_size('events'), count(*) from events").Scan(&p.TableBytes, &count)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	if want := p.Bulk.Events + p.Single.Events + p.Serial.Events; count != want {
		return fmt.Errorf("the table has %d rows, and %d were committed", count, want)
	}
	p.Rows = count
	p.DirectoryBytes, err = directorySize(c.pg.data)
	return err
}
