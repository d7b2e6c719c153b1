package catalog

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/stelehq/stele/audit"
)

// ListOptions says which organizations are wanted. All conditions must hold.
type ListOptions struct {
	// Search is part of the name, ignoring case.
	Search string
	// Domains admits organizations that have one of them.
	Domains []string
	// After and Before are ids of organizations: the page begins after, or
	// ends before, that one in the order asked for. At most one is given.
	After, Before string
	// Limit is the largest number returned, from 1.
	Limit int
	// Descending is newest first.
	Descending bool
}

// OrganizationPage is a part of the list of organizations.
type OrganizationPage struct {
	Organizations []*Organization // shared, not to be changed
	// Before and After are what to ask for the page before and after this
	// one; "" when there is none.
	Before, After string
}

// Organizations lists organizations by their creation. Errors for the caller:
// invalid_request for the options, invalid_cursor for an unknown Before or
// After.
func (c *Catalog) Organizations(ctx context.Context, opts ListOptions) (OrganizationPage, error) {
	if opts.Limit < 1 {
		return OrganizationPage{}, fieldError("limit", "must be at least 1")
	}
	if opts.After != "" && opts.Before != "" {
		return OrganizationPage{}, fieldError("before", "cannot be given together with after")
	}
	// The page before is read away from its end, then turned around.
	cursor, field, descending := opts.After, "after", opts.Descending
	if opts.Before != "" {
		cursor, field, descending = opts.Before, "before", !descending
	}
	start := ""
	if cursor != "" {
		order, err := c.orderOf(ctx, cursor, field)
		if err != nil {
			return OrganizationPage{}, err
		}
		start = order
	}
	found, more, err := c.collect(ctx, opts, start, descending)
	if err != nil {
		return OrganizationPage{}, err
	}
	if opts.Before != "" {
		slices.Reverse(found)
	}
	return page(found, more, &opts), nil
}

// page says what lies on both sides: on the side read from, the cursor itself.
func page(found []*Organization, more bool, opts *ListOptions) OrganizationPage {
	p := OrganizationPage{Organizations: found}
	if len(found) == 0 {
		return p
	}
	first, last := found[0].ID, found[len(found)-1].ID
	if more && opts.Before != "" || opts.After != "" {
		p.Before = first
	}
	if more && opts.Before == "" || opts.Before != "" {
		p.After = last
	}
	return p
}

// collect reads matching organizations beyond start, and whether there are more.
func (c *Catalog) collect(ctx context.Context, opts ListOptions, start string, descending bool) (found []*Organization, more bool, err error) {
	search := strings.ToLower(opts.Search)
	candidates := c.inOrder(ctx, start, descending)
	if len(opts.Domains) > 0 {
		candidates = c.withDomain(ctx, opts.Domains, start, descending)
	}
	for o, err := range candidates {
		if err != nil {
			return nil, false, err
		}
		if !strings.Contains(strings.ToLower(o.Name), search) {
			continue
		}
		if len(found) == opts.Limit {
			return found, true, nil
		}
		found = append(found, o)
	}
	return found, false, nil
}

// inOrder walks all organizations beyond the one of order start.
func (c *Catalog) inOrder(ctx context.Context, start string, descending bool) iter.Seq2[*Organization, error] {
	prefix := prefixOrderAsc
	if descending {
		prefix, start = prefixOrderDesc, invert(start)
	}
	after := ""
	if start != "" {
		after = prefix + start
	}
	return func(yield func(*Organization, error) bool) {
		for r, err := range All[ref](ctx, c.kv, prefix, after) {
			var o *Organization
			if err == nil {
				o, err = c.Organization(ctx, r.Value.ID)
			}
			if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
				continue // deleted since the index was read
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// withDomain walks the organizations beyond start that have one of the domains.
func (c *Catalog) withDomain(ctx context.Context, domains []string, start string, descending bool) iter.Seq2[*Organization, error] {
	return func(yield func(*Organization, error) bool) {
		found, err := c.byDomains(ctx, domains)
		if err != nil {
			yield(nil, err)
			return
		}
		slices.SortFunc(found, func(a, b *Organization) int {
			if descending {
				a, b = b, a
			}
			return cmp.Compare(a.Order, b.Order)
		})
		for _, o := range found {
			beyond := start == "" || descending && o.Order < start || !descending && o.Order > start
			if beyond && !yield(o, nil) {
				return
			}
		}
	}
}

// byDomains returns each organization that has one of the domains, once.
func (c *Catalog) byDomains(ctx context.Context, domains []string) ([]*Organization, error) {
	if len(domains) > MaxDomains {
		return nil, fieldError("domains", "must be at most %d", MaxDomains)
	}
	var found []*Organization
	for _, domain := range domains {
		o, err := c.byDomain(ctx, strings.ToLower(strings.TrimSuffix(domain, ".")))
		if err != nil {
			return nil, err
		}
		if o != nil && !slices.ContainsFunc(found, func(f *Organization) bool { return f.ID == o.ID }) {
			found = append(found, o)
		}
	}
	return found, nil
}

// byDomain returns the organization that has a domain; nil when none has.
func (c *Catalog) byDomain(ctx context.Context, domain string) (*Organization, error) {
	if !validDomain(domain) {
		return nil, nil
	}
	r, err := c.resolve(ctx, prefixDomain+domain)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o, err := c.Organization(ctx, r.Value.ID)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return nil, nil
	}
	return o, err
}
