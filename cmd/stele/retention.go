package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stelehq/stele/audit"
)

// retentionCmd says and changes how long entries are kept.
type retentionCmd struct {
	Show         retentionShowCmd         `cmd:"" help:"Show how long entries are kept."`
	Preview      retentionPreviewCmd      `cmd:"" help:"Say what a policy would remove at once. Nothing is changed."`
	Set          retentionSetCmd          `cmd:"" help:"Change how long entries are kept."`
	Certificates retentionCertificatesCmd `cmd:"" help:"List destruction certificates, or write one to a file."`
}

// ofOrg is a command about one organization.
type ofOrg struct {
	remote
	Org string `help:"Organization." env:"STELE_ORG" required:"" placeholder:"ORG"`
}

func keptFor(days int) string {
	if days == 0 {
		return "for ever"
	}
	return strconv.Itoa(days) + " days"
}

func (r *remote) showPolicy(p *process, policy *audit.RetentionPolicy) error {
	if r.JSON {
		return printJSONLine(p.stdout, policy)
	}
	rows := [][]string{{"every other action", keptFor(policy.Days)}}
	for _, a := range policy.Actions {
		rows = append(rows, []string{a.Pattern, keptFor(a.Days)})
	}
	return table(p.stdout, []string{"ACTION", "KEPT"}, rows)
}

type retentionShowCmd struct{ ofOrg }

// Run shows the policy.
func (c *retentionShowCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	policy, err := client.Retention(ctx, c.Org)
	if err != nil {
		return err
	}
	return c.showPolicy(p, policy)
}

// policyFlags are a policy, or what changes of the one there is.
type policyFlags struct {
	Days   *string  `help:"Days that entries are kept, 30 to 3650, or forever." placeholder:"DAYS"`
	Action []string `help:"Keep a class of actions for another time, as user.logged_in=90 or user.*=forever. Repeatable." placeholder:"PATTERN=DAYS" sep:"none"`
	Drop   []string `help:"Keep a class of actions as all others again. Repeatable." placeholder:"PATTERN" sep:"none"`
}

// policy is the policy that there is, changed.
func (f *policyFlags) policy(ctx context.Context, client *audit.Client, org string) (audit.RetentionPolicy, error) {
	if f.Days == nil && len(f.Action)+len(f.Drop) == 0 {
		return audit.RetentionPolicy{}, &exitCodeError{exitUsage, errors.New("say what changes: --days, --action or --drop")}
	}
	was, err := client.Retention(ctx, org)
	if err != nil {
		return audit.RetentionPolicy{}, err
	}
	policy := audit.RetentionPolicy{Days: was.Days}
	if f.Days != nil {
		if policy.Days, err = parseDays(*f.Days); err != nil {
			return audit.RetentionPolicy{}, &exitCodeError{exitUsage, fmt.Errorf("--days: %w", err)}
		}
	}
	given := map[string]bool{}
	for _, text := range f.Action {
		pattern, days, ok := strings.Cut(text, "=")
		a := audit.RetentionAction{Pattern: pattern}
		if a.Days, err = parseDays(days); err != nil || !ok {
			return audit.RetentionPolicy{}, &exitCodeError{exitUsage, fmt.Errorf("--action: %q is not PATTERN=DAYS, as user.logged_in=90", text)}
		}
		policy.Actions = append(policy.Actions, a)
		given[pattern] = true
	}
	for _, pattern := range f.Drop {
		given[pattern] = true
	}
	for _, a := range was.Actions {
		if !given[a.Pattern] {
			policy.Actions = append(policy.Actions, a)
		}
	}
	return policy, nil
}

func parseDays(text string) (int, error) {
	if text == "forever" {
		return 0, nil
	}
	days, err := strconv.Atoi(text)
	if err != nil || days == 0 {
		return 0, fmt.Errorf("%q is no number of days; write forever to keep everything", text)
	}
	return days, nil
}

type retentionPreviewCmd struct {
	ofOrg
	policyFlags
}

// Run says what the policy would do.
func (c *retentionPreviewCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	policy, err := c.policy(ctx, client, c.Org)
	if err != nil {
		return err
	}
	preview, err := client.PreviewRetention(ctx, c.Org, policy)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSONLine(p.stdout, preview)
	}
	return tellPreview(p.stdout, preview)
}

