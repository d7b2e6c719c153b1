package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// syslogReceiver takes octet-counted messages over TLS (RFC 5425).
type syslogReceiver struct {
	t  *testing.T
	l  net.Listener
	ca string

	mu     sync.Mutex
	heads  []string
	events []string
	stop   int    // break off after so many messages; 0 never
	keep   func() // called once all was read: then the connection stays open
	done   chan struct{}
	conns  sync.WaitGroup
}

func newSyslogReceiver(t *testing.T) *syslogReceiver {
	t.Helper()
	// httptest has a certificate for 127.0.0.1.
	s := httptest.NewTLSServer(http.NotFoundHandler())
	cert := s.TLS.Certificates
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	s.Close()
	r := &syslogReceiver{t: t, ca: ca, done: make(chan struct{})}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	r.l = l
	r.conns.Go(r.accept)
	t.Cleanup(func() {
		close(r.done)
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		r.conns.Wait()
	})
	return r
}

func (r *syslogReceiver) accept() {
	for {
		c, err := r.l.Accept()
		if err != nil {
			return
		}
		r.conns.Go(func() { r.serve(c) })
	}
}

func (r *syslogReceiver) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for n := 1; ; n++ {
		size, err := in.ReadString(' ')
		if err != nil {
			break
		}
		length, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil {
			r.t.Errorf("length %q", size)
			return
		}
		msg := make([]byte, length)
		if _, err := io.ReadFull(in, msg); err != nil {
			break
		}
		r.mu.Lock()
		m := regexp.MustCompile(`^(<[0-9]+>1 \S+ \S+ \S+ \S+ \S+ (?:-|\[.*?\])) (.*)$`).FindSubmatch(msg)
		if m == nil {
			r.t.Errorf("no message of RFC 5424: %q", msg)
			r.mu.Unlock()
			return
		}
		r.heads, r.events = append(r.heads, string(m[1])), append(r.events, string(m[2]))
		stop := r.stop == n
		r.mu.Unlock()
		if stop {
			_ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0) // a reset, as of a process that is killed
			return
		}
	}
	if r.keep != nil {
		r.keep()
		<-r.done
	}
}

func (r *syslogReceiver) settings() Values {
	host, port, _ := net.SplitHostPort(r.l.Addr().String())
	return Values{"host": host, "port": port, "ca_certificate": r.ca}
}

func TestSyslog(t *testing.T) {
	r := newSyslogReceiver(t)
	s := open(t, Syslog(), r.settings())
	first, second := batch(t, 0, 500), batch(t, 500, 3)
	send(t, s, first)
	send(t, s, second)
	wantEvents(t, r.events, first, second)
	if want := "<110>1 2026-11-20T10:30:00.000123Z audit.example.com stele - event -"; r.heads[0] != want {
		t.Errorf("head %s\nwant %s", r.heads[0], want)
	}
	send(t, s, checkpoint())
	if last := r.heads[len(r.heads)-1]; !strings.Contains(last, " checkpoint ") {
		t.Errorf("head of a checkpoint: %s", last)
	}
}

// TestSyslogBreaksOff: what a receiver took before it died is not delivered, and
// the whole batch comes again.
func TestSyslogBreaksOff(t *testing.T) {
	r := newSyslogReceiver(t)
	s := open(t, Syslog(), r.settings())
	r.stop = 10
	refuse(t, s, batch(t, 0, 3000), Retry)
	r.mu.Lock()
	r.stop, r.events = 0, nil
	r.mu.Unlock()
	b := batch(t, 0, 3000)
	send(t, s, b)
	wantEvents(t, r.events, b)
}

func TestSyslogThatKeepsConnections(t *testing.T) {
	r := newSyslogReceiver(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.keep = cancel
	_, err := open(t, Syslog(), r.settings()).Send(ctx, batch(t, 0, 1))
	if e := AsError(err); e.Code != "not_closed" || e.Class != Retry || !strings.Contains(e.Message, "confirmation to none") {
		t.Errorf("%s %v", e.Code, err)
	}
	v := r.settings()
	v["confirm"] = "none"
	send(t, open(t, Syslog(), v), batch(t, 0, 1))
}

func TestSyslogFaults(t *testing.T) {
	r := newSyslogReceiver(t)
	v := r.settings()
	v["structured_data"], v["max_message"] = `[token@41058 tag="se cret"]`, "2048"
	s := open(t, Syslog(), v)
	send(t, s, batch(t, 0, 1))
	if got := r.heads[0]; !strings.HasSuffix(got, ` event [token@41058 tag="se cret"]`) {
		t.Errorf("head %s", got)
	}
	b := batch(t, 0, 3)
	b.Events[1].Encoded = fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("x", 3000))
	e := refuse(t, s, b, Rejected, "2048")
	if len(e.Rejected) != 1 || e.Rejected[0].Index != 1 || e.RestTaken {
		t.Errorf("%+v", e)
	}
	delete(v, "ca_certificate")
	refuse(t, open(t, Syslog(), v), b, Rejected)
	refuse(t, open(t, Syslog(), v), batch(t, 0, 1), Retry, "certificate")
	v["host"] = "127.0.0.2"
	refuse(t, open(t, Syslog(), v), batch(t, 0, 1), Invalid, "loopback")
	v["host"] = "127.0.0.1"
	if err := r.l.Close(); err != nil {
		t.Error(err)
	}
	refuse(t, open(t, Syslog(), v), batch(t, 0, 1), Retry, "Nothing listens")
}
