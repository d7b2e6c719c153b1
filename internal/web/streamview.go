package web

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/server"
	"github.com/stelehq/stele/internal/stream"
	"github.com/stelehq/stele/internal/stream/sink"
	"github.com/stelehq/stele/internal/web/words"
)

// streamCard is how one stream is doing, in words.
type streamCard struct {
	ID, Path, Name, Kind string
	Paused               bool
	State                stateView
	Lag                  string
	Behind               bool
	Held                 bool
	Chart                rateChart
	Error                *failureView // nil while all is well
	Expiring             *expiryView  // nil unless it is near
	Status               stream.Status
}

// stateView is a state with its sign and what it means.
type stateView struct {
	Name, Text, Tone, Icon, Means string
}

func stateViewOf(s stream.State) stateView {
	switch s {
	case stream.StateDegraded:
		return stateView{"degraded", "Degraded", "warn", "alert", "The last attempt failed for a reason that will pass. It is tried again by itself, and nothing is lost."}
	case stream.StateError:
		return stateView{"error", "Error", "danger", "x-circle", "It has been failing for 15 minutes or more. It is tried again by itself, and nothing is lost."}
	case stream.StateInvalid:
		return stateView{"invalid", "Invalid", "danger", "ban", "The destination refuses the credentials or settings: somebody must change them. Nothing is lost meanwhile."}
	case stream.StatePaused:
		return stateView{"paused", "Paused", "", "pause", "Nothing is sent and nothing is lost. It goes on where it stopped, however long after."}
	}
	return stateView{"active", "Active", "ok", "check", "Events are delivered as they are recorded."}
}

// failureView is why an attempt failed, and what to do.
type failureView struct {
	Words, Message string
	Answer         answerView
}

// answerView is what a receiver said, where the message does not repeat it.
type answerView struct {
	Status int
	Text   string
}

func answerOf(message string, status int, text string) answerView {
	if text != "" && strings.Contains(message, text) {
		return answerView{}
	}
	return answerView{Status: status, Text: text}
}

// streamCard reads how a stream is doing.
func (p *pages) streamCard(r *server.Request, st *stream.Stream) (streamCard, error) {
	status, err := p.Streams.Status(r.Context(), st.Organization, st.ID)
	if err != nil {
		return streamCard{}, err
	}
	return p.cardOf(r, st, &status), nil
}

func (p *pages) cardOf(r *server.Request, st *stream.Stream, status *stream.Status) streamCard {
	kind := p.kindOf(st.Kind)
	card := streamCard{
		ID: st.ID, Path: streamPath(st), Name: st.Name, Kind: kind.Label, Paused: st.Paused, Held: status.Held,
		State: stateViewOf(status.State), Lag: lagWords(status), Behind: status.LagEvents > 0,
		Chart: rateChartOf(status.Rate), Status: *status, Expiring: p.expiryOf(r, st, kind, status.Expires),
	}
	// An error that is over is history.
	if status.LastError != nil && status.Failures > 0 {
		e := status.LastError
		card.Error = &failureView{Words: classWords(e.Class), Message: e.Message, Answer: answerOf(e.Message, e.Status, e.Text)}
	}
	return card
}

// expiryNear is how long before a credential expires the pages say so.
const expiryNear = 30 * 24 * time.Hour

// expiryView is a credential that expires soon, or has.
type expiryView struct {
	Label string // of the setting, inside a sentence
	Path  string // of the stream
	At    string // with its zone
	Over  bool
}

func (p *pages) expiryOf(r *server.Request, st *stream.Stream, kind *sink.Kind, c *stream.Credential) *expiryView {
	now := p.Now()
	if c == nil || c.ExpiresAt.Sub(now) > expiryNear {
		return nil
	}
	label := c.Setting
	if s, ok := kind.Setting(c.Setting); ok {
		label = s.Label
	}
	return &expiryView{Label: insideSentence(label), Path: streamPath(st), At: absolute(p.zone(r), c.ExpiresAt), Over: !now.Before(c.ExpiresAt)}
}

// kindOf is the kind of a destination. One that this build does not have shows
// its name.
func (p *pages) kindOf(name string) *sink.Kind {
	kinds := p.Streams.Kinds()
	for i := range kinds {
		if kinds[i].Name == name {
			return &kinds[i]
		}
	}
	return &sink.Kind{Name: name, Label: name}
}

