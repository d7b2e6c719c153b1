package catalog

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/stelehq/stele/audit"
)

// Limits of an organization's fields. Those of metadata and of external ids are
// WorkOS's.
const (
	MaxIDBytes         = 64
	MaxNameBytes       = 256
	MaxExternalIDBytes = 128
	MaxDomains         = 100
	MaxDomainBytes     = 253 // a name in the DNS
	MaxMetadataKeys    = 50
	MaxMetadataKey     = 40  // characters
	MaxMetadataValue   = 600 // characters
)

func fieldError(field, format string, args ...any) *audit.Error {
	return audit.FieldErrorf(audit.CodeInvalidRequest, field, format, args...)
}

// validID says whether a text may be an id of an organization or key:
// [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
func validID(id string) bool {
	if id == "" || len(id) > MaxIDBytes {
		return false
	}
	for i := range len(id) {
		c := id[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// printable says whether a text is UTF-8 of at most limit bytes without control
// characters.
func printable(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkName(name string) error {
	if strings.TrimSpace(name) == "" {
		return fieldError("/name", "is required")
	}
	if !printable(name, MaxNameBytes) {
		return fieldError("/name", "must be at most %d bytes of UTF-8 without control characters", MaxNameBytes)
	}
	return nil
}

// checkOrganization brings an organization to its stored form and says what is
// wrong with it.
func checkOrganization(o *Organization) error {
	if !validID(o.ID) {
		return fieldError("/id", "must be 1 to %d letters, digits, '.', '_' and '-', beginning with a letter or digit", MaxIDBytes)
	}
	if err := checkName(o.Name); err != nil {
		return err
	}
	if !printable(o.ExternalID, MaxExternalIDBytes) {
		return fieldError("/external_id", "must be at most %d bytes of UTF-8 without control characters", MaxExternalIDBytes)
	}
	switch o.State {
	case StateActive, StateInactive, StateDisabled:
	default:
		return fieldError("/state", "must be %q, %q or %q", StateActive, StateInactive, StateDisabled)
	}
	if err := checkHistory(o); err != nil {
		return err
	}
	if err := checkDomains(o); err != nil {
		return err
	}
	return checkMetadata(o.Metadata)
}

func checkHistory(o *Organization) error {
	if err := CheckRetentionDays("/retention_days", o.RetentionDays); err != nil {
		return err
	}
	var err error
	if o.RetentionActions, err = CheckRetentionActions("/retention_actions", o.RetentionActions); err != nil {
		return err
	}
	if o.HistoryStart.Before(audit.MinTime) || o.HistoryStart.After(audit.MaxTime) {
		return fieldError("/history_start", "must be a time from %d to %d", audit.MinTime.Year(), audit.MaxTime.Year())
	}
	o.HistoryStart = o.HistoryStart.UTC()
	return nil
}

func checkDomains(o *Organization) error {
	if len(o.Domains) > MaxDomains {
		return fieldError("/domains", "must be at most %d", MaxDomains)
	}
	for i := range o.Domains {
		d := &o.Domains[i]
		d.Domain = strings.ToLower(strings.TrimSuffix(d.Domain, "."))
		if !validDomain(d.Domain) {
			return fieldError(domainField(i), "%q is not a domain name", short(d.Domain))
		}
		if slices.ContainsFunc(o.Domains[:i], func(other Domain) bool { return other.Domain == d.Domain }) {
			return fieldError(domainField(i), "%q is given twice", d.Domain)
		}
		if d.State == "" {
			d.State = DomainPending
		}
		if d.State != DomainPending && d.State != DomainVerified {
			return fieldError(domainField(i), "state must be %q or %q", DomainPending, DomainVerified)
		}
	}
	return nil
}

// validDomain says whether a text is a DNS name in lower case: labels of
// letters, digits, '-' and '_', two at least.
func validDomain(domain string) bool {
	if len(domain) > MaxDomainBytes || !strings.Contains(domain, ".") {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func checkMetadata(metadata map[string]string) error {
	if len(metadata) > MaxMetadataKeys {
		return fieldError("/metadata", "must have at most %d keys", MaxMetadataKeys)
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		value := metadata[key]
		if key == "" || utf8.RuneCountInString(key) > MaxMetadataKey || !printable(key, len(key)) {
			return fieldError("/metadata", "key %q must be 1 to %d characters", short(key), MaxMetadataKey)
		}
		if utf8.RuneCountInString(value) > MaxMetadataValue || !utf8.ValidString(value) {
			return fieldError("/metadata/"+pointerEscape(key), "must be text of at most %d characters", MaxMetadataValue)
		}
	}
	return nil
}

// pointerEscape makes a key a step of a JSON pointer (RFC 6901).
func pointerEscape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
