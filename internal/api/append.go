package api

import (
	"bytes"
	"errors"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

// maxFaults is how many faults the error of a batch lists: enough to see a
// pattern, and no 10,000 times the same.
const maxFaults = 100

// ingest is what recording one request needs, kept for the next: nothing is
// allocated for an event. It has one user at a time.
type ingest struct {
	decoder *event.Decoder
	event   event.Event
	batch   *ledger.Batch
	single  bool  // the body is one object: faults have no line
	lines   []int // of the events in the batch
	faults  []*audit.Error
	answer  []byte
}

func newIngest() *ingest {
	return &ingest{decoder: event.NewDecoder(), batch: ledger.NewBatch("")}
}

// reset makes the ingest ready for a request.
func (in *ingest) reset(org string) {
	in.decoder.Reset()
	in.batch.Reset(org)
	in.single = false
	in.lines = in.lines[:0]
	in.faults = in.faults[:0]
}

func (a *api) appendEvents(w http.ResponseWriter, r *server.Request) error {
	p, err := parseParams(r, "partial")
	if err != nil {
		return err
	}
	partial, err := p.flag("partial")
	if err != nil {
		return err
	}
	ndjson, err := isNDJSON(r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	body, err := server.ReadBody(r, audit.MaxBatchBytes)
	if err != nil {
		return err
	}
	in, _ := a.ingests.Get().(*ingest)
	defer a.ingests.Put(in) // a batch whose Append was given up is no longer of the log's
	in.reset(r.Org())
	in.batch.Partial = partial
	if in.batch.RequestKey, err = idempotencyKey(r.Header); err != nil {
		return err
	}
	if err := in.decode(a.Schemas, body, ndjson); err != nil {
		return err
	}
	result, err := a.Ledger.Append(r.Context(), in.batch)
	if err != nil {
		return in.placed(err)
	}
	if partial {
		in.takeRefusals(result.Receipts)
		if len(in.faults) > 0 && !anyRecorded(result.Receipts) {
			return in.fault()
		}
	}
	in.write(result, partial)
	return writeBytes(w, http.StatusCreated, jsonType, in.answer)
}

// isNDJSON reads the Content-Type: true for one event a line, false for JSON.
func isNDJSON(contentType string) (bool, error) {
	switch contentType { // as most clients write it
	case "", "application/json":
		return false, nil
	}
	media, attrs, err := mime.ParseMediaType(contentType)
	if charset := attrs["charset"]; err == nil && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		switch media {
		case "application/json":
			return false, nil
		case "application/x-ndjson", "application/ndjson", "application/jsonl":
			return true, nil
		}
	}
	return false, audit.FieldErrorf(audit.CodeUnsupportedMedia, "Content-Type",
		"must be application/json (one event or an array) or application/x-ndjson (one event a line), in UTF-8")
}

func idempotencyKey(h http.Header) (string, error) {
	const name = "Idempotency-Key" // canonical
	keys := h[name]
	if len(keys) == 0 {
		return "", nil
	}
	key := keys[0]
	switch {
	case len(keys) > 1:
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, name, "is given more than once")
	case len(key) > audit.MaxIdempotencyKeyBytes:
		return "", audit.FieldErrorf(audit.CodeInvalidRequest, name, "must have at most %d bytes", audit.MaxIdempotencyKeyBytes)
	}
	return key, nil
}

// decode puts the valid events of a body into the batch. A fault is an error,
// unless the batch is a partial one.
func (in *ingest) decode(schemas *schema.Registry, body []byte, ndjson bool) error {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return errNoEvent()
	case !ndjson && trimmed[0] != '[':
		return in.decodeSingle(schemas, body)
	}
	n := 0
	for item, err := range items(body, ndjson) {
		if err != nil {
			return err // where the elements begin and end is not known
		}
		if n++; n > audit.MaxBatchEvents {
			return audit.Errorf(audit.CodeTooLarge, "a request may have %d events: send more in several", audit.MaxBatchEvents)
		}
		if err := in.add(schemas, item); err != nil {
			fault, ok := errors.AsType[*audit.Error](err)
			if !ok {
				return err
			}
			in.refuse(fault, item.Line)
			if !in.batch.Partial && len(in.faults) == maxFaults {
				break
			}
		}
	}
	switch {
	case n == 0:
		return errNoEvent()
	case len(in.faults) > 0 && !in.batch.Partial:
		return in.fault()
	}
	return nil
}

