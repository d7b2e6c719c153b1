package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/workload"
)

// As stele bench does it: some runs that do not count, then runs for so long, but
// a few at least.
const (
	warmUp       = 10
	questionTime = 20 * time.Second
	fewestRuns   = 20
)

// statement is a question in SQL.
func statement(q workload.Question, query audit.Query) (string, []any, error) {
	args := []any{workload.Organization(0)}
	where := []string{"org = $1"}
	arg := func(v any) string { args = append(args, v); return fmt.Sprintf("$%d", len(args)) }
	for _, f := range query.Filters {
		switch f.Field {
		case audit.FieldAction:
			where = append(where, "action"+oneOf(f.Values, arg))
		case audit.FieldActorID:
			where = append(where, "actor_id"+oneOf(f.Values, arg))
		case audit.FieldTargetID:
			where = append(where, "targets @> "+arg(fmt.Sprintf(`[{"id":%q}]`, f.Values[0]))+"::jsonb")
		case audit.FieldText:
			// Text is looked for in names and metadata: where the workload has it.
			like := arg("%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(f.Values[0]) + "%")
			where = append(where, fmt.Sprintf("(actor_name ilike %[1]s or targets::text ilike %[1]s or metadata::text ilike %[1]s)", like))
		default:
			return "", nil, fmt.Errorf("no SQL for a filter on %s", f.Field)
		}
	}
	if !query.OccurredFrom.IsZero() {
		where = append(where, "occurred_at >= "+arg(query.OccurredFrom))
	}
	if !query.OccurredTo.IsZero() {
		where = append(where, "occurred_at < "+arg(query.OccurredTo))
	}
	if q.Days {
		return "select date_trunc('day', occurred_at), count(*) from events where " + strings.Join(where, " and ") + " group by 1 order by 1", args, nil
	}
	return fmt.Sprintf("select %s, received_at from events where %s order by occurred_at desc limit %d", columns, strings.Join(where, " and "), workload.PageSize), args, nil
}

// oneOf compares with values. One alone is compared with =, since PostgreSQL reads
// an index in its order only then.
func oneOf(values []string, arg func(any) string) string {
	if len(values) == 1 {
		return " = " + arg(values[0])
	}
	return " = any(" + arg(values) + ")"
}

// questions asks all of them, on one connection with prepared statements.
func (c *comparison) questions(ctx context.Context) error {
	conn, err := c.pg.connect(ctx)
	if err != nil {
		return err
	}
	for _, q := range workload.Questions() {
		if err := c.askRuns(ctx, conn, q); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", q.Name, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

func (c *comparison) askRuns(ctx context.Context, conn *pgx.Conn, q workload.Question) error {
	var took []time.Duration
	began := c.now()
	for i := -min(warmUp, c.queries); i < c.queries; i++ {
		if i >= fewestRuns && c.now().Sub(began) > questionTime {
			break
		}
		run := i
		if i < 0 { // a warm-up, with parameters of its own
			run = c.queries - 1 - i
		}
		sql, args, err := statement(q, q.At(run))
		if err != nil {
			return err
		}
		sent := c.now()
		found, err := ask(ctx, conn, q, sql, args)
		if err != nil {
			return err
		}
		if i >= 0 {
			took = append(took, c.now().Sub(sent))
			c.answers[question{q.Name, i}] = found
		}
	}
	c.report.PostgreSQL.Queries = append(c.report.PostgreSQL.Queries, query{Name: q.Name, latency: percentiles(took)})
	return nil
}

// ask reads the whole answer and returns what is compared of it.
func ask(ctx context.Context, conn *pgx.Conn, q workload.Question, sql string, args []any) ([]string, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	found := []string{}
	if q.Days {
		var day time.Time
		var count int64
		_, err = pgx.ForEachRow(rows, []any{&day, &count}, func() error {
			found = append(found, fmt.Sprintf("%s %d", day.UTC().Format(time.DateOnly), count))
			return nil
		})
		return found, err
	}
	var occurred, received time.Time
	var org, action, actorType, actorID, actorName, location, userAgent string
	var version int
	var actorMetadata, targets, metadata []byte
	to := []any{&org, &occurred, &action, &version, &actorType, &actorID, &actorName, &actorMetadata, &targets, &location, &userAgent, &metadata, &received}
	_, err = pgx.ForEachRow(rows, to, func() error {
		found = append(found, occurred.UTC().Format("2006-01-02T15:04:05.000Z")+" "+action)
		return nil
	})
	return found, err
}

// exportAll copies everything of the big organization to a file, in order.
func (c *comparison) exportAll(ctx context.Context) error {
	conn, err := c.pg.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is open on it
	file, err := os.Create(filepath.Join(c.dir, "export.csv"))
	if err != nil {
		return err
	}
	memory := watchMemory(ctx, c.pg.cmd.Process.Pid)
	began := c.now()
	tag, err := conn.PgConn().CopyTo(ctx, file, "copy (select "+columns+", received_at from events where org = '"+workload.Organization(0)+
		"' order by occurred_at) to stdout (format csv, header)")
	took := c.now().Sub(began)
	c.report.PostgreSQL.Exporting = memory.stop()
	c.report.PostgreSQL.Export = exported{Format: "csv", Rows: int(tag.RowsAffected()), Rate: float64(tag.RowsAffected()) / took.Seconds()}
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// restarts stops the server in good order, and then so that it has to recover,
// after something that only its write-ahead log has.
func (c *comparison) restarts(ctx context.Context) error {
	r := &c.report.PostgreSQL.Restart
	restart := func(how syscall.Signal) (stop, start float64, err error) {
		began := c.now()
		if err := c.pg.halt(how); err != nil {
			return 0, 0, err
		}
		stop = c.now().Sub(began).Seconds()
		began = c.now()
		err = c.pg.start(ctx)
		return stop, c.now().Sub(began).Seconds(), err
	}
	var err error
	if r.Stop, r.Start, err = restart(syscall.SIGINT); err != nil {
		return err
	}
	if err := c.pg.exec(ctx, "create table after_restart as select generate_series(1, 200) as n"); err != nil {
		return err
	}
	_, r.KillStart, err = restart(syscall.SIGQUIT)
	return err
}
