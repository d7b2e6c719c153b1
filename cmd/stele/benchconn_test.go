package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func dialerOf(t testing.TB, server string) *benchDialer {
	t.Helper()
	d, err := newBenchDialer(server, "sk_key")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestBenchConn holds that net/http's server understands what the driver sends,
// that one connection serves all of it, also after long and chunked answers, and
// that an error shows its status and the start of its body.
func TestBenchConn(t *testing.T) {
	var connections atomic.Int32
	long := strings.Repeat("x", 100_000)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got := fmt.Sprintln(r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), r.ContentLength, string(body), err)
		if want := "POST /at/v1/organizations/a b/events Bearer sk_key text/x 4 body <nil>\n"; got != want {
			t.Errorf("the server got %q, want %q", got, want)
		}
		switch r.Header.Get("Idempotency-Key") {
		case "chunked":
			for _, part := range []string{long, "", "more"} {
				_, _ = io.WriteString(w, part)
				_ = http.NewResponseController(w).Flush()
			}
		case "refused":
			http.Error(w, "no such thing"+long, http.StatusTeapot)
		case "last":
			w.Header().Set("Connection", "close")
		default:
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, long)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	d := dialerOf(t, srv.URL+"/at/")
	c := d.client()
	defer c.close()
	send := func(key string) error {
		return c.send(t.Context(), append(d.appendRequest(nil, "a b", "text/x", key, 4), "body"...))
	}
	for _, key := range []string{"", "chunked", "", "chunked", "last", ""} {
		if err := send(key); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	}
	if got := connections.Load(); got != 2 {
		t.Errorf("%d connections, want one and, after the server closed it, another", got)
	}
	err := send("refused")
	if err == nil || !strings.Contains(err.Error(), "/events: 418: no such thing") || len(err.Error()) > 3000 {
		t.Errorf("a refusal is %.200v", err)
	}
	if err := send(""); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}

// TestBenchConnAnswers holds what the driver takes for an answer.
func TestBenchConnAnswers(t *testing.T) {
	for answer, fault := range map[string]string{
		"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nab":                                         "",
		"HTTP/1.1 201\r\ncontent-length:2\r\n\r\nab":                                                  "",
		"HTTP/1.1 204 No Content\r\n\r\n":                                                             "",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                   "",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n0\r\nTrailer: x\r\n\r\n": "",
		"": "EOF",
		"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nab":                                     "EOF",
		"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n":                                           "EOF",
		"HTTP/1.1 201 Created\r\n\r\n":                                                            "without Content-Length",
		"HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n":                                      "not one length",
		"HTTP/1.1 201 Created\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na":                 "not one length",
		"HTTP/1.1 201 Created\r\nContent-Length: 99999999999\r\n\r\na":                            "99999999999 bytes",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na":             "Transfer-Encoding",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n":                                      "chunked only",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n":              "chunk",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n":                              "chunk size",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n":                       "more than",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n":                        "EOF",
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                                            "HTTP/1.1",
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n":                                           "HTTP/1.1",
		"HTTP/1.1 x00 OK\r\nContent-Length: 0\r\n\r\n":                                            "no status",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n":                                                  "CR LF",
		"HTTP/1.1 200 OK\r\n: 0\r\n\r\n":                                                          "no name",
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxAnswerHeaders) + "\r\n":             "headers",
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1<<16) + "\r\n\r\n":                        "buffer full",
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy":                       ": 503: busy",
		"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\npe\r\n0\r\n\r\n":    "chunk",
		"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n2\r\npe\r\n0\r\n\r\n":    ": 500: nope",
		"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n":                          ": 302: ",
		"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nno trailer\r\n": "malformed",
	} {
		client, server := net.Pipe()
		go func() {
			_, _ = server.Read(make([]byte, 4096))
			_, _ = io.WriteString(server, answer)
			_ = server.Close()
		}()
		c := dialerOf(t, "http://127.0.0.1").client()
		c.conn, c.unbind = client, func() bool { return true }
		c.answer.Reset(client)
		err := c.send(t.Context(), []byte("POST / HTTP/1.1\r\n\r\n"))
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%.80q: error %v, want %q", answer, err, fault)
		}
		c.close()
		_ = server.Close()
	}
}

// TestBenchConnStops holds that a client waiting for an answer ends with its
// context, and says why.
func TestBenchConnStops(t *testing.T) {
	asked := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		_, _ = io.ReadAll(r.Body)
		<-r.Context().Done()
	}))
	defer srv.Close()
	d := dialerOf(t, srv.URL)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("another client failed")
	go func() {
		<-asked
		cancel(why)
	}()
	c := d.client()
	defer c.close()
	if err := c.send(ctx, d.appendRequest(nil, "a", "text/x", "", 0)); !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
}

// TestBenchConnTLS holds that the driver speaks to a server with HTTPS, and not
// to one whose certificate it does not know.
func TestBenchConnTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Proto)
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	d := dialerOf(t, srv.URL)
	request := append(d.appendRequest(nil, "a", "text/x", "", 4), "body"...)
	stranger := d.client()
	defer stranger.close()
	if err := stranger.send(t.Context(), request); err == nil {
		t.Error("an unknown certificate is trusted")
	}
	d.roots = x509.NewCertPool()
	d.roots.AddCert(srv.Certificate())
	c := d.client()
	defer c.close()
	for range 2 {
		if err := c.send(t.Context(), request); err != nil {
			t.Error(err)
		}
	}
}

func TestBenchDialerRefuses(t *testing.T) {
	for _, server := range []string{"localhost:80", "ftp://host", "http://", "http://a b"} {
		if d, err := newBenchDialer(server, "sk_key"); err == nil {
			t.Errorf("%q is %v", server, d.url)
		}
	}
	if _, err := newBenchDialer("http://host", "sk\r\nX: y"); err == nil {
		t.Error("a key with a line break can add headers")
	}
}

// FuzzAnswer holds that what the driver takes for an answer is one to net/http,
// with the same status, and as long.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nabHTTP/1.1"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mine := bufio.NewReader(bytes.NewReader(data))
		a, err := readAnswerHead(mine)
		if err != nil {
			return
		}
		if _, err := a.readBody(mine); err != nil {
			return
		}
		theirs := bufio.NewReader(bytes.NewReader(data))
		res, err := http.ReadResponse(theirs, &http.Request{Method: http.MethodPost})
		if err != nil {
			return // the driver does not look at headers that it does not need
		}
		defer res.Body.Close() //nolint:errcheck // bytes in memory
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return
		}
		left, _ := io.ReadAll(theirs)
		if got, _ := io.ReadAll(mine); res.StatusCode != a.status || len(got) != len(left) {
			t.Errorf("status %d, %d bytes left; net/http: %d, %d", a.status, len(got), res.StatusCode, len(left))
		}
	})
}
