package retention_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/retention"
)

// model says by the plainest means what is shown: each entry remembers that it was
// due, each hold what it keeps.
type model struct {
	policy  retention.Policy
	entries []*modelEntry
	holds   []*modelHold
}

type modelEntry struct {
	actor, action string
	at            time.Time
	due           bool
}

type modelHold struct {
	*retention.Hold

	actor, action string // "" for any
	not           map[*modelEntry]bool
	over          bool
	end           time.Time
}

func (h *modelHold) keeps(e *modelEntry, now time.Time) bool {
	return !h.over && (h.end.IsZero() || now.Before(h.end)) && !h.not[e] && h.finds(e)
}

func (h *modelHold) finds(e *modelEntry) bool {
	return (h.actor == "" || h.actor == e.actor) && (h.action == "" || h.action == e.action)
}

// days is the period of an action: that of the most specific class.
func (m *model) days(action string) int {
	days, best := m.policy.Days, -1
	for _, a := range m.policy.Actions {
		n := len(a.Pattern)
		if a.Pattern == action {
			n = 1000
		} else if a.Pattern[n-1] != '*' || len(action) < n-1 || action[:n-1] != a.Pattern[:n-1] {
			continue
		}
		if n > best {
			days, best = a.Days, n
		}
	}
	return days
}

// at brings the model to a moment.
func (m *model) at(now time.Time) {
	for _, e := range m.entries {
		if d := m.days(e.action); d != 0 && now.Sub(e.at) > time.Duration(d)*day {
			e.due = true
		}
	}
}

func (m *model) held(e *modelEntry, now time.Time) bool {
	return slices.ContainsFunc(m.holds, func(h *modelHold) bool { return h.keeps(e, now) })
}

func (m *model) shown(now time.Time) []string {
	list := []string{}
	for _, e := range m.entries {
		if !e.due || m.held(e, now) {
			list = append(list, e.actor)
		}
	}
	return list
}

var modelActions = []string{"user.logged_in", "user.created", "user.key.made", "role.changed", "user"}

// TestModel compares retention with the model over random policies, holds, times
// and removals.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := open(t)
		m := &model{policy: retention.Policy{Days: 365}}
		var checkpoints [][]byte
		for range rapid.IntRange(5, 30).Draw(rt, "steps") {
			m.at(h.clock())
			m.step(rt, h)
			m.at(h.clock())
			if got, want := h.shown("acme", ""), m.shown(h.clock()); !slices.Equal(got, want) {
				rt.Fatalf("shown is %q, want %q", got, want)
			}
			checkpoints = append(checkpoints, h.proven(checkpoints...))
		}
	})
}

func (m *model) step(t *rapid.T, h *house) {
	switch what := rapid.SampledFrom([]string{"record", "record", "pass", "pass", "policy", "hold", "hold", "lift", "remove", "restart"}).Draw(t, "step"); what {
	case "record":
		e := &modelEntry{
			actor:  fmt.Sprintf("u%d", rapid.IntRange(0, 3).Draw(t, "actor")),
			action: rapid.SampledFrom(modelActions).Draw(t, "action"), at: h.clock(),
		}
		h.record("acme", e.action, e.actor)
		m.entries = append(m.entries, e)
	case "pass":
		h.pass(time.Duration(rapid.IntRange(1, 200).Draw(t, "days"))*day + time.Duration(rapid.IntRange(-1, 1).Draw(t, "ms"))*time.Millisecond)
	case "policy":
		period := rapid.SampledFrom([]int{0, 30, 90, 365, 3650})
		m.policy = retention.Policy{Days: period.Draw(t, "default")}
		for _, pattern := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"user.*", "user.logged_in", "user.key.*", "user", "role.*", "role.changed"}), 0, 4, rapid.ID).Draw(t, "classes") {
			m.policy.Actions = append(m.policy.Actions, catalog.RetentionAction{Pattern: pattern, Days: period.Draw(t, "class")})
		}
		preview, err := h.Preview(t.Context(), "acme", m.policy)
		h.must(err)
		was := len(m.shown(h.clock()))
		_, err = h.SetPolicy(t.Context(), "acme", m.policy, &preview.Due, anna)
		h.must(err)
		m.at(h.clock())
		// The server's own entries are in the preview and not in the model.
		if gone := was - len(m.shown(h.clock())); uint64(gone) > preview.Due {
			t.Fatalf("%d went, the preview said %d", gone, preview.Due)
		}
	case "hold":
		m.hold(t, h)
	case "lift":
		if i := slices.IndexFunc(m.holds, func(h *modelHold) bool { return !h.over }); i >= 0 && (m.holds[i].end.IsZero() || h.clock().Before(m.holds[i].end)) {
			h.lift(m.holds[i].Hold)
			m.holds[i].over = true
		}
	case "remove":
		_, err := h.Apply(t.Context(), "acme")
		h.must(err)
		var left []string
		for _, e := range m.entries {
			if !e.due || m.held(e, h.clock()) {
				left = append(left, e.actor)
			}
		}
		h.keeps("acme", left...)
		m.entries = slices.DeleteFunc(m.entries, func(e *modelEntry) bool { return e.due && !m.held(e, h.clock()) })
	case "restart":
		h.reopen()
	}
}

func (m *model) hold(t *rapid.T, h *house) {
	made := &modelHold{not: map[*modelEntry]bool{}}
	query := ""
	if rapid.Bool().Draw(t, "by actor") {
		made.actor = fmt.Sprintf("u%d", rapid.IntRange(0, 3).Draw(t, "actor"))
		query += " actor:" + made.actor
	}
	if rapid.Bool().Draw(t, "by action") {
		made.action = rapid.SampledFrom(modelActions).Draw(t, "action")
		query += " action:" + made.action
	}
	for _, e := range m.entries {
		made.not[e] = e.due && !m.held(e, h.clock())
	}
	made.Hold = h.hold(query)
	if rapid.Bool().Draw(t, "with an end") {
		made.end = h.clock().Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "end")) * day)
		_, err := h.ChangeHold(t.Context(), "acme", made.ID, retention.HoldChange{EndsAt: &made.end}, anna)
		h.must(err)
	}
	m.holds = append(m.holds, made)
}