// lagWords says how far a stream is behind.
func lagWords(s *stream.Status) string {
	if s.LagEvents == 0 {
		return "Up to date"
	}
	return count(s.LagEvents, "event") + " behind, oldest " + words.Span(time.Duration(s.LagSeconds*float64(time.Second))) + " ago"
}

// count is a number with what it counts.
func count[T int | uint64](n T, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return thousands(n) + " " + what + "s"
}

// classWords says what kind of failure it was.
func classWords(class string) string {
	switch class {
	case sink.Retry.String():
		return "Not reachable, or not ready"
	case sink.RateLimited.String():
		return "Asks for fewer requests"
	case sink.TooLarge.String():
		return "Too large for the destination"
	case sink.Malformed.String(), sink.Rejected.String():
		return "Refused for what is in it"
	case sink.Invalid.String():
		return "Credentials or settings are refused"
	case sink.Permanent.String():
		return "The destination wants no more"
	}
	return "Failed"
}

// The size of the picture of a rate.
const (
	rateHeight = 28
	rateStep   = 4
)

// rateChart is the picture of the events delivered in each minute of an hour.
type rateChart struct {
	Width, Height int
	Bars          []rateBar
	Text          string
}

type rateBar struct{ X, Y, Height int }

func rateChartOf(rate []int) rateChart {
	c := rateChart{Width: len(rate)*rateStep - 1, Height: rateHeight}
	most, total := 0, 0
	for _, n := range rate {
		most, total = max(most, n), total+n
	}
	for i, n := range rate {
		height := 1
		if n > 0 {
			// By the root, so that a quiet minute is seen beside a busy one.
			height = max(3, int(math.Round(math.Sqrt(float64(n)/float64(most))*rateHeight)))
		}
		c.Bars = append(c.Bars, rateBar{X: i * rateStep, Y: rateHeight - height, Height: height})
	}
	c.Text = "No event in the last hour"
	if total > 0 {
		c.Text = fmt.Sprintf("%s in the last hour, at most %s a minute", count(total, "event"), thousands(most))
	}
	return c
}

// testView is what a destination said to a test.
type testView struct {
	stream.TestResult
	Words  string
	Answer answerView
}

func testViewOf(r *stream.TestResult) *testView {
	return &testView{TestResult: *r, Words: classWords(r.Class), Answer: answerOf(r.Message, r.Status, r.Text)}
}

// deliveryRow is a batch that has left a stream.
type deliveryRow struct {
	stream.Delivery
	Range, Took string
	State       stateView
	Size        string
}

func deliveryRowOf(d *stream.Delivery) deliveryRow {
	row := deliveryRow{Delivery: *d, Range: seqRange(d.First, d.Last), Size: byteWords(int64(d.Bytes))}
	row.Took = spanMillis(d.Latency)
	switch d.Outcome {
	case stream.OutcomeDelivered:
		row.State = stateView{Text: "Delivered", Tone: "ok", Icon: "check"}
	case stream.OutcomePartly:
		row.State = stateView{Text: "Partly", Tone: "warn", Icon: "alert", Means: count(d.DeadLetters, "event") + " refused"}
	case stream.OutcomeRefused:
		row.State = stateView{Text: "Refused", Tone: "danger", Icon: "x-circle"}
	case stream.OutcomeSplit:
		row.State = stateView{Text: "Split", Icon: "arrow-down", Means: "Refused as a whole, and sent again in halves"}
	default:
		row.State = stateView{Text: string(d.Outcome)}
	}
	return row
}

// spanMillis is a short span of time.
func spanMillis(ms int64) string {
	if ms < 1000 {
		return strconv.FormatInt(ms, 10) + " ms"
	}
	return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) + " s"
}

func seqRange(from, to uint64) string {
	if from == to {
		return thousands(from)
	}
	return thousands(from) + "–" + thousands(to)
}

// replayRow is a replay and how far it is.
type replayRow struct {
	stream.Replay
	Range   string
	Percent int
	Running bool
	Text    string
	Cancel  string
}

func replayRowOf(st *stream.Stream, r *stream.Replay) replayRow {
	row := replayRow{
		Replay: *r, Range: seqRange(r.From, r.To), Running: r.State == stream.ReplayRunning,
		Cancel: streamPath(st) + "/replays/" + r.ID + "/cancel",
	}
	if size := r.To - r.From + 1; size > 0 {
		row.Percent = int(min(float64(r.Next()-min(r.From, r.Next()))/float64(size), 1) * 100)
	}
	switch r.State {
	case stream.ReplayRunning:
		row.Text = "Running"
	case stream.ReplayDone:
		row.Text, row.Percent = "Done", 100
	case stream.ReplayCanceled:
		row.Text = "Canceled"
	default:
		row.Text = string(r.State)
	}
	return row
}

