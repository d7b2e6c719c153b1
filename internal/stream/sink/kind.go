package sink

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// Kind is one kind of destination, described so that everything else about it
// is made from this: API, command line, form, documentation.
type Kind struct {
	// Name is what settings and records call it, such as "splunk_hec":
	// lower-case letters, digits and '_'.
	Name string
	// Label is its name for people, Summary one sentence about it.
	Label, Summary string
	// Docs is the URL where the destination's maker documents what is set up
	// there; this project's own page is docs/streams/<Name>.md.
	Docs string
	// Steps are what the owner does at the destination, in order. They give
	// the least permissions that do. See [Kind.Guide].
	Steps []Step
	// Limits are sentences about what bounds the destination: what to know
	// before choosing it.
	Limits []string
	// Settings is the table, in the order of the form.
	Settings []Setting
	// Formats are the names of the formats it can carry; the first is the
	// default. Empty is all of them, with "json" as the default.
	Formats []string
	// Entries asks for Event.Entry.
	Entries bool
	// EventsOnly says that checkpoints cannot be sent along.
	EventsOnly bool
	// Lists says that its sinks are Listers: it can be reconciled.
	Lists bool
	// Check says what is wrong with settings that are each right; nil when
	// there is nothing to say. Its errors are FieldErrorf with the setting's
	// name as field.
	Check func(v Values) error
	// Open makes a sink out of checked settings. It does not connect.
	Open func(v Values, env Env) (Sink, error)
}

// Step is one thing that the owner of a stream does at the destination.
type Step struct {
	// Text is a sentence or two.
	Text string
	// Paste is what to paste at the destination, such as a policy; "" when
	// there is nothing.
	Paste string
	// Fills names the settings whose values come out of this step.
	Fills []string
}

// Setting is one setting of a kind.
type Setting struct {
	// Name is the key in the API: lower-case letters, digits and '_'.
	Name string
	// Label is its name for people, Help where to find the value and what it
	// does, Example what one looks like.
	Label, Help, Example string
	// Secret values are encrypted at rest and never shown again.
	Secret bool
	// Place says that the value decides who is sent the secrets. Who changes it
	// must enter them again: a stream cannot be turned on an address of
	// somebody's own to learn them.
	Place bool
	// Required settings cannot be empty.
	Required bool
	// Default is used when the value is empty; never of a secret.
	Default string
	// Options are the values it may have; empty is any.
	Options []string
	// Multiline values may hold line breaks, such as certificates.
	Multiline bool
	// Advanced settings are folded away in the form.
	Advanced bool
	// Check says what is wrong with a value that is not empty; nil accepts
	// every text of at most MaxValue bytes.
	Check func(value string) error
	// Expires says when a value stops working by itself, such as a certificate:
	// zero when it does not say, or never; nil for what has no end. It gets
	// whatever was entered.
	Expires func(value string) time.Time
	// Generate makes a good new value, where the value is the owner's to
	// choose, such as a secret that both sides are given; otherwise nil.
	Generate func() string
}

// MaxValue bounds the value of a setting, in bytes: a chain of certificates fits.
const MaxValue = 16 << 10

// Values are the settings of one destination by name, secrets in the clear.
type Values map[string]string

// Kinds is the registry of destinations.
type Kinds struct {
	list []Kind
}

// NewKinds makes a registry. The order is that in which they are offered.
func NewKinds(list ...Kind) *Kinds { return &Kinds{list: slices.Clone(list)} }

// All lists the kinds; the result must not be changed.
func (k *Kinds) All() []Kind { return k.list }

// Get returns a kind by its name.
func (k *Kinds) Get(name string) (*Kind, bool) {
	i := slices.IndexFunc(k.list, func(kind Kind) bool { return kind.Name == name })
	if i < 0 {
		return nil, false
	}
	return &k.list[i], true
}

// Setting returns a setting by its name.
func (k *Kind) Setting(name string) (*Setting, bool) {
	i := slices.IndexFunc(k.Settings, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return &k.Settings[i], true
}

// placeholder is how a step names a setting.
var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

// Guide returns the steps with each "{name}" of a setting replaced by its value,
// or else its default; where there is none, and for secrets, "{name}" stays.
func (k *Kind) Guide(v Values) []Step {
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(name string) string {
			s, ok := k.Setting(strings.Trim(name, "{}"))
			switch {
			case !ok || s.Secret:
				return name
			case v[s.Name] != "":
				return v[s.Name]
			case s.Default != "":
				return s.Default
			}
			return name
		})
	}
	steps := slices.Clone(k.Steps)
	for i := range steps {
		steps[i].Text, steps[i].Paste = fill(steps[i].Text), fill(steps[i].Paste)
	}
	return steps
}

