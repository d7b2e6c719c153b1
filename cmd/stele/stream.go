package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stelehq/stele/audit"
)

// streamCmd manages log streams.
type streamCmd struct {
	Kinds       streamKindsCmd      `cmd:"" help:"List the kinds of destinations, or say what one needs."`
	Create      streamCreateCmd     `cmd:"" help:"Test a destination and make a stream to it."`
	List        streamListCmd       `cmd:"" help:"List streams and how they are doing."`
	Get         streamGetCmd        `cmd:"" help:"Show one stream and how it is doing."`
	Update      streamUpdateCmd     `cmd:"" help:"Change a stream."`
	Delete      streamDeleteCmd     `cmd:"" help:"Delete a stream with its history."`
	Test        streamTestCmd       `cmd:"" help:"Send a synthetic event and show what the destination says."`
	Pause       streamPauseCmd      `cmd:"" help:"Stop delivering; nothing is lost."`
	Resume      streamResumeCmd     `cmd:"" help:"Go on where it stopped, or ask a failing destination again now."`
	Deliveries  streamDeliveriesCmd `cmd:"" help:"Show what was delivered, newest first."`
	DeadLetters streamDeadCmd       `cmd:"" help:"Show, retry or discard events that the destination refused."`
	Replay      streamReplayCmd     `cmd:"" help:"Deliver a range again, beside live delivery."`
	Reconcile   streamReconcileCmd  `cmd:"" help:"Compare what lies in an object store with the log."`
}

// whose says whose streams a command is about.
type whose struct {
	remote
	Org      string `help:"The organization's streams." xor:"whose" required:"" placeholder:"ORG"`
	Operator bool   `help:"The operator's streams, which follow all organizations." xor:"whose" required:""`
}

// oneStream is a command about one stream.
type oneStream struct {
	whose
	ID string `arg:"" help:"Stream." name:"stream"`
}

// settingFlags are settings of a destination.
type settingFlags struct {
	Set     map[string]string `help:"A setting; see stele stream kinds KIND. Repeatable." short:"s" placeholder:"NAME=VALUE" mapsep:"none"`
	SetFile map[string]string `help:"A setting whose value is in a file, such as a secret; - is standard input. Repeatable." placeholder:"NAME=FILE" mapsep:"none"`
}

// values reads the settings.
func (f *settingFlags) values(p *process) (map[string]string, error) {
	values := maps.Clone(f.Set)
	if values == nil {
		values = map[string]string{}
	}
	for name, file := range f.SetFile {
		if _, twice := values[name]; twice {
			return nil, &exitCodeError{exitUsage, fmt.Errorf("the setting %s is given by --set and by --set-file", name)}
		}
		text, err := readSetting(p, file)
		if err != nil {
			return nil, fmt.Errorf("setting %s: %w", name, err)
		}
		values[name] = strings.TrimRight(text, "\r\n")
	}
	return values, nil
}

func readSetting(p *process, file string) (string, error) {
	if file == "-" {
		text, err := io.ReadAll(p.stdin)
		return string(text), err
	}
	text, err := os.ReadFile(file) //nolint:gosec // the caller's own file
	return string(text), err
}

type streamKindsCmd struct {
	remote
	Kind string `arg:"" optional:"" help:"Say what to do for this kind."`
}

// Run lists the kinds, or tells one.
func (c *streamKindsCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	all, err := client.StreamKinds(ctx)
	if err != nil {
		return err
	}
	if c.Kind == "" {
		return show(p, &c.remote, pointers(all.Kinds), []string{"KIND", "NAME", "WHAT IT DOES"}, func(k *audit.StreamKind) []string {
			return []string{k.Name, k.Label, k.Summary}
		})
	}
	for i := range all.Kinds {
		if k := &all.Kinds[i]; k.Name == c.Kind {
			if c.JSON {
				return printJSON(p.stdout, k)
			}
			return tellKind(p.stdout, k)
		}
	}
	return fmt.Errorf("there is no kind %q; stele stream kinds lists them", c.Kind)
}

// pointers is a list of things in a slice.
func pointers[T any](list []T) func(func(*T, error) bool) {
	return func(yield func(*T, error) bool) {
		for i := range list {
			if !yield(&list[i], nil) {
				return
			}
		}
	}
}

