package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgres is a PostgreSQL server of our own: its data is below a directory of
// the run, it listens on a socket there and nowhere else, and no service of the
// system is touched.
type postgres struct {
	bin, data, socket string
	account           *syscall.Credential // nil for our own
	settings          []string
	version           string
	now               func() time.Time
	cmd               *exec.Cmd
	log               *os.File
}

// startPostgres makes a cluster and starts it.
func startPostgres(ctx context.Context, dir string, now func() time.Time) (_ *postgres, err error) {
	p := &postgres{now: now, data: filepath.Join(dir, "pg", "data"), socket: filepath.Join(dir, "pg")}
	if p.bin, err = findBinaries(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(p.socket, 0o700); err != nil {
		return nil, err
	}
	// PostgreSQL refuses to run as root.
	if os.Geteuid() == 0 {
		if p.account, err = accountOf("postgres"); err != nil {
			return nil, err
		}
		if err := os.Chown(p.socket, int(p.account.Uid), int(p.account.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := p.command("initdb", "-D", p.data, "-U", "bench", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if p.log, err = os.Create(filepath.Join(dir, "postgres.log")); err != nil { //nolint:gosec // in the directory of the run
		return nil, err
	}
	p.settings, err = settings()
	if err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, p.makeTable(ctx)
}

// findBinaries is the folder of the newest PostgreSQL of this machine. Debian
// keeps its programs out of the path.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("no initdb in the path or in /usr/lib/postgresql/*/bin; run make apt, or install PostgreSQL")
	}
	best, version := "", -1
	for _, path := range found {
		dir := filepath.Dir(path)
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && n > version {
			best, version = dir, n
		}
	}
	if best == "" {
		return "", fmt.Errorf("no version of PostgreSQL among %q", found)
	}
	return best, nil
}

func accountOf(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// command is a program of PostgreSQL's, to be run as its account. It is in a
// process group of its own, so that an interrupt at the terminal reaches it
// through us only.
func (p *postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...) //nolint:gosec,noctx // ended in good order by stop
	cmd.Dir = p.socket
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account, Setpgid: true}
	return cmd
}

// settings are those that matter, pinned: durable, with the memory that a
// database of this size is usually given, and none of it for the server's own
// comfort that a user would not choose.
func settings() ([]string, error) {
	memory, err := totalMemory()
	if err != nil {
		return nil, err
	}
	shared := min(memory/4, 2<<30) >> 20
	return []string{
		"fsync=on", "synchronous_commit=on", "full_page_writes=on",
		"wal_level=replica", "wal_compression=off", "wal_buffers=64MB", "max_wal_size=4GB", "checkpoint_timeout=15min",
		fmt.Sprintf("shared_buffers=%dMB", shared), fmt.Sprintf("effective_cache_size=%dMB", memory>>21),
		"work_mem=64MB", "maintenance_work_mem=512MB", "random_page_cost=1.1", "effective_io_concurrency=200",
		"jit=off", "autovacuum=on", "max_connections=100", "timezone=UTC",
	}, nil
}

// totalMemory is that of the machine, in bytes.
func totalMemory() (int64, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(info)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); err == nil {
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo has no MemTotal")
}

// start starts the server and waits until it answers.
func (p *postgres) start(ctx context.Context) error {
	args := []string{"-D", p.data, "-k", p.socket, "-c", "listen_addresses="}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	p.cmd = p.command("postgres", args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := p.connect(ctx)
		if err == nil {
			return errors.Join(conn.QueryRow(ctx, "show server_version").Scan(&p.version), conn.Close(ctx))
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(p.log.Name())
			return fmt.Errorf("the server did not become ready: %w\n%s", err, text)
		case <-tick.C:
		}
	}
}

// stop ends the server and waits for its end; its files go with the run's.
func (p *postgres) stop() error {
	return errors.Join(p.halt(syscall.SIGINT), p.log.Close())
}

// halt ends it with a signal: SIGINT ends connections and writes everything,
// SIGQUIT writes nothing and leaves the rest to recovery.
func (p *postgres) halt(how syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	cmd := p.cmd
	p.cmd = nil
	if err := cmd.Process.Signal(how); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	err := cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited && how == syscall.SIGQUIT {
		err = nil // it says that it did not end well
	}
	return err
}

func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, "host="+p.socket+" user=bench dbname=postgres")
}

// exec runs statements on a connection of their own.
func (p *postgres) exec(ctx context.Context, statements ...string) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s, err), conn.Close(ctx))
		}
	}
	return conn.Close(ctx)
}

// makeTable makes what a product would: one table, an index for each of the
// usual ways in, and a unique key that keeps an event from being recorded twice.
func (p *postgres) makeTable(ctx context.Context) error {
	return p.exec(ctx,
		`create table events (
			org text not null, occurred_at timestamptz not null, received_at timestamptz not null default now(),
			action text not null, version int not null,
			actor_type text not null, actor_id text not null, actor_name text not null, actor_metadata jsonb,
			targets jsonb not null, location text, user_agent text, metadata jsonb, idempotency_key text)`,
		`create index events_time on events (org, occurred_at)`,
		`create index events_action on events (org, action, occurred_at)`,
		`create index events_actor on events (org, actor_id, occurred_at)`,
		`create index events_targets on events using gin (targets jsonb_path_ops)`,
		`create unique index events_key on events (org, idempotency_key) where idempotency_key is not null`,
	)
}
