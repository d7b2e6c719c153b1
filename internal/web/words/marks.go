package words

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/stelehq/stele/audit"
)

// Tone says how loud a mark is. It is never all that a mark says: each has text
// and an icon.
type Tone string

// The tones, from loud to quiet.
const (
	ToneDanger Tone = "danger"
	ToneWarn   Tone = "warn"
	ToneNote   Tone = "note"
)

// Mark is what makes an entry easy to spot in a list.
type Mark struct {
	// Name is what the mark is, such as "denied".
	Name string
	// Text is what people read.
	Text string
	// Icon is the name of its icon.
	Icon string
	Tone Tone
}

// Marks says what is remarkable about an event: that it failed or was refused,
// that it made a key or a secret, changed what somebody may do, deleted
// something. What did not happen is not marked as if it had.
func Marks(e *audit.Event) []Mark {
	var out []Mark
	a := actionOf(e.Action)
	if m, ok := outcome(e, a); ok {
		out = append(out, m)
	} else {
		out = append(out, a.marks(e)...)
	}
	if hides(e) {
		out = append(out, Mark{"hidden", "Hidden characters", "eye-off", ToneWarn})
	}
	return out
}

// act is an action taken apart for marks.
type act struct {
	words []string // all of it
	thing []string // what is acted on
	verb  string   // past form, "" when it has none
}

func actionOf(action string) act {
	var a act
	for _, s := range segments(action) {
		a.words = append(a.words, tokens(s)...)
	}
	c := read(action)
	a.thing = c.noun
	if len(c.object) > 0 {
		a.thing = c.object
	}
	a.verb, _, _ = strings.Cut(c.before, " ")
	if c.verb != "" {
		a.verb = c.verb
	}
	if c.itself {
		a.verb = c.after
	}
	return a
}

func (a act) last() string {
	if len(a.thing) == 0 {
		return ""
	}
	return a.thing[len(a.thing)-1]
}

// about says that what is acted on has one of the words.
func (a act) about(words map[string]bool) bool {
	return slices.ContainsFunc(a.thing, func(w string) bool { return words[w] })
}

// is says that the verb is one of a list.
func (a act) is(verbs string) bool { return slices.Contains(strings.Fields(verbs), a.verb) }

var (
	secretWords = verbSet("key keys token tokens secret secrets credential credentials password passwords passkey passkeys certificate pat") //nolint:gochecknoglobals // a table that is only read
	// plainKeys are words before "key" that make it no secret.
	plainKeys     = verbSet("foreign primary sort partition idempotency hot cache translation")                                    //nolint:gochecknoglobals // a table that is only read
	accessWords   = verbSet("permission permissions privilege privileges membership memberships access entitlement entitlements")  //nolint:gochecknoglobals // a table that is only read
	roleWords     = verbSet("role roles admin admins owner owners")                                                                //nolint:gochecknoglobals // a table that is only read
	securityWords = verbSet("sso saml oidc scim mfa 2fa totp allowlist denylist firewall idp ldap passwordless otp ipallowlist")   //nolint:gochecknoglobals // a table that is only read
	roleOf        = verbSet("user base custom rbac iam team org organization organisation member access security project account") //nolint:gochecknoglobals // a table that is only read
	roleOfMore    = verbSet("workspace group service admin owner api tenant company")                                              //nolint:gochecknoglobals // a table that is only read
)

// marks are those of what was done.
func (a act) marks(e *audit.Event) []Mark {
	var out []Mark
	if m, ok := a.secret(); ok {
		out = append(out, m)
	}
	if m, ok := a.access(e); ok {
		out = append(out, m)
	}
	if a.is("impersonated") {
		out = append(out, Mark{"impersonation", "Impersonation", "users", ToneWarn})
	}
	if a.about(securityWords) && a.is("updated changed disabled enabled deleted removed created deactivated activated required configured set") {
		out = append(out, Mark{"security", "Security setting", "shield", ToneWarn})
	}
	if m, ok := a.keeping(); ok {
		out = append(out, m)
	}
	if a.is("deleted destroyed purged erased scrubbed wiped dropped") {
		out = append(out, Mark{"deleted", "Deletion", "trash", ToneNote})
	}
	return out
}