// tellKind says what is to be done for a kind of destination.
func tellKind(w io.Writer, k *audit.StreamKind) error {
	fmt.Fprintf(w, "%s (%s)\n%s\n", k.Label, k.Name, k.Summary)
	if k.Docs != "" {
		fmt.Fprintf(w, "%s\n", k.Docs)
	}
	fmt.Fprintln(w)
	for i, step := range k.Steps {
		fmt.Fprintf(w, "%d. %s\n", i+1, step.Text)
		if step.Paste != "" {
			fmt.Fprintf(w, "\n%s\n\n", indent(step.Paste))
		}
	}
	fmt.Fprintln(w, "\nSettings (--set NAME=VALUE):")
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, s := range k.Settings {
		var notes []string
		for note, is := range map[string]bool{"required": s.Required, "secret": s.Secret, "default " + s.Default: s.Default != "", strings.Join(s.Options, " | "): len(s.Options) > 0} {
			if is {
				notes = append(notes, note)
			}
		}
		slices.Sort(notes)
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", s.Name, s.Help, strings.Join(notes, "; "))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nFormats: %s\n", strings.Join(k.Formats, ", "))
	for _, limit := range k.Limits {
		fmt.Fprintf(w, "- %s\n", limit)
	}
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

type streamCreateCmd struct {
	whose
	settingFlags
	Kind        string        `arg:"" help:"Kind of destination; see stele stream kinds."`
	Name        string        `help:"Name, for people."`
	Format      string        `help:"Format of the events; the kind's first when not given." placeholder:"FORMAT"`
	Filter      string        `help:"Which entries, in the filter language; all when not given." placeholder:"FILTER"`
	Start       string        `help:"now, beginning, or a time such as 2026-03-01T00:00:00Z." default:"now"`
	Checkpoints bool          `help:"Send a signed checkpoint after each delivered batch."`
	Every       time.Duration `name:"checkpoint-every" help:"Send checkpoints and no events: one at most so often, such as 1h, when the log has grown." placeholder:"DURATION"`
	LagLimit    time.Duration `help:"Lag that is worth a notice." placeholder:"DURATION"`
	Untested    bool          `help:"Make it without testing the destination first."`
}

// Run tests the destination and makes the stream.
func (c *streamCreateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	start, err := parseStart(c.Start)
	if err != nil {
		return err
	}
	values, err := c.values(p)
	if err != nil {
		return err
	}
	spec := audit.NewStream{
		Name: c.Name, Kind: c.Kind, Format: c.Format, Filter: c.Filter, Start: start, Settings: values,
		Checkpoints: c.Checkpoints, CheckpointEvery: int(c.Every / time.Second), LagLimit: int(c.LagLimit / time.Second),
	}
	if !c.Untested {
		result, err := client.TryStream(ctx, c.Org, "", spec)
		if err != nil {
			return err
		}
		if !result.OK {
			return fmt.Errorf("the destination refused the test: %s (--untested makes the stream all the same)", said(result))
		}
	}
	st, err := client.CreateStream(ctx, c.Org, spec)
	return c.showStream(p, st, err)
}

func parseStart(text string) (*audit.StreamStart, error) {
	if text == "now" || text == "beginning" {
		return &audit.StreamStart{Kind: text}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		return nil, &exitCodeError{exitUsage, fmt.Errorf("--start: %q is not now, beginning or a time such as 2026-03-01T00:00:00Z", text)}
	}
	return &audit.StreamStart{Kind: "date", Date: at}, nil
}

// said is what a destination said to a test, in a line.
func said(t *audit.StreamTest) string {
	text := t.Message
	if t.Status > 0 {
		text += fmt.Sprintf(" [%d %s]", t.Status, t.Text)
	}
	return printable(strings.TrimSpace(text))
}

func streamHeading() []string {
	return []string{"ID", "NAME", "KIND", "STATE", "LAG", "DELIVERED", "DEAD", "LAST SUCCESS"}
}

func streamRow(s *audit.Stream) []string {
	last := "never"
	if !s.Status.LastSuccess.IsZero() {
		last = s.Status.LastSuccess.Format(time.DateTime)
	}
	return []string{
		s.ID, s.Name, s.Kind, s.Status.State, lagOf(&s.Status), strconv.FormatUint(s.Status.Events, 10),
		strconv.Itoa(s.Status.DeadLetters), last,
	}
}

func lagOf(s *audit.StreamStatus) string {
	if s.LagEvents == 0 {
		return "none"
	}
	return fmt.Sprintf("%d (%s)", s.LagEvents, time.Duration(s.LagSeconds*float64(time.Second)).Round(time.Second))
}

// showStream prints one stream as a row, or why there is none.
func (w *whose) showStream(p *process, s *audit.Stream, err error) error {
	return show(p, &w.remote, one(s, err), streamHeading(), streamRow)
}

type streamListCmd struct{ whose }

// Run lists the streams.
func (c *streamListCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return show(p, &c.remote, client.Streams(ctx, c.Org), streamHeading(), streamRow)
}

type streamGetCmd struct{ oneStream }

// Run shows one stream with everything about it.
func (c *streamGetCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	s, err := client.Stream(ctx, c.Org, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, s)
	}
	return tellStream(p.stdout, s)
}

