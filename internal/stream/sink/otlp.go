package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/stream/format"
)

// OTLP is the OpenTelemetry protocol over HTTP (opentelemetry.io, "OTLP
// Specification 1.x"): ExportLogsServiceRequest in binary protocol buffers,
// gzipped, to /v1/logs. A batch goes out as several requests.
//
// Any 2xx without a partial success acknowledges. Of failures, 429, 502, 503 and
// 504 pass and are sent again; the protocol forbids that for all others, so those
// that say nothing of the events stop the stream as wrong settings do: it asks
// again slowly, and nothing is dropped. A partial success says how many records
// were refused for good and not which, and may not be sent again: all of that
// request become dead letters. Sent again from there, each has a request of its
// own, so that the next answer tells them apart.
func OTLP() Kind {
	k := Kind{
		Name: "otlp", Label: "OpenTelemetry", Entries: true,
		Summary: "Sends events as log records to an OpenTelemetry Collector, or to whatever else takes OTLP over HTTP.",
		Docs:    "https://opentelemetry.io/docs/specs/otlp/",
		Steps:   otlpSteps(),
		Limits: []string{
			"At most 200 records a request, 1000 events and 2 MiB a batch.",
			"Protocol buffers over HTTP with gzip; gRPC and JSON are not offered.",
			"Receivers remove no duplicates: records have the attribute event.id.",
			"When a receiver refuses some records of a request, it does not say which: all of them become dead letters. Retry them to learn which were refused.",
		},
		Settings: withTLS(
			Setting{
				Name: "url", Label: "URL", Place: true, Required: true, Check: checkBaseURL, Example: "https://collector.example.com:4318",
				Help: "The address that takes OTLP over HTTP, with or without /v1/logs. The usual port is 4318.",
			},
			Setting{
				Name: "headers", Label: "Headers", Secret: true, Multiline: true, Check: checkHeaders, Example: "Authorization: Bearer 0123456789abcdef",
				Help: "Headers to send with every request, such as credentials or a tenant, one on each line as Name: value.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		s := &otlp{client: c, url: v.base("url"), server: env.Server, header: http.Header{}, alone: map[event.ID]bool{}}
		if !strings.HasSuffix(s.url, "/v1/logs") {
			s.url += "/v1/logs"
		}
		for name, value := range headerLines(v["headers"]) {
			s.header.Set(name, value)
			c.secrets = append(c.secrets, secretWords(value)...)
		}
		const access = "Check the headers in the settings."
		c.hints = map[int]string{
			http.StatusUnauthorized: access, http.StatusForbidden: access,
			http.StatusNotFound: "Check the URL: its path is followed by /v1/logs.",
		}
		c.explain = s.explain
		return s, nil
	}
	return k
}

func otlpSteps() []Step {
	return []Step{
		{
			Text: "Let the receiver take OTLP over HTTP with TLS and a token. For an OpenTelemetry Collector (with the bearer token extension):",
			Paste: `extensions:
  bearertokenauth: {token: "${env:STELE_TOKEN}"}
receivers:
  otlp/stele:
    protocols:
      http:
        endpoint: 0.0.0.0:4318
        tls: {cert_file: /etc/otelcol/cert.pem, key_file: /etc/otelcol/key.pem}
        auth: {authenticator: bearertokenauth}
service:
  extensions: [bearertokenauth]
  pipelines:
    logs/stele: {receivers: [otlp/stele], exporters: [YOUR-EXPORTER]}`,
			Fills: []string{"url"},
		},
		{Text: "Give the receiver's token here as a header. A hosted receiver tells you which headers it wants.", Paste: "Authorization: Bearer TOKEN", Fills: []string{"headers"}},
		{Text: "In the collector, let exporters of that pipeline have a sending queue on disk (file_storage): it answers before they have delivered."},
	}
}

// otlpRequest is how many records a request has: how many may become dead letters
// for one that is refused.
const otlpRequest = 200

// otlpAlone bounds how many records are remembered for a request of their own.
const otlpAlone = 10_000

type otlp struct {
	*client
	url, server string
	header      http.Header
	// alone are the events of which it is not known whether they were refused.
	alone map[event.ID]bool
}

// Limits: see [OTLP].
func (s *otlp) Limits() Limits {
	return Limits{MaxEvents: 1000, MaxBytes: 2 << 20, EventOverhead: 700, SendTimeout: sendTimeout}
}

// Test sends the event.
func (s *otlp) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send posts the batch.
func (s *otlp) Send(ctx context.Context, b *Batch) (Answer, error) {
	var last Answer
	var rejected []Rejection
	var words string
	for first := 0; first < len(b.Events); {
		next := first + 1
		for !s.alone[b.Events[first].ID] && next < len(b.Events) && next-first < otlpRequest && !s.alone[b.Events[next].ID] {
			next++
		}
		r, e := s.post(ctx, b, first, next)
		last = r.answer
		if e != nil {
			return last, e // what was refused before it is asked again too: it is not known here that it was
		}
		if n, text := otlpPartial(r); n > 0 {
			words = Excerpt(text, s.secrets...)
			rejected = append(rejected, s.refused(b, first, next, n, words)...)
		} else {
			delete(s.alone, b.Events[first].ID) // it was taken
		}
		first = next
	}
	if len(rejected) == 0 {
		return last, nil
	}
	return last, &Error{
		Class: Rejected, Code: "partial_success", Rejected: rejected, RestTaken: true,
		Message: "OpenTelemetry refused some log records for good: " + strings.TrimRight(words, ". ") +
			". It does not say which of a request, so all of it are dead letters. Retry them to learn which were refused.",
	}
}

func (s *otlp) post(ctx context.Context, b *Batch, first, next int) (*reply, *Error) {
	records := make([][]byte, 0, next-first)
	for i := first; i < next; i++ {
		records = append(records, s.record(b, &b.Events[i]))
	}
	h := s.header.Clone()
	h.Set("Content-Type", "application/x-protobuf")
	h.Set("Content-Encoding", "gzip")
	return s.do(ctx, http.MethodPost, s.url, h, compress(format.AppendLogsRequest(nil, b.Organization, "", records)))
}

// record is an event as a LogRecord.
func (s *otlp) record(b *Batch, ev *Event) []byte {
	dst := make([]byte, 0, len(ev.Encoded)+700)
	if ev.Entry == nil {
		return format.AppendLogRecordCheckpoint(dst, &format.Checkpoint{
			Organization: b.Organization, OrganizationName: b.OrganizationName, Size: ev.Seq + 1, Note: b.Checkpoint, ReceivedAt: ev.ReceivedAt,
		}, ev.Encoded)
	}
	return format.AppendLogRecord(dst, &format.Input{
		Entry: ev.Entry, Organization: b.Organization, OrganizationName: b.OrganizationName, Server: s.server, Replay: b.Replay != "",
	}, ev.Encoded)
}

// refused makes rejections of the records of a request of which n were refused.
func (s *otlp) refused(b *Batch, first, next int, n uint64, words string) []Rejection {
	text, total := words, uint64(next-first) //nolint:gosec // next > first
	if n < total {
		text = fmt.Sprintf("%d of %d records of a request were refused, this one perhaps not: %s", n, total, words)
	}
	list := make([]Rejection, 0, next-first)
	for i := first; i < next; i++ {
		if id := b.Events[i].ID; n < total && len(s.alone) < otlpAlone {
			s.alone[id] = true
		} else {
			delete(s.alone, id)
		}
		list = append(list, Rejection{Index: i, Code: "partial_success", Text: Excerpt(text)})
	}
	return list
}

// explain gives failures the class that the protocol has for them, and reads
// google.rpc.Status, which their bodies are.
func (s *otlp) explain(r *reply) *Error {
	if isProtobuf(r) {
		var text string
		if eachField(r.body, func(field int, _ uint64, v []byte) {
			if field == 2 {
				text = string(v)
			}
		}) {
			r.answer.Text = Excerpt(text, s.secrets...)
		}
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil
	}
	class, _ := classOf(r.status)
	if class != Retry {
		return nil
	}
	return Errorf(Invalid, "http_"+strconv.Itoa(r.status), "%s", s.sentence(r, "The protocol does not allow to send again after this, so something is wrong there: "+
		"look into the receiver's own log. Nothing is dropped; it will be asked again from time to time."))
}

// otlpPartial is how many records an answer says were refused, and its words.
func otlpPartial(r *reply) (rejected uint64, words string) {
	if isProtobuf(r) || !strings.Contains(r.header.Get("Content-Type"), "json") {
		sound := eachField(r.body, func(field int, _ uint64, v []byte) {
			if field != 1 {
				return
			}
			eachField(v, func(field int, n uint64, v []byte) {
				switch field {
				case 1:
					rejected = n
				case 2:
					words = string(v)
				}
			})
		})
		if !sound || rejected > 1<<62 { // an int64: more is negative
			return 0, ""
		}
		return rejected, words
	}
	var said struct {
		Partial struct {
			Rejected any    `json:"rejectedLogRecords"` // int64 is a string in protobuf's JSON, and a number in some
			Message  string `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if !parse(r.body, &said) {
		return 0, ""
	}
	n, err := strconv.ParseUint(fmt.Sprint(said.Partial.Rejected), 10, 62)
	if err != nil {
		return 0, ""
	}
	return n, said.Partial.Message
}

func isProtobuf(r *reply) bool {
	return strings.HasPrefix(r.header.Get("Content-Type"), "application/x-protobuf")
}

// eachField calls yield for each field of a message in protocol buffers: with n
// for a number, with v for what has a length. It reports whether the message is
// sound.
func eachField(b []byte, yield func(field int, n uint64, v []byte)) bool {
	for len(b) > 0 {
		tag, size := binary.Uvarint(b)
		if size <= 0 || tag>>3 == 0 || tag > 1<<32 {
			return false
		}
		b = b[size:]
		var n uint64
		var v []byte
		switch tag & 7 {
		case 0:
			if n, size = binary.Uvarint(b); size <= 0 {
				return false
			}
			b = b[size:]
		case 1, 5:
			if size = map[uint64]int{1: 8, 5: 4}[tag&7]; len(b) < size {
				return false
			}
			b = b[size:]
			continue
		case 2:
			length, size := binary.Uvarint(b)
			if size <= 0 || length > uint64(len(b)-size) { //nolint:gosec // size is at most len(b)
				return false
			}
			v, b = b[size:size+int(length)], b[size+int(length):] //nolint:gosec // not above len(b)
		default:
			return false
		}
		yield(int(tag>>3), n, v)
	}
	return true
}

// headerLines are the names and values of a text of "Name: value" lines.
func headerLines(text string) map[string]string {
	lines := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			lines[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return lines
}

func checkHeaders(value string) error {
	for line := range strings.Lines(value) {
		name, text, _ := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "":
		case name == "" || strings.TrimSpace(text) == "":
			return errors.New("must be lines of the form Name: value")
		default:
			if err := checkHeaderName(strings.TrimSpace(name)); err != nil {
				return fmt.Errorf("has a wrong name of a header, which %w", err)
			}
			if err := checkPrintable(strings.TrimSpace(text)); err != nil {
				return fmt.Errorf("has a wrong value, which %w", err)
			}
		}
	}
	return nil
}