func tellPreview(w io.Writer, preview *audit.RetentionPreview) error {
	var rows [][]string
	for _, class := range preview.Classes {
		name := class.Pattern
		if name == "" {
			name = "every other action"
		}
		rows = append(rows, []string{
			name, keptFor(class.Days), strconv.FormatUint(class.Due, 10), strconv.FormatUint(class.Held, 10),
			momentOrNone(class.Oldest), momentOrNone(class.Newest),
		})
	}
	if err := table(w, []string{"ACTION", "KEPT", "GO", "HELD", "FROM", "TO"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d entries would go at once, %d more are held.\n", preview.Due, preview.Held)
	return err
}

func momentOrNone(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type retentionSetCmd struct {
	ofOrg
	policyFlags
	Confirm *uint64 `help:"How many entries may go at once: the number that stele retention preview says." placeholder:"N"`
}

// Run changes the policy. What would be lost and is not confirmed is shown, and
// nothing is changed.
func (c *retentionSetCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	policy, err := c.policy(ctx, client, c.Org)
	if err != nil {
		return err
	}
	set, err := client.SetRetention(ctx, c.Org, policy, c.Confirm)
	refused, ok := errors.AsType[*audit.Error](err)
	if ok && refused.Code == audit.CodeConflict && refused.Field == "/confirm" {
		preview, faulty := client.PreviewRetention(ctx, c.Org, policy)
		if faulty != nil {
			return err
		}
		if faulty := tellPreview(p.stderr, preview); faulty != nil {
			return faulty
		}
		return fmt.Errorf("nothing was changed; to let these entries go, add --confirm %d", preview.Due)
	}
	if err != nil {
		return err
	}
	return c.showPolicy(p, set)
}

type retentionCertificatesCmd struct {
	ofOrg
	ID     string `arg:"" optional:"" help:"Write this one, for stele verify." name:"certificate"`
	Output string `short:"o" help:"File to write; - is standard output." default:"-" placeholder:"FILE"`
}

// Run lists the certificates, or writes one.
func (c *retentionCertificatesCmd) Run(ctx context.Context, p *process) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.ID == "" {
		return show(p, &c.remote, client.Certificates(ctx, c.Org), []string{"ID", "SIGNED", "REMOVED", "HELD", "SEQ", "RECEIVED", "POLICY"},
			func(cert *audit.Certificate) []string {
				return []string{
					cert.ID, cert.CreatedAt.Format(time.RFC3339), strconv.FormatUint(cert.Removed, 10), strconv.FormatUint(cert.Held, 10),
					fmt.Sprintf("%d to %d", cert.FromSeq, cert.ToSeq-1),
					cert.Oldest.Format(time.DateOnly) + " to " + cert.Newest.Format(time.DateOnly), cert.Policy,
				}
			})
	}
	note, err := client.Certificate(ctx, c.Org, c.ID)
	if err != nil {
		return err
	}
	if c.Output == "-" {
		_, err = p.stdout.Write(note)
		return err
	}
	return saveWhole(c.Output, note)
}

// verifyCertificate checks a destruction certificate and says what it states.
func (c *verifyCmd) verifyCertificate(p *process, data []byte) error {
	if c.Vkey == "" {
		return &exitCodeError{exitUsage, errors.New("no verifier key: set --vkey or STELE_VKEY")}
	}
	v, err := c.verifier()
	if err != nil {
		return err
	}
	s, err := v.OpenCertificate(data)
	if err != nil {
		return unsound(err)
	}
	if c.JSON {
		return printJSONLine(p.stdout, s)
	}
	name := printable(s.Organization.Name)
	fmt.Fprintf(p.stdout, "This certificate is signed by the key of the log %s (%s), and was not altered.\n", s.Origin, name)
	fmt.Fprintf(p.stdout, "It states that %d entries were removed, with seq %d to %d, received from %s to %s.\n",
		s.Removed, s.FromSeq, s.ToSeq-1, momentOrNone(s.Oldest), momentOrNone(s.Newest))
	fmt.Fprintf(p.stdout, "Their bytes were gone at %s. They were past their time at %s, by the policy: %s.\n",
		momentOrNone(s.CreatedAt), momentOrNone(s.DueAt), printable(s.Policy))
	for _, rule := range s.Rules {
		class := "Entries"
		if rule.Entries != "" {
			class = "Entries of " + printable(rule.Entries)
		}
		fmt.Fprintf(p.stdout, "%s went that were received before %s.\n", class, momentOrNone(rule.ReceivedBefore))
	}
	if s.Held > 0 {
		fmt.Fprintf(p.stdout, "%d entries beside them were past their time too and stayed under legal holds.\n", s.Held)
	}
	_, err = fmt.Fprintln(p.stdout, "Not verified, since nobody can: that there is no copy elsewhere, such as in an export or a backup.")
	return err
}
