package api

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/auth"
	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
)

// streamRoutes are the routes of the streams below a path: those of an
// organization, or of the operator, who follows all of them.
func (a *api) streamRoutes(name, below string) []server.Route {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete

		one = "/{id}"
	)
	admin := auth.Need(auth.RoleAdmin)
	route := func(verb, method, path string, h server.Handler) server.Route {
		return server.Route{Name: name + "." + verb, Method: method, Pattern: below + path, Access: admin, Handler: h}
	}
	return []server.Route{
		route("create", post, "", a.createStream),
		route("list", get, "", a.listStreams),
		route("try", post, "/test", a.tryStream),
		route("get", get, one, a.getStream),
		route("update", patch, one, a.updateStream),
		route("delete", del, one, a.deleteStream),
		route("test", post, one+"/test", a.testStream),
		route("pause", post, one+"/pause", a.pauseStream),
		route("resume", post, one+"/resume", a.resumeStream),
		route("deliveries", get, one+"/deliveries", a.listDeliveries),
		route("reconciliations.create", post, one+"/reconciliations", a.createReconciliation),
		route("reconciliations.list", get, one+"/reconciliations", a.listReconciliations),
		route("reconciliations.get", get, one+"/reconciliations/{reconciliation}", a.getReconciliation),
		route("reconciliations.cancel", del, one+"/reconciliations/{reconciliation}", a.cancelReconciliation),
		route("replays.create", post, one+"/replays", a.createReplay),
		route("replays.list", get, one+"/replays", a.listReplays),
		route("replays.cancel", del, one+"/replays/{replay}", a.cancelReplay),
		route("dead_letters.list", get, one+"/dead-letters", a.listDeadLetters),
		route("dead_letters.retry", post, one+"/dead-letters/retry", a.retryDeadLetters),
		route("dead_letters.discard", post, one+"/dead-letters/discard", a.discardDeadLetters),
	}
}

// streamsPath is where the streams that a request is about are.
func streamsPath(r *server.Request) string {
	if r.Org() == "" {
		return "/v1/streams"
	}
	return "/v1/organizations/" + url.PathEscape(r.Org()) + "/streams"
}

// streamStart is where a stream begins.
type streamStart struct {
	Kind stream.StartKind `json:"kind"`
	Date *time.Time       `json:"date"`
}

// newStream is what is said of a stream that is made or tried.
type newStream struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Format      string            `json:"format"`
	Filter      string            `json:"filter"`
	Start       streamStart       `json:"start"`
	Settings    map[string]string `json:"settings"`
	Checkpoints bool              `json:"checkpoints"`
	Every       int               `json:"checkpoint_every_seconds"`
	LagLimit    int               `json:"lag_limit_seconds"`
}

func (n *newStream) spec() stream.Spec {
	spec := stream.Spec{
		Name: n.Name, Kind: n.Kind, Format: n.Format, Filter: n.Filter, Settings: n.Settings,
		Start: stream.Start{Kind: n.Start.Kind}, Checkpoints: n.Checkpoints, CheckpointEvery: n.Every, LagLimit: n.LagLimit,
	}
	if n.Start.Date != nil {
		spec.Start.Date = *n.Start.Date
	}
	return spec
}

// aboutFilter names the field of errors about a filter.
func aboutFilter(err error) error {
	if errors.Is(err, &audit.Error{Code: audit.CodeInvalidQuery}) {
		return named("/filter", err)
	}
	return err
}

func (a *api) createStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body newStream
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	st, err := a.Streams.Create(r.Context(), r.Org(), body.spec(), stream.Key(r.Identity.KeyID))
	if err != nil {
		return aboutFilter(err)
	}
	out, err := a.streamOf(r, st)
	if err != nil {
		return err
	}
	return created(w, streamsPath(r)+"/"+st.ID, out)
}

// streamList is all streams of an organization, or the operator's.
type streamList struct {
	Streams []streamAnswer `json:"streams"`
}

func (a *api) listStreams(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	all, err := a.Streams.List(r.Context(), r.Org())
	if err != nil {
		return err
	}
	out := streamList{Streams: []streamAnswer{}}
	for _, st := range all {
		one, err := a.streamOf(r, st)
		if isNotFound(err) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		out.Streams = append(out.Streams, one)
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	st, err := a.Streams.Get(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return a.writeStream(w, r, st)
}

func (a *api) writeStream(w http.ResponseWriter, r *server.Request, st *stream.Stream) error {
	out, err := a.streamOf(r, st)
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, out)
}

// streamChange is what may be said of a stream; nil is nothing said. Of the
// settings, those that are named change; null and "" remove one.
type streamChange struct {
	Name        *string             `json:"name"`
	Format      *string             `json:"format"`
	Filter      *string             `json:"filter"`
	Settings    *map[string]*string `json:"settings"`
	Checkpoints *bool               `json:"checkpoints"`
	Every       *int                `json:"checkpoint_every_seconds"`
	LagLimit    *int                `json:"lag_limit_seconds"`
}

func (c *streamChange) apply(s *stream.Spec) error {
	set(&s.Name, c.Name)
	set(&s.Format, c.Format)
	set(&s.Filter, c.Filter)
	set(&s.Checkpoints, c.Checkpoints)
	set(&s.CheckpointEvery, c.Every)
	set(&s.LagLimit, c.LagLimit)
	if c.Settings == nil {
		return nil
	}
	if s.Settings == nil {
		s.Settings = map[string]string{}
	}
	for name, value := range *c.Settings {
		if s.Settings[name] = ""; value != nil {
			s.Settings[name] = *value
		}
	}
	return nil
}

func (a *api) updateStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var change streamChange
	if err := server.DecodeJSON(r, &change); err != nil {
		return err
	}
	st, err := a.Streams.Update(r.Context(), r.Org(), r.PathValue("id"), stream.Key(r.Identity.KeyID), change.apply)
	if err != nil {
		return aboutFilter(err)
	}
	return a.writeStream(w, r, st)
}

func (a *api) deleteStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	if err := a.Streams.Delete(r.Context(), r.Org(), r.PathValue("id"), stream.Key(r.Identity.KeyID)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) pauseStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	st, err := a.Streams.Pause(r.Context(), r.Org(), r.PathValue("id"), stream.Key(r.Identity.KeyID))
	if err != nil {
		return err
	}
	return a.writeStream(w, r, st)
}

func (a *api) resumeStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	st, err := a.Streams.Resume(r.Context(), r.Org(), r.PathValue("id"), stream.Key(r.Identity.KeyID))
	if err != nil {
		return err
	}
	return a.writeStream(w, r, st)
}

// tryStream tests what is not saved.
func (a *api) tryStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	var body struct {
		newStream
		StreamID string `json:"stream_id"`
	}
	if err := server.DecodeJSON(r, &body); err != nil {
		return err
	}
	result, err := a.Streams.Test(r.Context(), r.Org(), body.StreamID, body.spec())
	if err != nil {
		return aboutFilter(err)
	}
	return server.WriteJSON(w, http.StatusOK, testAnswer(result))
}

// testStream tests a stream as it is saved.
func (a *api) testStream(w http.ResponseWriter, r *server.Request) error {
	if _, err := parseParams(r); err != nil {
		return err
	}
	st, err := a.Streams.Get(r.Context(), r.Org(), r.PathValue("id"))
	if err != nil {
		return err
	}
	result, err := a.Streams.Test(r.Context(), r.Org(), st.ID, st.Spec)
	if err != nil {
		return err
	}
	return server.WriteJSON(w, http.StatusOK, testAnswer(result))
}
