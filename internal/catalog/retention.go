package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of what an organization says about retention.
const (
	MaxRetentionActions = 100
	maxRetentionPattern = 200 // as long as an action
	maxRetentionFloors  = 500
)

// RetentionAction keeps the entries of a class of actions for a time of their own.
type RetentionAction struct {
	// Pattern is an action (user.logged_in) or what actions begin with, up to a
	// dot (user.*). Of several that match an action, the longest decides, and the
	// action itself before all others.
	Pattern string `json:"pattern"`
	// Days is as Organization.RetentionDays.
	Days int `json:"days"`
}

// RetentionFloor is what was past its time when the periods were changed last: it
// stays so whatever they are now.
type RetentionFloor struct {
	// Pattern is as in RetentionAction; "" is every action.
	Pattern string `json:"pattern,omitempty"`
	// From is the received_at before which nothing is kept; zero for none.
	From time.Time `json:"from,omitzero"`
}

// RetentionClass is a class of actions that are kept alike. Classes do not
// overlap, and together they are all actions.
type RetentionClass struct {
	// Pattern is as in RetentionAction; "" is every action. Except are the
	// patterns within it that are classes of their own.
	Pattern string
	Except  []string
	// Rule is the pattern that the organization gave Days for; "" is its default.
	Rule string
	Days int
	// Floor is the received_at before which nothing is kept whatever Days says;
	// zero for none.
	Floor time.Time
}

// Cut is the received_at before which entries of the class are past their time at
// a moment; zero when none is.
func (c *RetentionClass) Cut(now time.Time) time.Time {
	if c.Days == RetainForever {
		return c.Floor
	}
	cut := now.Add(-time.Duration(c.Days) * 24 * time.Hour)
	if cut.Before(c.Floor) {
		return c.Floor
	}
	return cut
}

// RetentionClasses are the classes of actions that the organization's periods and
// floors tell apart, the default first.
func (o *Organization) RetentionClasses() []RetentionClass {
	var classes []RetentionClass
	for _, pattern := range o.retentionPatterns() {
		c := o.retentionClass(pattern)
		// Patterns come with those that they lie within first.
		if within := closest(classes, pattern, classPattern); within >= 0 {
			if w := classes[within]; w.Rule == c.Rule && w.Floor.Equal(c.Floor) {
				continue
			}
			classes[within].Except = append(classes[within].Except, pattern)
		}
		classes = append(classes, c)
	}
	return classes
}

func classPattern(c *RetentionClass) string { return c.Pattern }

// retentionClass is what holds for actions that no longer pattern than this
// matches.
func (o *Organization) retentionClass(pattern string) RetentionClass {
	c := RetentionClass{Pattern: pattern, Days: o.RetentionDays}
	if i := closest(o.RetentionActions, pattern, func(a *RetentionAction) string { return a.Pattern }); i >= 0 {
		c.Rule, c.Days = o.RetentionActions[i].Pattern, o.RetentionActions[i].Days
	}
	if i := closest(o.RetainedFrom, pattern, func(f *RetentionFloor) string { return f.Pattern }); i >= 0 {
		c.Floor = o.RetainedFrom[i].From
	}
	return c
}

// retentionPatterns are "" and all patterns that periods or floors are said for,
// each after those that it lies within.
func (o *Organization) retentionPatterns() []string {
	patterns := []string{""}
	for _, a := range o.RetentionActions {
		patterns = append(patterns, a.Pattern)
	}
	for _, f := range o.RetainedFrom {
		patterns = append(patterns, f.Pattern)
	}
	slices.SortFunc(patterns, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(stem(a)), len(stem(b))), cmp.Compare(a, b))
	})
	return slices.Compact(patterns)
}

// stem is what all actions of a pattern begin with.
func stem(pattern string) string { return strings.TrimSuffix(pattern, "*") }

