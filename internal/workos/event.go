package workos

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/schema"
	"github.com/stelehq/stele/internal/server"
)

// maxEventBody bounds the body of a create-event request: an event and as much
// again for escapes and white space.
const maxEventBody = 2 * audit.MaxEventBytes

// intake is what recording one event needs, kept for the next. It has one user
// at a time.
type intake struct {
	decoder *event.Decoder
	event   event.Event
	batch   *ledger.Batch
}

func newIntake() *intake {
	return &intake{decoder: event.NewDecoder(), batch: ledger.NewBatch("")}
}

// recorded is the whole answer to an event.
type recorded struct {
	Success bool `json:"success"`
}

func (w *dropIn) createEvent(rw http.ResponseWriter, r *server.Request) error {
	body, err := server.ReadBody(r, maxEventBody)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return err
	}
	s, err := parseSubmission(body)
	if err != nil {
		return err
	}
	org, err := allow(r, s.organization)
	if err != nil {
		return err
	}
	if err := w.configured(s); err != nil {
		return err
	}
	in, _ := w.intakes.Get().(*intake)
	defer w.intakes.Put(in)
	if err := w.record(r, in, org, s, key); err != nil {
		return err
	}
	return answer(rw, http.StatusCreated, recorded{Success: true})
}

// allow checks that the caller may use the route for the organization of the
// body.
func allow(r *server.Request, id string) (*catalog.Organization, error) {
	org, err := r.AllowOrg(id)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return nil, notFound("Organization not found: '%s'.", short(id))
	}
	return org, err
}

// idempotencyKey is the key that the SDK made or was given; without one, the
// event is recorded however often it is sent.
func idempotencyKey(h http.Header) (string, error) {
	const name = "Idempotency-Key"
	if len(h.Values(name)) > 1 {
		return "", refuse(http.StatusBadRequest, audit.CodeInvalidRequest, "The Idempotency-Key header is given more than once.")
	}
	key := h.Get(name)
	if len(key) > audit.MaxIdempotencyKeyBytes {
		return "", refuse(http.StatusBadRequest, audit.CodeInvalidRequest,
			"The Idempotency-Key header has %d bytes; it may have %d.", len(key), audit.MaxIdempotencyKeyBytes)
	}
	return key, nil
}

// configured checks what comes before the event's own content: that there is a
// schema for it, as WorkOS demands unless this server is open to any event, and
// that it is within WorkOS's limits.
func (w *dropIn) configured(s *submission) error {
	known := s.version >= 1 && s.version <= schema.MaxVersion
	if known && w.Schemas.Mode() != schema.ModeOpen {
		known = w.Schemas.Registered([]byte(s.action), int(s.version))
	}
	if !known {
		return unconfigured(s.action, strconv.FormatInt(s.version, 10))
	}
	if len(s.violations) > 0 {
		return violated(s.violations)
	}
	return nil
}

// record decodes the event, checks it against its schema and appends it to the
// log: durable when the error is nil.
func (w *dropIn) record(r *server.Request, in *intake, org *catalog.Organization, s *submission, key string) error {
	if err := in.decoder.Decode(s.event, &in.event); err != nil {
		return unrecordable(err)
	}
	if violations, _ := w.Schemas.CheckDetailed(&in.event); len(violations) > 0 {
		return violated(violations)
	}
	in.event.Unregistered = false // known, or the server does not care
	in.event.IdempotencyKey = []byte(key)
	in.batch.Reset(org.ID)
	if err := in.batch.Add(&in.event); err != nil {
		return unrecordable(err)
	}
	_, err := w.Ledger.Append(r.Context(), in.batch)
	if errors.Is(err, &audit.Error{Code: audit.CodeIdempotencyConflict}) {
		return refuse(http.StatusBadRequest, audit.CodeIdempotencyConflict, "Another idempotency key (%s) with different request "+
			"parameters was found. Please use a different idempotency key.", short(key))
	}
	return err
}

// unrecordable is the answer to an event that the log cannot take: a number that
// JSON does not keep, a time beyond 2261, a text that is too long. Size as a
// whole has its own status.
func unrecordable(err error) error {
	fieldErr, ok := errors.AsType[*audit.Error](err)
	if !ok || fieldErr.Field == "" {
		return err
	}
	return invalid(fault{Code: faultValue, Field: dotted("event", fieldErr.Field), Message: fieldErr.Message})
}
