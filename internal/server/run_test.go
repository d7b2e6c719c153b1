package server

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stelehq/stele/internal/auth"
)

// pipes is a listener whose connections are net.Pipes, which keep the time of a
// synctest bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects; it fails when nobody accepts any more.
func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client
	case <-p.done:
		t.Fatal("the listener is closed")
		return nil
	}
}

// running is a server in a bubble.
type running struct {
	*bench
	*pipes
	stop   context.CancelFunc
	result chan error // of Run
}

func runServer(t *testing.T, routes ...Route) *running {
	t.Helper()
	b := setUp(t, routes...)
	ctx, stop := context.WithCancel(context.Background())
	r := &running{bench: b, pipes: newPipes(), stop: stop, result: make(chan error, 1)}
	go func() { r.result <- b.server.Run(ctx, r.pipes) }()
	return r
}

// finish stops the server and returns Run's error.
func (r *running) finish() error {
	r.stop()
	return <-r.result
}

func send(t *testing.T, conn net.Conn, lines ...string) {
	t.Helper()
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")); err != nil {
		t.Errorf("send: %v", err)
	}
}

// receive reads an answer's header; the body ends when the answer does.
func receive(t *testing.T, conn io.Reader) (status int, body io.Reader) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // the test has the connection
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return res.StatusCode, res.Body
}

// readAll reads an answer whole.
func readAll(t *testing.T, conn io.Reader) (status int, text string, err error) {
	t.Helper()
	status, body := receive(t, conn)
	all, err := io.ReadAll(body)
	return status, string(all), err
}

func public(name, method string, h Handler) Route {
	return Route{Name: name, Method: method, Pattern: "/" + name, Access: auth.Public(), Handler: h}
}

func TestRunDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started, release := make(chan struct{}), make(chan struct{})
		s := runServer(t,
			public("slow", "GET", func(w http.ResponseWriter, r *Request) error {
				close(started)
				<-release
				if r.Context().Err() != nil {
					t.Error("cancelled while draining")
				}
				_, err := io.WriteString(w, "done")
				return err
			}),
			public("tail", "GET", func(w http.ResponseWriter, r *Request) error {
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				<-r.Draining()
				_, err := io.WriteString(w, "bye")
				return err
			}))
		slow, tail := s.dial(t), s.dial(t)
		send(t, slow, "GET /slow HTTP/1.1", "Host: x", "", "")
		send(t, tail, "GET /tail HTTP/1.1", "Host: x", "", "")
		<-started
		_, bye := receive(t, tail)
		s.stop()
		if body, err := io.ReadAll(bye); string(body) != "bye" || err != nil {
			t.Errorf("tail: %q, %v", body, err)
		}
		synctest.Wait()
		select {
		case err := <-s.result:
			t.Fatalf("Run returned %v before its requests", err)
		case <-s.done: // the listener is closed
		}
		close(release)
		if _, body, err := readAll(t, slow); body != "done" || err != nil {
			t.Errorf("slow: %q, %v", body, err)
		}
		if err := <-s.result; err != nil {
			t.Error(err)
		}
	})
}

func TestReadyWhileDraining(t *testing.T) {
	b := setUp(t)
	b.server.drainOnce.Do(func() { close(b.server.draining) })
	wantProblem(t, b.do("GET", "/readyz"), 503, "unavailable")
}

// A request that does not end is cut when the time to drain is over.
func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runServer(t, public("stuck", "GET", func(_ http.ResponseWriter, r *Request) error {
			<-r.Context().Done()
			return r.Context().Err()
		}))
		conn := s.dial(t)
		send(t, conn, "GET /stuck HTTP/1.1", "Host: x", "", "")
		synctest.Wait()
		start := time.Now()
		err := s.finish()
		if took := time.Since(start); took < DefaultDrain || took >= DefaultDrain+cutTime {
			t.Errorf("took %s", took)
		}
		if err == nil || !strings.Contains(err.Error(), "cut") {
			t.Errorf("error %v", err)
		}
		_ = conn.Close()
	})
}

func TestRunWithoutListener(t *testing.T) {
	b := setUp(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := b.server.Run(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// A tail lives much longer than any deadline, also when it is quiet for long.
func TestLongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runServer(t, public("tail", "GET", func(w http.ResponseWriter, _ *Request) error {
			for range 5 {
				time.Sleep(10 * time.Minute)
				if _, err := io.WriteString(w, "x"); err != nil {
					return err
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			}
			return nil
		}))
		conn := s.dial(t)
		send(t, conn, "GET /tail HTTP/1.1", "Host: x", "", "")
		if _, body, err := readAll(t, conn); body != "xxxxx" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		if err := s.finish(); err != nil {
			t.Error(err)
		}
	})
}

// A body with a long pause after it must not end the request either.
func TestLongWorkAfterBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runServer(t, public("work", "POST", func(w http.ResponseWriter, r *Request) error {
			body, err := ReadBody(r, 100)
			if err != nil {
				return err
			}
			select {
			case <-time.After(time.Hour):
			case <-r.Context().Done():
				return r.Context().Err()
			}
			_, err = w.Write(body)
			return err
		}))
		conn := s.dial(t)
		send(t, conn, "POST /work HTTP/1.1", "Host: x", "Content-Length: 5", "", "hello")
		if _, body, err := readAll(t, conn); body != "hello" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		if err := s.finish(); err != nil {
			t.Error(err)
		}
	})
}

