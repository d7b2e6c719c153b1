package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/server"
)

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// stamp is a time in an answer: UTC with three digits of fraction.
type stamp time.Time

// IsZero makes omitzero work.
func (s stamp) IsZero() bool { return time.Time(s).IsZero() }

// MarshalText writes the time.
func (s stamp) MarshalText() ([]byte, error) {
	return time.Time(s).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00"), nil
}

// position is an audit.Position in an answer.
type position struct {
	Seq        uint64 `json:"seq"`
	ReceivedAt stamp  `json:"received_at"`
}

func positionOf(p *audit.Position) *position {
	if p == nil {
		return nil
	}
	return &position{Seq: p.Seq, ReceivedAt: stamp(p.ReceivedAt)}
}

// appendPosition appends the JSON of a position, null when it is nil.
func appendPosition(dst []byte, p *audit.Position) []byte {
	if p == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, p.Seq, 10)
	dst = append(dst, `,"received_at":"`...)
	dst = event.AppendMillis(dst, p.ReceivedAt.UnixMilli())
	return append(dst, `"}`...)
}

// appendText appends a JSON string.
func appendText(dst []byte, text string) []byte {
	dst, err := jsontext.AppendQuote(dst, text)
	if err != nil {
		panic(err) // not UTF-8: nothing that Stele has recorded
	}
	return dst
}

// next is the cursor of the next page of a list: null when this is the last.
func next(more bool, cursor func() string) *string {
	if !more {
		return nil
	}
	text := cursor()
	return &text
}

// writeBytes answers 200, or another status, with a body that is ready.
func writeBytes(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	values := []string{contentType, strconv.Itoa(len(body))}
	h["Content-Type"], h["Content-Length"] = values[:1:1], values[1:]
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// created answers 201 with the path of what was made.
func created(w http.ResponseWriter, path string, v any) error {
	w.Header().Set("Location", path)
	return server.WriteJSON(w, http.StatusCreated, v)
}

// containsFold reports whether text contains part, ignoring case.
func containsFold(text, part string) bool {
	return strings.Contains(strings.ToLower(text), strings.ToLower(part))
}
