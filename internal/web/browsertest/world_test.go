package browsertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/demo"
	"github.com/stelehq/stele/internal/search"
)

// rootKey opens every server of the tests.
const rootKey = "sk_a_key_that_only_these_tests_know"

// start is when every server's clock begins to run: the afternoon of a working
// day, so that the demo's events do not depend on when the tests run.
var start = time.Date(2026, time.November, 18, 16, 20, 0, 0, time.UTC)

// world is one open server.
type world struct {
	*app.App
	url    string
	demo   *demo.Clock  // stands still while events of the past are recorded
	offset atomic.Int64 // nanoseconds that the clock was moved ahead
	engine *flaky
	stop   func() error
}

// settings are what a test may choose about the server that is opened for it.
type settings struct{}

// open opens a server on a free port and an empty directory.
func open(ctx context.Context, dir string, _ settings) (_ *world, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &world{url: "http://" + ln.Addr().String()}
	opened := time.Now()
	w.demo = &demo.Clock{Real: func() time.Time {
		return start.Add(time.Since(opened) + time.Duration(w.offset.Load()))
	}}
	cfg := app.DemoConfig(dir, ln.Addr().String(), rootKey, nil)
	cfg.Now, cfg.ReserveMiB = w.demo.Now, 0
	cfg.WrapEngine = func(e search.Engine) search.Engine {
		w.engine = &flaky{Engine: e, failures: map[string]int{}, gates: map[string]chan struct{}{}}
		return w.engine
	}
	if w.App, err = app.Open(ctx, cfg); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Serve(ctx, ln) }()
	w.stop = func() error {
		cancel()
		return errors.Join(<-ended, w.Close())
	}
	return w, nil
}

// worlds are the servers that are open, by number; the first is the one that
// most tests use.
type worlds struct {
	ctx context.Context
	dir string
	mu  sync.Mutex
	all []*world
}

// add opens one more.
func (ws *worlds) add(s settings) (int, *world, error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	n := len(ws.all)
	w, err := open(ws.ctx, filepath.Join(ws.dir, fmt.Sprint(n)), s)
	if err != nil {
		return 0, nil, err
	}
	ws.all = append(ws.all, w)
	return n, w, nil
}

func (ws *worlds) get(n int) *world {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if n < 0 || n >= len(ws.all) {
		return nil
	}
	return ws.all[n]
}

// close ends all of them.
func (ws *worlds) close(t *testing.T) {
	t.Helper()
	for _, w := range ws.all {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	}
}