func errNoEvent() error {
	return audit.Errorf(audit.CodeInvalidRequest, "there is no event in the body")
}

// decodeSingle is decode for a body that is one event.
func (in *ingest) decodeSingle(schemas *schema.Registry, body []byte) error {
	in.single = true
	err := in.add(schemas, event.Item{Data: body})
	if err == nil {
		return nil
	}
	fault, ok := errors.AsType[*audit.Error](err)
	if !ok {
		return err
	}
	in.refuse(fault, 0)
	if !in.batch.Partial {
		return in.fault()
	}
	return nil
}

// items yields the events of a body that may have several, as text.
func items(body []byte, ndjson bool) iter.Seq2[event.Item, error] {
	if ndjson {
		return event.SplitNDJSON(body)
	}
	return event.SplitArray(body)
}

// add reads one event, checks it and puts it into the batch, which copies it.
func (in *ingest) add(schemas *schema.Registry, item event.Item) error {
	if err := in.decoder.Decode(item.Data, &in.event); err != nil {
		return err
	}
	if err := schemas.Check(&in.event); err != nil {
		return err
	}
	if err := in.batch.Add(&in.event); err != nil {
		return err
	}
	in.lines = append(in.lines, item.Line)
	return nil
}

func (in *ingest) refuse(fault *audit.Error, line int) {
	placed := *fault
	if !in.single {
		placed.Line = line
	}
	in.faults = append(in.faults, &placed)
}

// takeRefusals adds the events that the log refused to the faults.
func (in *ingest) takeRefusals(receipts []ledger.Outcome) {
	for i := range receipts {
		if err := receipts[i].Err; err != nil {
			in.refuse(err, in.lines[i])
		}
	}
	slices.SortStableFunc(in.faults, func(a, b *audit.Error) int { return a.Line - b.Line })
}

func anyRecorded(receipts []ledger.Outcome) bool {
	return slices.ContainsFunc(receipts, func(o ledger.Outcome) bool { return o.Err == nil })
}

// fault is the error for all faults: the first, with the others in it. A partial
// request gets every one of them, as it does when something was recorded.
func (in *ingest) fault() error {
	err := *in.faults[0]
	faults := in.faults
	if !in.batch.Partial {
		faults = faults[:min(len(faults), maxFaults)]
	}
	if len(faults) > 1 {
		err.Errors = slices.Clone(faults)
	}
	return &err
}

// placed gives an error of the log about one event of the batch the line that
// the event came from.
func (in *ingest) placed(err error) error {
	fault, ok := errors.AsType[*audit.Error](err)
	if !ok || fault.Line < 1 || fault.Line > len(in.lines) {
		return err
	}
	at := *fault
	if at.Line = in.lines[fault.Line-1]; in.single {
		at.Line = 0
	}
	return &at
}

// write makes the answer.
func (in *ingest) write(result ledger.Result, partial bool) {
	b := append(in.answer[:0], `{"entries":[`...)
	separate := false
	for i := range result.Receipts {
		o := &result.Receipts[i]
		if o.Err != nil {
			continue
		}
		if separate {
			b = append(b, ',')
		}
		separate = true
		b = appendReceipt(b, o)
		if partial && !in.single {
			b = append(b, `,"line":`...)
			b = strconv.AppendInt(b, int64(in.lines[i]), 10)
		}
		b = append(b, '}')
	}
	b = append(b, ']')
	if len(in.faults) > 0 {
		b = append(b, `,"errors":`...)
		b = appendFaults(b, in.faults)
	}
	b = append(b, `,"complete_through":`...)
	b = appendPosition(b, &result.Through)
	in.answer = append(b, '}')
}

// appendReceipt appends a receipt without its closing brace.
func appendReceipt(b []byte, o *ledger.Outcome) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, o.ID[:]...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, o.Seq, 10)
	b = append(b, `,"received_at":"`...)
	b = event.AppendMillis(b, o.ReceivedAt)
	b = append(b, '"')
	if o.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return b
}

func appendFaults(b []byte, faults []*audit.Error) []byte {
	text, err := json.Marshal(faults)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(b, text...)
}
