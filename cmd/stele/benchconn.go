package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
)

// What an answer may have before the driver takes it for a fault.
const (
	maxAnswerHeaders = 100
	maxAnswerBytes   = 64 << 20
	shownAnswerBytes = 2048 // of an answer that is an error
)

// Help is what "stele bench --help" says beside the flags.
func (c *benchCmd) Help() string {
	return "Events are sent by a lean HTTP/1.1 client: one connection a client, kept open, each request one write of bytes " +
		"made before the clock starts, each answer read whole and checked for its status. " +
		"It takes a small part of what a client library does, so the figures, which include it when it runs on the server's machine, " +
		"are the server's rather than the driver's."
}

// benchDialer makes the connections of one target that events are sent on.
type benchDialer struct {
	url   *url.URL
	key   string
	roots *x509.CertPool // nil for the system's
}

func newBenchDialer(server, key string) (*benchDialer, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("server %q: must be http:// or https:// and a host", server)
	}
	if strings.ContainsAny(key, "\r\n") {
		return nil, errors.New("the API key has a line break")
	}
	return &benchDialer{url: u, key: key}, nil
}

// appendRequest appends a whole request that records events, but for its body,
// whose size must be right. An empty idempotencyKey is none.
func (d *benchDialer) appendRequest(dst []byte, org, contentType, idempotencyKey string, size int) []byte {
	dst = append(dst, "POST "...)
	dst = append(dst, strings.TrimSuffix(d.url.EscapedPath(), "/")...)
	dst = append(dst, "/v1/organizations/"...)
	dst = append(dst, url.PathEscape(org)...)
	dst = append(dst, "/events HTTP/1.1\r\nHost: "...)
	dst = append(dst, d.url.Host...)
	dst = append(dst, "\r\nAuthorization: Bearer "...)
	dst = append(dst, d.key...)
	dst = append(dst, "\r\nContent-Type: "...)
	dst = append(dst, contentType...)
	if idempotencyKey != "" {
		dst = append(dst, "\r\nIdempotency-Key: "...)
		dst = append(dst, idempotencyKey...)
	}
	dst = append(dst, "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(size), 10)
	return append(dst, "\r\n\r\n"...)
}

func (d *benchDialer) dial(ctx context.Context) (net.Conn, error) {
	port := d.url.Port()
	if d.url.Scheme == "https" {
		if port == "" {
			port = "443"
		}
		// Of several protocols, the one that the driver speaks.
		dialer := tls.Dialer{Config: &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12, RootCAs: d.roots}}
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.url.Hostname(), port))
	}
	if port == "" {
		port = "80"
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(d.url.Hostname(), port))
}

// benchConn is one client's connection: HTTP/1.1, kept open, one request after
// another. It does what a request needs and no more, since it runs on the
// processors that it measures: a request is one write of bytes made beforehand,
// an answer is read whole and checked for its status only. It is not safe for
// concurrent use.
type benchConn struct {
	dialer *benchDialer
	conn   net.Conn // nil while there is none
	answer *bufio.Reader
	unbind func() bool // ends the watch over ctx
}

func (d *benchDialer) client() *benchConn {
	return &benchConn{dialer: d, answer: bufio.NewReaderSize(nil, 16<<10)}
}

