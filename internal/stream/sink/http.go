package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stelehq/stele/internal/egress"
)

const (
	// headerTimeout bounds the wait for the headers of an answer.
	headerTimeout = 60 * time.Second
	// sendTimeout bounds one attempt of most destinations.
	sendTimeout = 2 * time.Minute
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds how long a receiver can silence a stream.
	maxRetryAfter = time.Hour
)

// client is what the destinations over HTTP share: connections, and the way from
// answers and faults to an [Error].
type client struct {
	label     string // the destination's name in sentences, such as "Splunk"
	http      *http.Client
	transport *http.Transport
	secrets   []string
	now       func() time.Time
	agent     string
	// maxAnswer is more than the package's where answers are; maxList is that
	// for answers to GET, which list what lies there.
	maxAnswer, maxList int
	// opaque says that the receiver does not look at what it is given, so that
	// 400 and 422 are about the settings and never about events.
	opaque bool
	// hints are sentences for statuses: what to do about it.
	hints map[int]string
	// explain makes an error of an answer that the destination has its own
	// words for; nil, or nil returned, leaves it to the status.
	explain func(r *reply) *Error
}

// newClient makes a client out of a kind's settings, the common ones for TLS
// included.
func newClient(k *Kind, v Values, env Env) (*client, error) {
	config, err := egress.TLS([]byte(v["ca_certificate"]), []byte(v["client_certificate"]), []byte(v["client_key"]))
	if err != nil {
		return nil, &Error{Class: Invalid, Code: "certificate", Message: "The certificates in the settings: " + err.Error() + "."}
	}
	t := egress.Transport(env.Dial, config, headerTimeout)
	return &client{
		label: k.Label, http: egress.Client(t), transport: t, secrets: secretForms(k.Secrets(v)),
		now: env.Now, agent: env.UserAgent, maxAnswer: maxAnswer, maxList: maxAnswer,
	}, nil
}

// Close frees connections.
func (c *client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   []byte
	answer Answer
}

// do sends one request and returns the answer to it, with an error unless its
// status is 2xx. header may be nil.
func (c *client) do(ctx context.Context, method, target string, header http.Header, body []byte) (*reply, *Error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return &reply{}, &Error{Class: Invalid, Code: "url", Message: "The URL in the settings cannot be used.", Err: unwrapURL(err)}
	}
	if header != nil {
		req.Header = header
	}
	return c.send(req)
}

// send is do for a request that is made, as signing ones needs.
func (c *client) send(req *http.Request) (*reply, *Error) {
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	res, err := c.http.Do(req) //nolint:gosec,bodyclose // the dialer judges every address; ReadBody closes
	if err != nil {
		return &reply{}, c.fault(req.Context(), req.URL.Hostname(), err)
	}
	limit := c.maxAnswer
	if req.Method == http.MethodGet {
		limit = c.maxList
	}
	text, _, err := egress.ReadBody(res.Body, limit)
	r := &reply{status: res.StatusCode, header: res.Header, body: text}
	r.answer = Answer{Status: res.StatusCode, Text: Excerpt(string(text), c.secrets...)}
	if err != nil {
		return r, c.fault(req.Context(), req.URL.Hostname(), err)
	}
	return r, c.judge(r)
}

// judge makes an error of an answer whose status is not 2xx.
func (c *client) judge(r *reply) *Error {
	if r.status >= 200 && r.status < 300 {
		return nil
	}
	if c.explain != nil {
		if e := c.explain(r); e != nil {
			e.RetryAfter = max(e.RetryAfter, c.retryAfter(r.header))
			return e
		}
	}
	return c.byStatus(r)
}

// byStatus classifies an answer by its status alone.
func (c *client) byStatus(r *reply) *Error {
	class, todo := classOf(r.status)
	wait := c.retryAfter(r.header)
	if r.status == http.StatusServiceUnavailable && wait > 0 {
		class = RateLimited
	}
	if class == Malformed && c.opaque {
		class, todo = Invalid, "Check the settings."
	}
	if hint := c.hints[r.status]; hint != "" {
		todo = hint
	}
	return &Error{Class: class, Code: fmt.Sprintf("http_%d", r.status), Message: c.sentence(r, todo), RetryAfter: wait}
}

// sentence says what the destination answered, and what to do.
func (c *client) sentence(r *reply, todo string) string {
	said := r.answer.Text
	if text := saidIn(r.body); text != "" {
		said = Excerpt(text, c.secrets...)
	}
	if said != "" {
		said = ": " + strings.TrimRight(said, ". ")
	}
	return strings.TrimSpace(fmt.Sprintf("%s answered %s%s. %s", c.label, statusText(r.status), said, todo))
}

// saidIn finds the sentence in an answer of JSON, in the shapes that the makers
// here use: {"error":{"message":…}}, {"errors":[{"detail":…}]}, {"errors":["…"]},
// {"message":…}. It is "" where there is none.
func saidIn(body []byte) string {
	const deepest = 4 // each level is read again
	return saidWithin(body, deepest)
}

func saidWithin(body []byte, depth int) string {
	if depth == 0 {
		return ""
	}
	var said struct {
		Error   json.RawMessage   `json:"error"`
		Errors  []json.RawMessage `json:"errors"`
		Message string            `json:"message"`
		Detail  string            `json:"detail"`
		Title   string            `json:"title"`
	}
	if !parse(body, &said) {
		var text string
		parse(body, &text)
		return text
	}
	for _, inner := range append([]json.RawMessage{said.Error}, said.Errors...) {
		if text := saidWithin(inner, depth-1); text != "" {
			return text
		}
	}
	return cmp.Or(said.Message, said.Detail, said.Title)
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return fmt.Sprintf("%d (%s)", status, text)
	}
	return strconv.Itoa(status)
}