// tellStream prints a stream for people.
func tellStream(w io.Writer, s *audit.Stream) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	st := &s.Status
	line("id", "%s", s.ID)
	line("name", "%s", s.Name)
	line("kind", "%s, format %s", s.Kind, s.Format)
	if s.Filter != "" {
		line("filter", "%s", s.Filter)
	}
	line("state", "%s since %s", st.State, st.Since.Format(time.DateTime))
	if st.Held {
		line("", "held: the organization's log is inactive; nothing is sent, and nothing is lost")
	}
	line("lag", "%s", lagOf(st))
	if s.OrganizationID != "" {
		line("next seq", "%d of %d", st.NextSeq, st.LogSize)
	}
	line("delivered", "%d events in %d batches", st.Events, st.Batches)
	line("dead letters", "%d now, %d ever", st.DeadLetters, st.DeadLettersTotal)
	if e := st.LastError; e != nil {
		line("last error", "%s: %s", e.At.Format(time.DateTime), e.Message)
		if e.Text != "" {
			line("", "it answered: %d %s", e.Status, e.Text)
		}
	}
	if !st.NextAttempt.IsZero() && st.State != audit.StreamActive {
		line("next attempt", "%s", st.NextAttempt.Format(time.DateTime))
	}
	for _, skip := range st.Skips {
		line("skipped", "%d events of %s, seq %d to %d: %s", skip.Events, skip.OrganizationID, skip.From, skip.To, skip.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		line("  "+name, "%s", s.Settings[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		line("  "+name, "secret …%s, set %s", s.Secrets[name].Hint, s.Secrets[name].UpdatedAt.Format(time.DateTime))
	}
	return tw.Flush()
}

type streamUpdateCmd struct {
	oneStream
	settingFlags
	Name        *string        `help:"New name."`
	Format      *string        `help:"New format." placeholder:"FORMAT"`
	Filter      *string        `help:"New filter; empty for every entry." placeholder:"FILTER"`
	Checkpoints *bool          `help:"Send a signed checkpoint after each delivered batch." negatable:""`
	Every       *time.Duration `name:"checkpoint-every" help:"Send checkpoints and no events, one at most so often; 0 sends events." placeholder:"DURATION"`
	LagLimit    *time.Duration `help:"Lag that is worth a notice; 0 for none." placeholder:"DURATION"`
	Unset       []string       `help:"Remove a setting. Repeatable." placeholder:"NAME"`
}

// Run changes what was named.
func (c *streamUpdateCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	values, err := c.values(p)
	if err != nil {
		return err
	}
	for _, name := range c.Unset {
		values[name] = ""
	}
	change := audit.StreamChange{Name: c.Name, Format: c.Format, Filter: c.Filter, Checkpoints: c.Checkpoints, Settings: values}
	if c.Every != nil {
		seconds := int(*c.Every / time.Second)
		change.CheckpointEvery = &seconds
	}
	if c.LagLimit != nil {
		seconds := int(*c.LagLimit / time.Second)
		change.LagLimit = &seconds
	}
	s, err := client.UpdateStream(ctx, c.Org, c.ID, change)
	return c.showStream(p, s, err)
}

type streamDeleteCmd struct{ oneStream }

// Run deletes the stream.
func (c *streamDeleteCmd) Run(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return client.DeleteStream(ctx, c.Org, c.ID)
}

type streamTestCmd struct{ oneStream }

// errRefused says that the destination did not take the test.
var errRefused = errors.New("the destination refused the test")

// Run tests the stream as it is saved, and fails when the destination refuses.
func (c *streamTestCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	result, err := client.TestStream(ctx, c.Org, c.ID)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = printJSONLine(p.stdout, result)
	case result.OK:
		_, err = fmt.Fprintf(p.stdout, "taken in %d ms %s\n", result.Latency, said(result))
	}
	if err != nil || result.OK {
		return err
	}
	return fmt.Errorf("%w: %s", errRefused, said(result))
}

type streamPauseCmd struct{ oneStream }

// Run pauses the stream.
func (c *streamPauseCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	s, err := client.PauseStream(ctx, c.Org, c.ID)
	return c.showStream(p, s, err)
}

type streamResumeCmd struct{ oneStream }

// Run resumes the stream.
func (c *streamResumeCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	s, err := client.ResumeStream(ctx, c.Org, c.ID)
	return c.showStream(p, s, err)
}