// Format returns the name of the format to use when asked for name, which may be
// "", and whether the kind can carry it.
func (k *Kind) Format(name string) (string, bool) {
	switch {
	case name == "" && len(k.Formats) == 0:
		return "json", true
	case name == "":
		return k.Formats[0], true
	}
	return name, len(k.Formats) == 0 || slices.Contains(k.Formats, name)
}

// Resolve checks values against the table and returns them with defaults filled
// in. Errors are invalid_request or unknown_field naming "/settings/<name>"; all
// faults at once when there are several.
func (k *Kind) Resolve(v Values) (Values, error) {
	out := Values{}
	var faults []*audit.Error
	fault := func(name, format string, args ...any) {
		faults = append(faults, audit.FieldErrorf(audit.CodeInvalidRequest, "/settings/"+name, format, args...))
	}
	for i := range k.Settings {
		s := &k.Settings[i]
		value := v[s.Name]
		if !s.Multiline {
			value = strings.TrimSpace(value)
		}
		if value == "" {
			value = s.Default
		}
		switch err := s.check(value); {
		case err != nil:
			fault(s.Name, "%s", err.Error())
		case value != "":
			out[s.Name] = value
		}
	}
	for name := range v {
		if _, ok := k.Setting(name); !ok {
			faults = append(faults, audit.FieldErrorf(audit.CodeUnknownField, "/settings/"+excerptName(name),
				"%s has no such setting", k.Label))
		}
	}
	if len(faults) == 0 && k.Check != nil {
		if err := k.Check(out); err != nil {
			return nil, inSettings(err)
		}
	}
	return out, joinFaults(faults)
}

// Secrets are the secret values among v, for scrubbing.
func (k *Kind) Secrets(v Values) []string {
	var secrets []string
	for _, s := range k.Settings {
		if value := v[s.Name]; s.Secret && value != "" {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

func (s *Setting) check(value string) error {
	switch {
	case value == "" && s.Required:
		return audit.Errorf(audit.CodeInvalidRequest, "is required")
	case value == "":
		return nil
	case len(value) > MaxValue:
		return audit.Errorf(audit.CodeInvalidRequest, "must be at most %d bytes", MaxValue)
	case strings.ToValidUTF8(value, "") != value || strings.ContainsFunc(value, func(r rune) bool { return s.refuses(r) }):
		return audit.Errorf(audit.CodeInvalidRequest, "must be UTF-8 text without control characters")
	case len(s.Options) > 0 && !slices.Contains(s.Options, value):
		return audit.Errorf(audit.CodeInvalidRequest, "must be one of %s", strings.Join(s.Options, ", "))
	case s.Check == nil:
		return nil
	}
	return s.Check(value)
}

func (s *Setting) refuses(r rune) bool {
	if s.Multiline && (r == '\n' || r == '\r' || r == '\t') {
		return false
	}
	return r < ' ' || r == 0x7f
}

func excerptName(name string) string { return Excerpt(name[:min(len(name), 64)]) }

// inSettings puts the field of a kind's own error below /settings.
func inSettings(err error) error {
	fault, ok := err.(*audit.Error) //nolint:errorlint // only what Check itself returned
	if !ok || fault.Field == "" || strings.HasPrefix(fault.Field, "/") {
		return err
	}
	moved := *fault
	moved.Field = "/settings/" + fault.Field
	return &moved
}

func joinFaults(faults []*audit.Error) error {
	switch len(faults) {
	case 0:
		return nil
	case 1:
		return faults[0]
	}
	slices.SortFunc(faults, func(a, b *audit.Error) int { return strings.Compare(a.Field, b.Field) })
	all := audit.Errorf(audit.CodeInvalidRequest, "%d settings are wrong", len(faults))
	all.Errors = faults
	return all
}

// Unreachable is the sink of settings that could not be opened: every attempt
// fails with the same error.
type Unreachable struct{ Err *Error }

// Send fails.
func (u Unreachable) Send(context.Context, *Batch) (Answer, error) { return Answer{}, u.Err }

// Test fails.
func (u Unreachable) Test(context.Context, *Batch) (Answer, error) { return Answer{}, u.Err }

// Limits are the defaults.
func (u Unreachable) Limits() Limits { return Limits{} }

// Close does nothing.
func (u Unreachable) Close() error { return nil }

var _ Sink = Unreachable{}
