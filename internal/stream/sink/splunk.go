package sink

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// What one request to Splunk carries, uncompressed. Splunk's own limit
// (max_content_length) is far higher, but senders keep to about this, and
// load balancers in front of it do too.
const (
	splunkRequestBytes  = 1 << 20
	splunkRequestEvents = 1000
)

// Splunk is the HTTP Event Collector (HEC) of Splunk Enterprise, Splunk Cloud and
// what speaks its protocol, at /services/collector/event. A batch goes out as
// several gzipped requests of concatenated envelopes.
//
// A plain 200 says that the front door has the events; where the token has
// indexer acknowledgement switched on, the answer names an ackId, and the batch
// counts as delivered only when every one has been confirmed at
// /services/collector/ack on the same channel. HEC removes no duplicates:
// searches do, by the indexed field event_id.
func Splunk() Kind {
	k := Kind{
		Name: "splunk_hec", Label: "Splunk",
		Summary: "Sends events to the HTTP Event Collector of Splunk Cloud or Splunk Enterprise.",
		Docs:    "https://help.splunk.com/en/splunk-enterprise/get-started/get-data-in/9.4/get-data-with-http-event-collector",
		Steps: []Step{
			{Text: "In Splunk, open Settings > Indexes and make an index for audit logs, or choose one.", Fills: []string{"index"}},
			{Text: "Open Settings > Data inputs > HTTP Event Collector > Global Settings: All Tokens is Enabled, and Enable SSL is on. Note the port, 8088 unless changed. In Splunk Cloud this is set already."},
			{Text: "Choose New Token and give it this name. Leave the source type on Automatic, and allow it the one index: it can write there and read nothing.", Paste: "stele-audit"},
			{Text: "Switch on Enable indexer acknowledgement if your Splunk has it: then nothing counts as delivered before it is indexed. Splunk Cloud has it for few kinds of tokens."},
			{Text: "Copy the token's value, and the address of the collector: https://http-inputs-STACK.splunkcloud.com:443 in Splunk Cloud, https://HOST:8088 elsewhere.", Fills: []string{"url", "token"}},
		},
		Limits: []string{
			"At most 1 MiB and 1000 events a request, 8 MiB and 5000 events a batch.",
			"Splunk removes no duplicates: search with | dedup event_id.",
			"Without indexer acknowledgement, what waits in Splunk's queues when it crashes is lost there.",
		},
		Settings: withTLS(
			Setting{
				Name: "url", Label: "URL", Place: true, Required: true, Check: checkBaseURL, Example: "https://http-inputs-acme.splunkcloud.com:443",
				Help: "The address of the collector, without /services/…. Splunk Enterprise listens on port 8088.",
			},
			Setting{
				Name: "token", Label: "Token", Required: true, Secret: true, Check: checkWord, Example: "00000000-0000-0000-0000-000000000000",
				Help: "The token's value.",
			},
			Setting{
				Name: "index", Label: "Index", Check: checkWord, Example: "audit",
				Help: "The index to write to. Empty is the token's default. The token must be allowed to write there.",
			},
			Setting{
				Name: "sourcetype", Label: "Source type", Default: "stele:event", Check: checkPrintable,
				Help: "What Splunk parses the events as.",
			},
			Setting{
				Name: "source", Label: "Source", Check: checkPrintable, Example: "stele:acme",
				Help: "Empty is \"stele:\" and the organization's id.",
			},
			Setting{
				Name: "acknowledgement", Label: "Indexer acknowledgement", Default: "auto", Options: []string{"auto", "required", "off"}, Advanced: true,
				Help: "auto: waits for it when the token has it. required: refuses to deliver without it. off: does not wait; the front door's word is enough.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		s := &splunk{client: c, v: v, server: env.Server, poll: splunkPoll{first: 100 * time.Millisecond, most: 5 * time.Second}}
		c.hints = map[int]string{
			http.StatusNotFound: "Check that the URL is that of the HTTP Event Collector, usually port 8088, and not of Splunk's pages.",
			http.StatusSeeOther: "That is Splunk's pages, not the HTTP Event Collector: check the port, usually 8088.",
		}
		c.explain = func(r *reply) *Error { return s.explain(r) }
		s.newChannel()
		return s, nil
	}
	return k
}

type splunk struct {
	*client
	v       Values
	server  string
	channel string
	poll    splunkPoll
}

// splunkPoll is how often acknowledgements are asked for: the first wait, which
// doubles up to the most.
type splunkPoll struct{ first, most time.Duration }

// newChannel starts a channel of its own for this sink: ackIds count from 0 in
// each, and one that lost an ackId is not used again.
func (s *splunk) newChannel() {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s.channel = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Limits: several requests a batch, so that one wait for acknowledgements covers
// them all.
func (s *splunk) Limits() Limits {
	return Limits{MaxEvents: 5000, MaxBytes: 8 << 20, EventOverhead: 320, SendTimeout: 5 * time.Minute}
}

// Test sends the event, and waits for its acknowledgement where there is one.
func (s *splunk) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send delivers the batch and waits for its acknowledgements.
func (s *splunk) Send(ctx context.Context, b *Batch) (Answer, error) {
	var acks []uint64
	var last Answer
	var body []byte
	for first := 0; first < len(b.Events); {
		body = body[:0]
		next := first
		for next < len(b.Events) && next-first < splunkRequestEvents {
			n := len(body)
			body = s.appendEnvelope(body, b, &b.Events[next])
			if len(body) > splunkRequestBytes && next > first {
				body = body[:n]
				break
			}
			next++
		}
		r, fault := s.post(ctx, "/services/collector/event", compress(body), true)
		last = r.answer
		if fault != nil {
			return last, placeRejections(fault, first, next-first)
		}
		id, has := ackID(r.body)
		if !has && s.v["acknowledgement"] == "required" {
			return last, Errorf(Invalid, "ack_missing", "Splunk took the events but does not acknowledge them. "+
				"Switch on indexer acknowledgement for this token in Splunk, or set acknowledgement to auto.")
		}
		if has {
			acks = append(acks, id)
		}
		first = next
	}
	if len(acks) == 0 || s.v["acknowledgement"] == "off" {
		return last, nil
	}
	if e := s.await(ctx, acks); e != nil {
		return last, e
	}
	return last, nil
}

func (s *splunk) post(ctx context.Context, path string, body []byte, gzipped bool) (*reply, *Error) {
	h := http.Header{
		"Authorization":            {"Splunk " + s.v["token"]},
		"X-Splunk-Request-Channel": {s.channel},
		"Content-Type":             {"application/json"},
	}
	if gzipped {
		h.Set("Content-Encoding", "gzip")
	}
	return s.do(ctx, http.MethodPost, s.v.base("url")+path, h, body)
}

// appendEnvelope appends one event in HEC's envelope. time is a plain decimal
// number of seconds: scientific notation is refused.
func (s *splunk) appendEnvelope(dst []byte, b *Batch, ev *Event) []byte {
	dst = append(dst, `{"time":`...)
	dst = strconv.AppendInt(dst, ev.OccurredAt.Unix(), 10)
	micros := ev.OccurredAt.Nanosecond() / 1000
	dst = append(dst, '.')
	for digit := 100000; digit > 0; digit /= 10 {
		dst = append(dst, byte('0'+micros/digit%10))
	}
	source := s.v["source"]
	if source == "" {
		source = "stele:" + b.Organization
	}
	dst = appendMember(dst, "host", s.server)
	dst = appendMember(dst, "source", source)
	dst = appendMember(dst, "sourcetype", s.v["sourcetype"])
	dst = appendMember(dst, "index", s.v["index"])
	dst = appendEvent(appendName(dst, "event"), b, ev)
	dst = append(appendName(dst, "fields"), '{')
	if ev.hasID() {
		dst = appendMember(dst, "event_id", ev.ID[:])
	}
	dst = appendMember(dst, "organization_id", b.Organization)
	return append(dst, "}}\n"...)
}

// ackID reads the number to ask for, of an answer that has one.
func ackID(body []byte) (uint64, bool) {
	var a struct {
		AckID *uint64 `json:"ackId"`
	}
	if !parse(body, &a) || a.AckID == nil {
		return 0, false
	}
	return *a.AckID, true
}

// await asks until all acknowledgements are there or ctx ends. Splunk forgets one
// as soon as it has told it.
func (s *splunk) await(ctx context.Context, acks []uint64) *Error {
	wait := s.poll.first
	for {
		body, err := json.Marshal(map[string][]uint64{"acks": acks})
		if err != nil {
			return AsError(err)
		}
		r, fault := s.post(ctx, "/services/collector/ack?channel="+s.channel, body, false)
		if fault != nil {
			if fault.Class == Malformed || fault.Class == TooLarge || fault.Class == Rejected {
				fault.Class, fault.Rejected = Invalid, nil // it is about the question, not about the events
			}
			return fault
		}
		var told struct {
			Acks map[string]bool `json:"acks"`
		}
		if err := json.Unmarshal(r.body, &told); err != nil {
			return &Error{Class: Retry, Code: "ack_answer", Err: err, Message: s.sentence(r, "That is no list of acknowledgements. It will be sent again.")}
		}
		rest := acks[:0]
		for _, id := range acks {
			if !told.Acks[strconv.FormatUint(id, 10)] {
				rest = append(rest, id)
			}
		}
		if acks = rest; len(acks) == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			s.newChannel()
			return &Error{
				Class: Retry, Code: "ack_timeout", Err: ctx.Err(),
				Message: "Splunk took the events but did not confirm in time that they are indexed. They will be sent again, so some may be there twice. " +
					"If this stays so, look at the indexers' queues, and at the load balancer, which must keep a client at one collector.",
			}
		}
		wait = min(2*wait, s.poll.most)
	}
}

// codeMeaning is what a code of a receiver means: the class, our name for it, and
// what to do.
type codeMeaning struct {
	class Class
	name  string
	todo  string
}

// splunkCodes are those of Splunk's REST API reference, "HTTP Event Collector REST
// API endpoints".
func splunkCodes(code int) (codeMeaning, bool) {
	const token = "Copy the token again from Settings > Data inputs > HTTP Event Collector."
	c, ok := map[int]codeMeaning{
		1:  {Invalid, "token_disabled", "Enable the token, and All Tokens in Global Settings, under Settings > Data inputs > HTTP Event Collector."},
		2:  {Invalid, "token_required", token},
		3:  {Invalid, "invalid_authorization", token},
		4:  {Invalid, "invalid_token", token},
		5:  {Malformed, "no_data", ""},
		6:  {Malformed, "invalid_data_format", ""},
		7:  {Invalid, "incorrect_index", "Allow the token to write to the index of the settings, or empty that setting."},
		8:  {Retry, "internal_error", "It will be sent again."},
		9:  {RateLimited, "server_busy", "It will be sent again, more slowly."},
		10: {Invalid, "channel_missing", "Something between the server and Splunk removes headers: let X-Splunk-Request-Channel through."},
		11: {Invalid, "invalid_channel", "Something between the server and Splunk changes headers: let X-Splunk-Request-Channel through."},
		12: {Malformed, "event_required", ""},
		13: {Malformed, "event_blank", ""},
		14: {Invalid, "ack_disabled", "Set acknowledgement to off, or switch on indexer acknowledgement for the token."},
		15: {Malformed, "indexed_fields", ""},
		16: {Invalid, "query_authorization_disabled", token},
		18: {RateLimited, "queues_full", "It will be sent again, more slowly."},
		19: {RateLimited, "ack_full", "It will be sent again, more slowly."},
		20: {RateLimited, "queues_and_ack_full", "It will be sent again, more slowly."},
		23: {Retry, "shutting_down", "It will be sent again."},
	}[code]
	return c, ok
}

// explain reads HEC's own words.
func (s *splunk) explain(r *reply) *Error {
	var said struct {
		Text   string `json:"text"`
		Code   *int   `json:"code"`
		Number *int   `json:"invalid-event-number"`
	}
	if !parse(r.body, &said) || said.Code == nil || r.status == http.StatusTooManyRequests {
		return nil
	}
	c, ok := splunkCodes(*said.Code)
	if !ok {
		return nil
	}
	text := Excerpt(said.Text, s.secrets...)
	e := Errorf(c.class, c.name, "Splunk answered %s, code %d: %s. %s", statusText(r.status), *said.Code, text, c.todo)
	if c.class == Malformed && said.Number != nil {
		e.Class = Rejected
		e.Rejected = []Rejection{{Index: *said.Number, Code: strconv.Itoa(*said.Code), Text: text}}
	}
	return e
}

// placeRejections turns places in a request into places in the batch. One that
// cannot be right makes the error Malformed: the batch is halved instead.
func placeRejections(e *Error, first, n int) *Error {
	for i := range e.Rejected {
		r := &e.Rejected[i]
		if r.Index < 0 || r.Index >= n {
			e.Class, e.Rejected = Malformed, nil
			return e
		}
		r.Index += first
	}
	return e
}