// reconciliationRow is a comparison of what lies at the destination with the log.
type reconciliationRow struct {
	stream.Reconciliation
	Running   bool
	Tone      string // of the state
	Text      string // the state
	Range     string
	Words     string // what came of it, or how far it is
	Comparing bool   // all objects were found
	Percent   int
	Cancel    string
}

func reconciliationRowOf(st *stream.Stream, r *stream.Reconciliation) reconciliationRow {
	row := reconciliationRow{
		Reconciliation: *r, Range: seqRange(r.From, r.To), Running: r.State == stream.ReconciliationRunning,
		Cancel: streamPath(st) + "/reconciliations/" + r.ID + "/cancel",
	}
	switch f := r.Found; {
	case f != nil:
		row.Tone, row.Text, row.Words = "ok", "Complete", foundWords(f)
		if f.Missing > 0 {
			row.Tone, row.Text = "danger", "Incomplete"
		}
	case r.State == stream.ReconciliationRunning:
		row.Tone, row.Text, row.Words = "accent", "Running", count(r.Objects, "object")+" found so far"
		row.Comparing = r.Next > r.From
		row.Percent = int(float64(r.Next-min(r.From, r.Next)) / float64(r.To-r.From+1) * 100)
	case r.State == stream.ReconciliationCanceled:
		row.Text = "Canceled"
	default:
		row.Tone, row.Text, row.Words = "danger", "Failed", r.Error
	}
	return row
}

// foundWords says what came of a comparison.
func foundWords(f *stream.Findings) string {
	text := fmt.Sprintf("%s delivered, %s missing, %s. Found %s", count(f.Expected-f.Missing, "event"), thousands(f.Missing),
		count(f.Duplicates, "duplicate object"), count(f.Objects, "object"))
	if f.Removed > 0 {
		text += fmt.Sprintf("; of %s removed by retention nothing is said", count(f.Removed, "event"))
	}
	return text
}

// streamFacts is what a stream is set to, beside the destination's own settings.
type streamFacts struct {
	Format, Filter, FilterURL string
	Start                     string
	StartDate                 time.Time
	Checkpoints               bool
	Every                     string // of checkpoints alone
	LagLimit                  string
	CreatedAt, UpdatedAt      time.Time
	CreatedBy, Docs           string
}

func (p *pages) streamFacts(st *stream.Stream) streamFacts {
	f := streamFacts{
		Format: st.Format, Filter: st.Filter, FilterURL: filterURL(st.Filter), Checkpoints: st.Checkpoints,
		CreatedAt: st.CreatedAt, UpdatedAt: st.UpdatedAt, CreatedBy: cmp.Or(st.CreatedBy.Name, st.CreatedBy.ID), StartDate: st.Start.Date,
	}
	if st.CreatedBy.Type == stream.WhoKey {
		f.CreatedBy = "the API key " + f.CreatedBy
	}
	for _, info := range p.Streams.Formats() {
		if info.Name == st.Format {
			f.Format = info.Label
		}
	}
	switch st.Start.Kind {
	case stream.StartBeginning:
		f.Start = "With the oldest entry there was"
	case stream.StartDate:
		f.Start = "With what was received since"
	case stream.StartNow:
		f.Start = "With what was recorded once it was made"
	}
	if st.CheckpointEvery > 0 {
		f.Every = words.Span(time.Duration(st.CheckpointEvery) * time.Second)
	}
	if st.LagLimit > 0 {
		f.LagLimit = words.Span(time.Duration(st.LagLimit) * time.Second)
	}
	return f
}

// settingFact is a setting as it is.
type settingFact struct {
	Label, Value, Hint string
	Secret             bool
	At                 time.Time
}

func (p *pages) settingFacts(st *stream.Stream) []settingFact {
	var out []settingFact
	for _, s := range p.kindOf(st.Kind).Settings {
		if secret, ok := st.Secrets[s.Name]; ok {
			out = append(out, settingFact{Label: s.Label, Secret: true, Hint: secret.Hint, At: secret.UpdatedAt})
			continue
		}
		if value := cmp.Or(st.Settings[s.Name], s.Default); value != "" && !s.Secret {
			out = append(out, settingFact{Label: s.Label, Value: value})
		}
	}
	return out
}