// secret marks a new or changed secret, or one that somebody has seen.
func (a act) secret() (Mark, bool) {
	last := a.last()
	if !secretWords[last] || len(a.thing) > 1 && plainKeys[a.thing[len(a.thing)-2]] {
		return Mark{}, false
	}
	what := strings.TrimSuffix(last, "s")
	switch {
	case a.is("created generated issued added minted registered"):
		return Mark{"secret", "New " + what, "key", ToneWarn}, true
	case a.is("rotated regenerated reset changed rolled renewed"):
		return Mark{"secret", Title(what) + " " + a.verb, "key", ToneWarn}, true
	case a.is("revealed viewed exported downloaded copied decrypted"):
		return Mark{"secret", Title(what) + " " + a.verb, "key", ToneWarn}, true
	}
	return Mark{}, false
}

// access marks a change of what somebody may do.
func (a act) access(e *audit.Event) (Mark, bool) {
	switch {
	case a.is("promoted demoted elevated escalated") && len(a.thing) > 0 && people[a.last()]:
		return Mark{"access", "Role change", "shield", ToneWarn}, true
	case a.roles() && a.is("granted revoked assigned unassigned added removed created updated deleted changed set upgraded"):
		return Mark{"access", "Role change", "shield", ToneWarn}, true
	case a.about(accessWords) && a.is("granted added gave upgraded elevated"):
		return Mark{"access", "Access granted", "unlock", ToneWarn}, true
	case a.about(accessWords) && a.is("revoked removed took withdrew"):
		return Mark{"access", "Access revoked", "lock", ToneNote}, true
	case a.about(accessWords) && a.is("created updated deleted changed set assigned unassigned"):
		return Mark{"access", "Permission change", "shield", ToneWarn}, true
	case a.is("updated changed set") && rolesChanged(e):
		return Mark{"access", "Role change", "shield", ToneWarn}, true
	}
	return Mark{}, false
}

// keeping marks what decides how long a log is kept.
func (a act) keeping() (Mark, bool) {
	log := slices.Contains(a.words, "log") || slices.Contains(a.words, "legal") || slices.Contains(a.words, "litigation")
	switch {
	case log && (a.last() == "hold" || a.last() == "holds") && a.is("created placed changed updated lifted released removed ended expired deleted"):
		return Mark{"hold", "Legal hold", "lock", ToneWarn}, true
	case a.last() == "retention" && a.is("changed updated set applied shortened extended disabled"):
		return Mark{"retention", "Retention", "calendar", ToneWarn}, true
	}
	return Mark{}, false
}

// roles says that the action is about a role that lets people do things: an
// incident role, say, does not.
func (a act) roles() bool {
	for i, w := range a.thing {
		if roleWords[w] && (i == 0 || roleOf[a.thing[i-1]] || roleOfMore[a.thing[i-1]]) {
			return true
		}
	}
	return false
}

// rolesChanged says that metadata has a role before and another after.
func rolesChanged(e *audit.Event) bool {
	for _, c := range Changes(e.Metadata).Pairs {
		if slices.ContainsFunc(tokens(c.Field), func(w string) bool { return roleWords[w] || accessWords[w] }) {
			return true
		}
	}
	return false
}

// verdict is how something ended, as far as metadata says.
type verdict int

const (
	unsaid verdict = iota
	went
	failed
	denied
)

// outcome marks what failed or was refused.
func outcome(e *audit.Event, a act) (Mark, bool) {
	v := a.verdict()
	for _, key := range sortedKeys(e.Metadata) {
		v = max(v, verdictOf(tokens(key), e.Metadata[key]))
	}
	door := isDoor(a.words)
	switch {
	case v == denied && door || v == failed && door:
		return Mark{"sign-in-failed", "Sign-in failed", "x-circle", ToneDanger}, true
	case v == denied:
		return Mark{"denied", "Denied", "ban", ToneDanger}, true
	case v == failed:
		return Mark{"failed", "Failed", "x-circle", ToneDanger}, true
	}
	return Mark{}, false
}

