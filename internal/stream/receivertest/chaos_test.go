package receivertest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// poison is in events that the receiver refuses, whatever batch they are in.
const poison = "this event is refused"

// chaos is a receiver over HTTPS that does all that receivers do, and remembers
// what it took: a webhook endpoint at /hook, an S3 bucket everywhere else.
type chaos struct {
	*httptest.Server
	t    *testing.T
	cert certificate

	mu       sync.Mutex
	rnd      *mathrand.Rand
	healed   bool
	requests int
	strange  bool // a certificate is shown that nobody trusts
	good     tls.Certificate
	bad      tls.Certificate
	attempts map[string][32]byte // by name of the batch: what every attempt was
	taken    []took
	objects  map[string][]byte
	faults   map[string]int // how often each happened
	repeats  int            // attempts that were not the first of their batch
}

// took is one batch that was taken, as often as it was.
type took struct {
	name string
	body []byte
}

func newChaos(t *testing.T) *chaos {
	t.Helper()
	c := &chaos{
		t: t, cert: newCertificate(t), rnd: mathrand.New(mathrand.NewPCG(1, 2)),
		attempts: map[string][32]byte{}, objects: map[string][]byte{}, faults: map[string]int{},
	}
	c.good, c.bad = pair(t, c.cert), pair(t, newCertificate(t))
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	c.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.strange {
			return &tls.Config{Certificates: []tls.Certificate{c.bad}}, nil
		}
		return &tls.Config{Certificates: []tls.Certificate{c.good}}, nil
	}}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func pair(t *testing.T, c certificate) tls.Certificate {
	t.Helper()
	p, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// fault chooses what happens to a request; "" is nothing. Every second request
// meets the next of all faults.
func (c *chaos) fault() string {
	c.requests++
	if c.healed || c.requests%2 == 0 {
		return ""
	}
	f := allFaults()[c.requests/2%len(allFaults())]
	c.faults[f]++
	return f
}

func allFaults() []string {
	return []string{"reset after commit", "busy", "half-closed", "certificate", "drips", "busy for a second", "broken", "hangs"}
}

// tried reports whether every fault has happened.
func (c *chaos) tried() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.faults) == len(allFaults())
}

// count is how many attempts were not the first of their batch, and how often each
// fault has happened. The server that sends may go on meanwhile.
func (c *chaos) count() (repeats int, faults map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.repeats, maps.Clone(c.faults)
}

func (c *chaos) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender is gone
	}
	name := r.URL.Path
	if name == "/hook" {
		name = r.Header.Get("Webhook-Id")
	}
	c.mu.Lock()
	sum := sha256.Sum256(body)
	if was, again := c.attempts[name]; again {
		c.repeats++
		if was != sum {
			c.t.Errorf("%s was another at another attempt", name)
		}
	}
	c.attempts[name] = sum
	fault := c.fault()
	c.mu.Unlock()
	switch fault {
	case "busy for a second":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case "busy":
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case "broken":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "hangs":
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second): // then the connection is lost
		}
		panic(http.ErrAbortHandler)
	case "half-closed":
		halfClose(w)
		return
	case "certificate":
		c.change()
		panic(http.ErrAbortHandler)
	}
	status := c.take(name, r, body)
	switch fault {
	case "reset after commit":
		reset(w)
	case "drips":
		drip(w, status)
	default:
		w.WriteHeader(status)
	}
}

// take takes a batch, or says why not.
func (c *chaos) take(name string, r *http.Request, body []byte) (status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Contains(body, []byte(poison)) && r.Method == http.MethodPost {
		return http.StatusBadRequest
	}
	if r.Method == http.MethodPut {
		if _, there := c.objects[name]; there {
			return http.StatusPreconditionFailed // If-None-Match: *
		}
		c.objects[name] = body
		return http.StatusOK
	}
	c.taken = append(c.taken, took{name, body})
	return http.StatusOK
}

// change shows another certificate for a moment.
func (c *chaos) change() {
	show := func(strange bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.strange = strange
	}
	show(true)
	time.AfterFunc(500*time.Millisecond, func() { show(false) })
}

func hijack(w http.ResponseWriter) *net.TCPConn {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn.(*tls.Conn).NetConn().(*net.TCPConn) //nolint:forcetypeassert // it is
}

// halfClose ends one direction in the middle of the answer's head.
func halfClose(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
	_ = conn.(*tls.Conn).CloseWrite() //nolint:forcetypeassert // it is
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

func reset(w http.ResponseWriter) {
	conn := hijack(w)
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// drip answers a byte at a time.
func drip(w http.ResponseWriter, status int) {
	const text = "taken, slowly"
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	w.WriteHeader(status)
	for i := range len(text) {
		_, _ = io.WriteString(w, text[i:i+1])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(20 * time.Millisecond)
	}
}

// delivered is an event as it came.
type delivered struct {
	ID  string
	Seq uint64
}

// hooked are the events of the webhook endpoint in the order in which they were
// taken first. again is how many came more than once.
func (c *chaos) hooked() (list []delivered, again int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[uint64]string{}
	for _, took := range c.taken {
		var body struct {
			Data struct{ Events []json.RawMessage }
		}
		if err := json.Unmarshal(took.body, &body); err != nil {
			c.t.Fatal(err)
		}
		for _, raw := range body.Data.Events {
			var e delivered
			if err := json.Unmarshal(raw, &e); err != nil {
				c.t.Fatal(err)
			}
			text, twice := seen[e.Seq]
			switch {
			case !twice:
				seen[e.Seq] = string(raw)
				list = append(list, e)
			case text != string(raw):
				c.t.Errorf("seq %d came as %s and then as %s", e.Seq, text, raw)
			default:
				again++
			}
		}
	}
	return list, again
}

// stored are the events of the bucket in the order of its objects.
func (c *chaos) stored() (list []delivered) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := map[string][]byte{}
	for name, body := range c.objects {
		if strings.Contains(name, "/org=") {
			texts[name] = gunzip(c.t, body)
		}
	}
	for _, line := range objectLines(texts) {
		var e delivered
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			c.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func (c *chaos) random(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

func (c *chaos) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.healed = true
}

// missing compares what came with what was to come, but for what was refused.
func missing(t *testing.T, what string, got, log []delivered, refused []uint64) {
	t.Helper()
	want := slices.DeleteFunc(slices.Clone(log), func(e delivered) bool { return slices.Contains(refused, e.Seq) })
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("%s: at %d came %v, want %v", what, i, got[i], want[i])
			break
		}
	}
	t.Errorf("%s: %d events came, want %d", what, len(got), len(want))
}