// send writes a request and reads its answer. Any status but 2xx is an error
// with the start of the body. After an error the next request has a connection
// of its own.
func (c *benchConn) send(ctx context.Context, request []byte) error {
	if c.conn == nil {
		conn, err := c.dialer.dial(ctx)
		if err != nil {
			return err
		}
		c.conn = conn
		c.answer.Reset(conn)
		c.unbind = context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	reusable, err := c.exchange(request)
	if err != nil || !reusable {
		c.close()
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *benchConn) exchange(request []byte) (reusable bool, err error) {
	if _, err := c.conn.Write(request); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	for {
		a, err := readAnswerHead(c.answer)
		if err != nil {
			return false, fmt.Errorf("read the answer: %w", err)
		}
		if a.status >= 100 && a.status < 200 {
			continue // the answer proper follows
		}
		shown, err := a.readBody(c.answer)
		if err != nil {
			return false, fmt.Errorf("read the answer: %w", err)
		}
		if a.status/100 != 2 {
			line, _, _ := bytes.Cut(request, []byte(" HTTP/"))
			return false, fmt.Errorf("%s: %d: %s", line, a.status, shown)
		}
		return !a.last, nil
	}
}

func (c *benchConn) close() {
	if c.conn == nil {
		return
	}
	c.unbind()
	_ = c.conn.Close() // nothing waits in it
	c.conn = nil
}

// answerHead is what the driver wants to know of an answer before its body.
type answerHead struct {
	status  int
	length  int64 // -1 when it is not given
	chunked bool
	last    bool // the server closes the connection after it
}

// readAnswerHead reads a status line and headers (RFC 9112).
func readAnswerHead(r *bufio.Reader) (answerHead, error) {
	a := answerHead{length: -1}
	line, err := readAnswerLine(r)
	if err != nil {
		return a, err
	}
	if a.status, err = parseStatusLine(line); err != nil {
		return a, err
	}
	for range maxAnswerHeaders {
		line, err := readAnswerLine(r)
		if err != nil {
			return a, err
		}
		if len(line) == 0 {
			return a, a.check()
		}
		if err := a.header(line); err != nil {
			return a, err
		}
	}
	return a, fmt.Errorf("more than %d headers", maxAnswerHeaders)
}

// readAnswerLine returns a line without its end, valid until the next read.
func readAnswerLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("line %q does not end in CR LF", line)
	}
	return line[:len(line)-2], nil
}

func parseStatusLine(line []byte) (int, error) {
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return 0, fmt.Errorf("status line %q is not one of HTTP/1.1", line)
	}
	status := 0
	for _, digit := range rest[:3] {
		if digit < '0' || digit > '9' {
			return 0, fmt.Errorf("status line %q has no status", line)
		}
		status = 10*status + int(digit-'0')
	}
	if status < 100 {
		return 0, fmt.Errorf("status line %q has no status", line)
	}
	return status, nil
}

// header takes what says how long the answer is, and passes over the rest.
func (a *answerHead) header(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 {
		return fmt.Errorf("header line %q has no name", line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || a.length >= 0 {
			return fmt.Errorf("header %q: not one length", line)
		}
		a.length = int64(n)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		if !bytes.EqualFold(value, []byte("chunked")) {
			return fmt.Errorf("header %q: the driver reads chunked only", line)
		}
		a.chunked = true
	case bytes.EqualFold(name, []byte("Connection")):
		a.last = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// check refuses an answer whose end cannot be found on a connection kept open.
func (a *answerHead) check() error {
	switch {
	case a.status < 200 || a.status == 204 || a.status == 304:
		a.length, a.chunked = 0, false // no body, whatever the headers say
	case a.chunked && a.length >= 0:
		return errors.New("an answer with Content-Length and Transfer-Encoding")
	case a.length > maxAnswerBytes:
		return fmt.Errorf("an answer of %d bytes", a.length)
	case !a.chunked && a.length < 0:
		return errors.New("an answer without Content-Length or Transfer-Encoding")
	}
	return nil
}

// readBody reads the whole body and returns, when the status is not 2xx, its
// start.
func (a *answerHead) readBody(r *bufio.Reader) ([]byte, error) {
	var start bytes.Buffer
	if !a.chunked {
		err := a.take(r, a.length, &start)
		return start.Bytes(), err
	}
	var total int64
	for {
		line, err := readAnswerLine(r)
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		if err != nil {
			return nil, fmt.Errorf("chunk size %q", line)
		}
		if total += int64(n); total > maxAnswerBytes {
			return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswerBytes)
		}
		if n == 0 {
			_, err := textproto.NewReader(r).ReadMIMEHeader() // trailers, to the empty line
			return start.Bytes(), err
		}
		if err := a.take(r, int64(n), &start); err != nil {
			return nil, err
		}
		if end, err := readAnswerLine(r); err != nil || len(end) > 0 {
			return nil, errors.Join(errors.New("a chunk does not end where it says"), err)
		}
	}
}

// take reads n bytes, the first of which go to start when they are to be shown.
func (a *answerHead) take(r *bufio.Reader, n int64, start *bytes.Buffer) error {
	if a.status/100 != 2 {
		shown := min(n, int64(shownAnswerBytes-start.Len()))
		if _, err := io.CopyN(start, r, shown); err != nil {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		n -= shown
	}
	_, err := r.Discard(int(n))
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