// classOf is what a status means where a destination has no meaning of its own
// for it.
func classOf(status int) (class Class, todo string) {
	switch {
	case status >= 300 && status < 400:
		return Invalid, "Redirects are not followed: enter the address that it points to."
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return Malformed, "It does not take the events in this form."
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return Invalid, "Check that the credentials are right, have not expired, and may write."
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		return Invalid, "Check the address."
	case status == http.StatusGone:
		return Permanent, "It wants no more events. Resume the stream when that has changed."
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge, "Smaller batches will be tried."
	case status == http.StatusTooManyRequests:
		return RateLimited, "It will be sent again, more slowly."
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return Retry, "It will be sent again."
	}
	return Invalid, "Check the settings."
}

// retryAfter reads the header of that name: seconds or a date.
func (c *client) retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	var wait time.Duration
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(c.now())
	}
	return min(max(wait, 0), maxRetryAfter)
}

// fault makes an error of what kept a request from being answered. All of it is
// tried again but for an address that the operator has not opened: names, TLS and
// connections come back.
func (c *client) fault(ctx context.Context, host string, err error) *Error {
	return faultOf(ctx, c.label, host, unwrapURL(err), c.secrets)
}

// faultOf is fault for destinations that are not over HTTP. The texts name the
// host and never a URL or what a name resolved to.
func faultOf(ctx context.Context, label, host string, err error, secrets []string) *Error {
	retry := func(code, format string, args ...any) *Error {
		e := Errorf(Retry, code, format, args...)
		e.Err = err
		return e
	}
	if r, ok := egress.AsRefused(err); ok {
		return &Error{Class: Invalid, Code: "address_refused", Message: r.Error(), Err: err}
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return retry("dns", "The name %s is unknown: there is no address for it. Check how it is written. It will be tried again.", host)
		}
		return retry("dns", "The name %s could not be looked up just now. It will be tried again.", host)
	}
	if text := certificateText(err); text != "" {
		return retry("tls", "The certificate of %s was not accepted: %s. Add the authority that issued it to the settings "+
			"if it is your own. It will be tried again.", host, Excerpt(text, secrets...))
	}
	timeout, isNet := errors.AsType[net.Error](err)
	alert, isAlert := errors.AsType[tls.AlertError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case ctx.Err() != nil || isNet && timeout.Timeout():
		return retry("timeout", "%s did not answer in time. It will be sent again.", label)
	case isAlert:
		return retry("tls", "%s ended the TLS handshake: %s. If it asks for a client certificate, check the one in the settings. "+
			"It will be tried again.", host, Excerpt(alert.Error(), secrets...))
	case plain:
		return retry("tls", "%s does not speak TLS on this port. Check the port. It will be tried again.", host)
	case errors.Is(err, syscall.ECONNREFUSED):
		return retry("connection_refused", "Nothing listens at this port of %s, or a firewall refuses. It will be tried again.", host)
	case isLost(err):
		return retry("connection_lost", "%s closed the connection before it had answered. It will be sent again.", label)
	}
	return retry("connection", "The connection to %s failed. It will be tried again.", host)
}

// isLost says that a connection that stood is gone. What net/http says of one that
// was idle, and was closed just as it was taken for a request, has no name: it sends
// again by itself what may be repeated, which a POST may not as far as it knows.
func isLost(err error) bool {
	for _, lost := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return err != nil && err.Error() == "http: server closed idle connection"
}

// certificateText says what is wrong with a certificate, or "".
func certificateText(err error) string {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return e.Error()
	}
	return ""
}

// unwrapURL drops what net/http wraps around an error: the URL, which can hold a
// secret.
func unwrapURL(err error) error {
	for {
		e, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = e.Err
	}
}

// secretForms are the forms in which secrets could come back in an answer. Of a
// secret URL these are its longer parts too: receivers repeat paths and queries.
func secretForms(secrets []string) []string {
	const longer = 8 // bytes; "services" and the like do no harm
	var all, forms []string
	for _, s := range secrets {
		all = append(all, s)
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			continue
		}
		all = append(all, u.RequestURI(), u.RawQuery)
		for part := range strings.FieldsFuncSeq(u.RequestURI(), func(r rune) bool { return strings.ContainsRune("/?&=", r) }) {
			if len(part) >= longer {
				all = append(all, part)
			}
		}
	}
	for _, s := range all {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s))} {
			if len(forms) == 0 || forms[len(forms)-1] != form {
				forms = append(forms, form)
			}
		}
	}
	return forms
}

// secretWords are the forms of the longer words of a header's secret value:
// receivers repeat a token without the "Bearer" before it.
func secretWords(value string) []string {
	const longer = 8 // bytes; "Bearer" and the name of a tenant are none
	var forms []string
	for word := range strings.FieldsSeq(value) {
		if len(word) >= longer {
			forms = append(forms, secretForms([]string{word})...)
		}
	}
	return forms
}

// result is what Send returns of an answer: a nil *Error is no error.
func result(r *reply, e *Error) (Answer, error) {
	if e != nil {
		return r.answer, e
	}
	return r.answer, nil
}

// parse reads JSON and reports whether it is what was expected: receivers, and
// what stands in front of them, answer with anything.
func parse(body []byte, into any) bool { return json.Unmarshal(body, into) == nil }