// verdict is what the action alone says.
func (a act) verdict() verdict {
	n := len(a.words)
	switch {
	case n == 0:
		return unsaid
	case a.words[n-1] == "failed" || a.words[n-1] == "failure" || n > 1 && a.words[0] == "failed":
		return failed
	case passive[a.words[n-1]] && n > 1 && gates[a.words[n-2]]:
		return denied
	}
	return unsaid
}

func isDoor(words []string) bool {
	for i, w := range words {
		switch w {
		case "login", "logon", "signin", "authentication", "authenticate", "mfa":
			return true
		case "sign", "signed", "log", "logged":
			if i+1 < len(words) && (words[i+1] == "in" || words[i+1] == "on") {
				return true
			}
		}
	}
	return false
}

// verdictOf reads one member of metadata.
func verdictOf(key []string, value any) verdict {
	if len(key) == 0 {
		return unsaid
	}
	text := strings.ToLower(strings.TrimSpace(scalar(value)))
	switch name := strings.Join(key, " "); name {
	case "outcome", "status", "result", "decision", "verdict", "auth result", "login result":
		return verdictWord(text)
	case "success", "successful", "succeeded", "is success", "ok":
		return ifFalse(text, failed)
	case "allowed", "granted", "permitted", "authorized", "authorised", "access granted":
		return ifFalse(text, denied)
	case "denied", "blocked", "forbidden":
		if text == "true" || text == "yes" || text == "1" {
			return denied
		}
	case "failed", "failure":
		if text != "" && ifFalse(text, failed) == unsaid && text != "none" && text != "null" {
			return failed
		}
	case "error", "error code", "error message", "failure reason", "failure code", "exception":
		if present(value, text) {
			return failed
		}
	case "response status", "status code", "http status", "response code", "http status code":
		return verdictCode(text)
	}
	return unsaid
}

func verdictWord(text string) verdict {
	switch strings.NewReplacer("_", " ", "-", " ").Replace(text) {
	case "denied", "deny", "refused", "forbidden", "blocked", "rejected", "unauthorized", "unauthorised", "not allowed", "access denied", "permission denied":
		return denied
	case "failed", "failure", "fail", "error", "errored", "unsuccessful", "timeout", "timed out", "aborted", "invalid":
		return failed
	case "":
		return unsaid
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 400 {
		return verdictCode(text)
	}
	return went
}

func verdictCode(text string) verdict {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 400 || n > 599:
		return unsaid
	case n == 401 || n == 403:
		return denied
	}
	return failed
}

func ifFalse(text string, v verdict) verdict {
	switch text {
	case "false", "no", "0":
		return v
	}
	return unsaid
}

// present says that a member that names an error has one.
func present(value any, text string) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	switch text {
	case "", "none", "null", "0", "false", "no", "ok", "nil", "n/a":
		return false
	}
	return true
}

// scalar is a string, number or boolean as text, "" for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool, float64, int:
		return fmt.Sprint(v)
	}
	return ""
}

// hides says that names or ids hold characters that change how text is read
// without being seen.
func hides(e *audit.Event) bool {
	if Hides(e.Action) || Hides(e.Actor.Name) || Hides(e.Actor.ID) || Hides(e.Context.Location) {
		return true
	}
	return slices.ContainsFunc(e.Targets, func(t audit.Target) bool { return Hides(t.Name) || Hides(t.ID) })
}

// Hides says that a text holds characters that turn its direction or cannot be
// seen. Joiners, which some scripts and emoji need, do not count.
func Hides(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		switch {
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200b, r == 0x2060, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
			return true
		}
		return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r'
	})
}
