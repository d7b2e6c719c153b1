package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// tailSilence is how long a tail may be silent: the server speaks every
	// 15 seconds.
	tailSilence = 60 * time.Second
	// maxTailLine is more than the longest entry has: escaping makes a byte
	// six at most.
	maxTailLine = 8 * MaxEventBytes
)

// Tail yields entries that a query finds as they are recorded, in seq order,
// beginning after the entry with the seq that after names: "-1" is the beginning
// of the log, "" is from now on. When the connection is lost it is made again and
// taken up where it was, with nothing left out and nothing twice. It ends with
// ctx, or after an error that trying again did not mend.
func (c *Client) Tail(ctx context.Context, org string, q Query, after string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		if after == "" {
			var err error
			if after, err = c.newestSeq(ctx, org); err != nil {
				yield(nil, fmt.Errorf("tail: %w", err))
				return
			}
		}
		t := &tail{client: c, path: orgPath(org, "events", "tail"), params: q.Values(), last: after, yield: yield}
		for failures := 0; ; failures++ {
			heard, err := t.connect(ctx)
			if t.stopped {
				return
			}
			if heard {
				failures = 0
			}
			pause, again := pauseAfter(err, failures)
			if ctx.Err() != nil {
				yield(nil, ctx.Err())
				return
			}
			if !again || failures >= c.retries() {
				yield(nil, fmt.Errorf("tail: %w", plainRefusal(err)))
				return
			}
			_ = c.pause(ctx, pause) // the next try notices that ctx ended
		}
	}
}

// newestSeq is where the log ends now, as Tail counts: without it, what is
// recorded before a first connection that fails would be left out.
func (c *Client) newestSeq(ctx context.Context, org string) (string, error) {
	page, err := c.Search(ctx, org, Query{}, SearchOptions{Limit: 1})
	if err != nil {
		return "", err
	}
	if page.CompleteThrough == nil {
		return "-1", nil
	}
	return strconv.FormatUint(page.CompleteThrough.Seq, 10), nil
}

// tail is one use of [Client.Tail].
type tail struct {
	client  *Client
	path    string
	params  url.Values
	last    string // seq of the last entry considered; "-1" is none
	yield   func(*Entry, error) bool
	stopped bool // yield said so
}

// errTailEnded says that the server ended the stream, as it does when it is
// stopped.
var errTailEnded = &transportError{errors.New("the server ended the stream")}

// connect follows the log until the connection is lost; heard says that the
// server spoke.
func (t *tail) connect(ctx context.Context) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k := call{method: http.MethodGet, path: t.path, params: t.params, header: http.Header{"Accept": {"text/event-stream"}}}
	if t.last == "-1" {
		k.params = maps.Clone(t.params)
		k.params.Set("from", "0")
	} else {
		k.header.Set("Last-Event-ID", t.last)
	}
	watchdog := time.AfterFunc(tailSilence, cancel)
	defer watchdog.Stop()
	res, err := t.client.open(ctx, k)
	if err != nil {
		return false, err
	}
	defer res.Body.Close() //nolint:errcheck // a stream has no end to be read to
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxTailLine)
	var m message
	for lines.Scan() {
		watchdog.Reset(tailSilence)
		heard = true
		if len(lines.Bytes()) > 0 {
			m.add(lines.Bytes())
			continue
		}
		if err := t.take(&m); err != nil || t.stopped {
			return heard, err
		}
		m = message{}
	}
	if err := lines.Err(); err != nil {
		return heard, &transportError{fmt.Errorf("read stream: %w", err)}
	}
	return heard, errTailEnded
}

// take hands an entry on, and remembers the place.
func (t *tail) take(m *message) error {
	if m.event == "entry" {
		e := new(Entry)
		if err := json.Unmarshal(m.data, e); err != nil {
			return fmt.Errorf("read entry: %w", err)
		}
		if !t.yield(e, nil) {
			t.stopped = true
			return nil
		}
	}
	if m.id != "" {
		t.last = m.id
	}
	return nil
}

// message is one server-sent event.
type message struct {
	event, id string
	data      []byte
}

// add takes in one line.
func (m *message) add(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		m.event = string(value)
	case "id":
		m.id = string(value)
	case "data":
		m.data = append(m.data, value...)
	}
}