// Clients that are slow on purpose hold a connection for a bounded time.
func TestSlowClients(t *testing.T) {
	t.Run("header", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := runServer(t)
			conn := s.dial(t)
			start := time.Now()
			send(t, conn, "GET / HTTP/1.1", "Host: x", "X-Slow: ")
			_, _ = io.ReadAll(conn)
			if took := time.Since(start); took != headerTime {
				t.Errorf("held for %s", took)
			}
			if err := s.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := runServer(t, public("in", "POST", func(_ http.ResponseWriter, r *Request) error {
				_, err := ReadBody(r, 100)
				return err
			}))
			conn := s.dial(t)
			start := time.Now()
			send(t, conn, "POST /in HTTP/1.1", "Host: x", "Content-Length: 50", "", "slow")
			status, body, err := readAll(t, conn)
			if err != nil || status != http.StatusRequestTimeout || !strings.Contains(body, "invalid_request") {
				t.Errorf("%d %s, %v", status, body, err)
			}
			if took := time.Since(start); took != bodyTime {
				t.Errorf("held for %s", took)
			}
			if err := s.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("answer longer than a body may take", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := func(w http.ResponseWriter, r *Request) error {
				if _, err := ReadBody(r, 100); err != nil {
					return err
				}
				select {
				case <-time.After(2 * bodyTime):
				case <-r.Context().Done():
					return r.Context().Err()
				}
				_, err := io.WriteString(w, "whole")
				return err
			}
			s := runServer(t, public("in", "POST", slow), public("out", "GET", slow))
			conn := s.dial(t)
			send(t, conn, "POST /in HTTP/1.1", "Host: x", "Content-Length: 5", "", "hello")
			if status, body, err := readAll(t, conn); status != http.StatusOK || body != "whole" || err != nil {
				t.Errorf("%d %q, %v", status, body, err)
			}
			conn = s.dial(t)
			send(t, conn, "GET /out HTTP/1.1", "Host: x", "", "")
			if status, body, err := readAll(t, conn); status != http.StatusOK || body != "whole" || err != nil {
				t.Errorf("%d %q, %v", status, body, err)
			}
			if err := s.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("continue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took := make(chan time.Duration, 1)
			s := runServer(t, public("in", "POST", func(_ http.ResponseWriter, r *Request) error {
				start := time.Now()
				_, err := ReadBody(r, 100)
				took <- time.Since(start)
				return err
			}))
			conn := s.dial(t)
			send(t, conn, "POST /in HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue", "", "")
			if took := <-took; took > writeTime { // it does not take the go-ahead
				t.Errorf("held for %s", took)
			}
			_ = conn.Close()
			if err := s.finish(); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			took := make(chan time.Duration, 1)
			s := runServer(t, public("out", "GET", func(w http.ResponseWriter, _ *Request) error {
				start := time.Now()
				defer func() { took <- time.Since(start) }()
				for {
					if _, err := w.Write(make([]byte, 10_000)); err != nil {
						return err
					}
				}
			}))
			conn := s.dial(t)
			send(t, conn, "GET /out HTTP/1.1", "Host: x", "", "")
			_, _ = receive(t, conn) // the header, and no more
			if took := <-took; took > writeTime {
				t.Errorf("held for %s", took)
			}
			synctest.Wait()
			if line := s.log.last(t); line["client_gone"] != true || line["level"] != "INFO" {
				t.Errorf("log %v", line)
			}
			if err := s.finish(); err != nil {
				t.Error(err)
			}
			_ = conn.Close()
		})
	})
	t.Run("slow but steady reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const size = 1 << 20
			s := runServer(t, public("out", "GET", func(w http.ResponseWriter, _ *Request) error {
				_, err := io.Copy(w, io.LimitReader(zeros{}, size))
				return err
			}))
			conn := s.dial(t)
			send(t, conn, "GET /out HTTP/1.1", "Host: x", "", "")
			_, body := receive(t, conn)
			got := 0
			for part := make([]byte, 4096); ; time.Sleep(5 * time.Second) {
				n, err := body.Read(part)
				got += n
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("after %d bytes: %v", got, err)
				}
			}
			if got != size {
				t.Errorf("%d bytes", got)
			}
			if err := s.finish(); err != nil {
				t.Error(err)
			}
		})
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// The second request of a connection that was idle has deadlines of its own.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runServer(t, public("in", "POST", func(w http.ResponseWriter, r *Request) error {
			body, err := ReadBody(r, 100)
			if err != nil {
				return err
			}
			_, err = w.Write(body)
			return err
		}))
		conn := s.dial(t)
		in := bufio.NewReader(conn)
		for range 3 {
			send(t, conn, "POST /in HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue", "", "")
			if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
				t.Fatalf("%q, %v", line, err)
			}
			_, _ = in.ReadString('\n')
			send(t, conn, "hello")
			if _, body, err := readAll(t, in); body != "hello" || err != nil {
				t.Errorf("%q, %v", body, err)
			}
			time.Sleep(idleTime - time.Second)
		}
		if err := s.finish(); err != nil {
			t.Error(err)
		}
	})
}
