package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client talks to a Stele server. It is safe for concurrent use; its fields are
// not changed once it is used.
//
// What the server refuses is an *[Error] with its code, field and request id. A
// request is repeated where the server or the network asks for it and where that
// cannot do a thing twice: everything that reads, and the recording of events,
// which carry idempotency keys.
type Client struct {
	// BaseURL is the server's address, such as "https://audit.example.com".
	BaseURL string
	// Key is the API key.
	Key string
	// HTTP makes the requests; http.DefaultClient when nil. A Timeout in it
	// would cut tails and downloads short: leave it zero.
	HTTP *http.Client
	// Retries is how often a request is repeated at most: 5 times when zero,
	// never when negative.
	Retries int

	// wait waits between tries; nil in use.
	wait func(ctx context.Context, d time.Duration) error
}

// NewClient returns a client of the server at baseURL with an API key.
func NewClient(baseURL, key string) *Client { return &Client{BaseURL: baseURL, Key: key} }

// attemptTimeout is how long one try may take, from the first byte sent to the
// last received. Tails and downloads have no such limit.
const attemptTimeout = 60 * time.Second

// call is one question to the server.
type call struct {
	method string
	path   string
	params url.Values
	header http.Header
	body   []byte // nil for none
	// repeat says that asking again does nothing twice. GET always may.
	repeat bool
}

// orgPath is a path under an organization; each part is escaped.
func orgPath(org string, parts ...string) string {
	var path strings.Builder
	path.WriteString("/v1/organizations/" + url.PathEscape(org))
	for _, part := range parts {
		path.WriteString("/" + url.PathEscape(part))
	}
	return path.String()
}

// get asks for JSON.
func (c *Client) get(ctx context.Context, path string, params url.Values, out any) error {
	return c.do(ctx, call{method: http.MethodGet, path: path, params: params}, out)
}

// send sends JSON, unless in is nil.
func (c *Client) send(ctx context.Context, method, path string, in, out any) error {
	k := call{method: method, path: path}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		k.body = body
	}
	return c.do(ctx, k, out)
}

// do asks until there is an answer, which it decodes into out unless that is nil.
func (c *Client) do(ctx context.Context, k call, out any) error {
	data, err := c.bytes(ctx, k)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: read answer: %w", k.method, k.path, err)
	}
	return nil
}

// bytes asks until there is an answer and returns its body.
func (c *Client) bytes(ctx context.Context, k call) ([]byte, error) {
	var data []byte
	err := c.retrying(ctx, k.repeat || k.method == http.MethodGet, func() error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		res, err := c.open(ctx, k)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read to its end below
		if data, err = io.ReadAll(res.Body); err != nil {
			return &transportError{fmt.Errorf("%s %s: read answer: %w", k.method, k.path, err)}
		}
		return nil
	})
	return data, err
}

// open asks once. The caller closes the body of the answer, which is a success.
func (c *Client) open(ctx context.Context, k call) (*http.Response, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a server, such as https://audit.example.com", c.BaseURL)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, strings.TrimSuffix(c.BaseURL, "/")+k.path, bytes.NewReader(k.body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", k.method, k.path, err)
	}
	req.URL.RawQuery = k.params.Encode()
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "stele-go")
	req.Header.Set("Authorization", "Bearer "+c.Key)
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, k.header)
	return c.roundTrip(req)
}

// roundTrip sends a request; an answer that is no success is an error.
func (c *Client) roundTrip(req *http.Request) (*http.Response, error) {
	res, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return nil, &transportError{err}
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // what matters of it is read
	return nil, readRefusal(res)
}

// transportError is a request without an answer, or with half of one.
type transportError struct{ err error }

func (e *transportError) Error() string { return e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// maxProblemBytes is more than a problem document has.
const maxProblemBytes = 1 << 20

// refusal is an answer that is no success, with what it says about trying again.
type refusal struct {
	refused    *Error
	retryAfter time.Duration // negative when it says nothing
}

func (r *refusal) Error() string { return r.refused.Error() }
func (r *refusal) Unwrap() error { return r.refused }

// readRefusal reads a problem document (RFC 9457), or says what came instead.
func readRefusal(res *http.Response) error {
	var problem struct {
		Code      Code     `json:"code"`
		Detail    string   `json:"detail"`
		Field     string   `json:"field"`
		Line      int      `json:"line"`
		Errors    []*Error `json:"errors"`
		RequestID string   `json:"request_id"`
	}
	e := &Error{Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id")}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxProblemBytes))
	if err == nil && json.Unmarshal(text, &problem) == nil && problem.Code != "" {
		e.Code, e.Message, e.Field, e.Line, e.Errors = problem.Code, problem.Detail, problem.Field, problem.Line, problem.Errors
		e.RequestID = cmp.Or(problem.RequestID, e.RequestID)
	} else {
		e.Code = codeOfStatus(res.StatusCode)
		e.Message = "the answer is " + res.Status + " and not from Stele; is something between, or the address wrong?"
	}
	return &refusal{e, retryAfter(res.Header)}
}

// codeOfStatus is the code of an answer that does not have one, such as a
// proxy's.
func codeOfStatus(status int) Code {
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthorized
	case http.StatusForbidden:
		return CodeForbidden
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case http.StatusTooManyRequests:
		return CodeRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return CodeUnavailable
	default:
		return CodeInternal
	}
}