// covers reports whether every action that inner matches is one of outer's.
func covers(outer, inner string) bool {
	return outer == "" || outer == inner || strings.HasSuffix(outer, "*") && strings.HasPrefix(stem(inner), stem(outer))
}

// closest is the index of the element with the longest pattern that covers one; -1
// when none does.
func closest[T any](list []T, pattern string, of func(*T) string) int {
	best := -1
	for i := range list {
		if p := of(&list[i]); covers(p, pattern) && (best < 0 || covers(of(&list[best]), p)) {
			best = i
		}
	}
	return best
}

// SameRetention reports whether both keep entries alike.
func (o *Organization) SameRetention(other *Organization) bool {
	return o.RetentionDays == other.RetentionDays && slices.Equal(o.RetentionActions, other.RetentionActions)
}

// keepFloors gives o, the organization after a change at now, the floors that its
// past gives it: what was past its time stays so. Without this a longer period
// would show again what readers were told is gone, as far as it is still there.
func (o *Organization) keepFloors(old *Organization, now time.Time) error {
	o.RetainedFrom = slices.Clone(old.RetainedFrom)
	if o.SameRetention(old) {
		return nil
	}
	all := old.clone()
	for _, a := range o.RetentionActions { // as classes of their own, kept as before
		all.RetainedFrom = append(all.RetainedFrom, RetentionFloor{Pattern: a.Pattern})
	}
	var floors []RetentionFloor
	for _, pattern := range all.retentionPatterns() {
		c := old.retentionClass(pattern)
		cut := c.Cut(now)
		within := closest(floors, pattern, func(f *RetentionFloor) string { return f.Pattern })
		if within < 0 && cut.IsZero() || within >= 0 && floors[within].From.Equal(cut) {
			continue
		}
		floors = append(floors, RetentionFloor{Pattern: pattern, From: cut})
	}
	if len(floors) > maxRetentionFloors {
		return fieldError("/retention_actions", "have named more than %d different patterns over time; name some of those again, or fewer", maxRetentionFloors)
	}
	o.RetainedFrom = floors
	return nil
}

// CheckRetentionDays says what is wrong with a period, nil for nothing. The error
// names the field.
func CheckRetentionDays(field string, days int) error {
	if days == RetainForever || days >= MinRetentionDays && days <= MaxRetentionDays {
		return nil
	}
	return fieldError(field, "must be %d to %d days, or %d to keep everything", MinRetentionDays, MaxRetentionDays, RetainForever)
}

// CheckRetentionActions brings the classes to their stored form, sorted, and says
// what is wrong with them. Errors name the element below field.
func CheckRetentionActions(field string, actions []RetentionAction) ([]RetentionAction, error) {
	if len(actions) > MaxRetentionActions {
		return nil, fieldError(field, "must be at most %d", MaxRetentionActions)
	}
	for i, a := range actions {
		at := field + "/" + strconv.Itoa(i)
		if err := checkPattern(at+"/pattern", a.Pattern); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(actions[:i], func(b RetentionAction) bool { return a.Pattern == b.Pattern }) {
			return nil, fieldError(at+"/pattern", "%q is given twice", short(a.Pattern))
		}
		if err := CheckRetentionDays(at+"/days", a.Days); err != nil {
			return nil, err
		}
	}
	sorted := slices.Clone(actions)
	slices.SortFunc(sorted, func(a, b RetentionAction) int { return cmp.Compare(a.Pattern, b.Pattern) })
	return sorted, nil
}

func checkPattern(field, pattern string) error {
	body, wild := strings.CutSuffix(pattern, ".*")
	if body == "" || len(pattern) > maxRetentionPattern || strings.Contains(body, "*") || !printable(body, len(body)) ||
		strings.TrimSpace(body) != body || !wild && strings.HasSuffix(body, ".") {
		return fieldError(field, "must be an action such as user.logged_in, or the beginning of some as in user.*")
	}
	return nil
}
