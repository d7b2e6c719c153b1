package catalog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
)

// TestListAgainstModel walks random lists page by page, both ways, and compares
// with a plain slice. Ids sort unlike creation on purpose.
func TestListAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, _ := newCatalog()
		var model []*Organization
		for i := range rapid.IntRange(0, 12).Draw(rt, "organizations") {
			o := NewOrganization(rapid.SampledFrom([]string{"Acme", "acme labs", "Other"}).Draw(rt, "name"))
			o.ID = fmt.Sprintf("%c%d", 'z'-rune(i), i)
			if rapid.Bool().Draw(rt, "domain") {
				o.Domains = []Domain{{Domain: fmt.Sprintf("d%d.com", i)}}
			}
			model = append(model, mustCreate(t, c, o))
		}
		deleted := map[string]bool{}
		for _, o := range model {
			if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
				deleted[o.ID] = true
				if err := c.DeleteOrganization(t.Context(), o.ID); err != nil {
					rt.Fatal(err)
				}
			}
		}
		opts := ListOptions{
			Search:     rapid.SampledFrom([]string{"", "ACME", "labs", "none"}).Draw(rt, "search"),
			Descending: rapid.Bool().Draw(rt, "descending"),
			Limit:      rapid.IntRange(1, 5).Draw(rt, "limit"),
		}
		if rapid.Bool().Draw(rt, "by domain") {
			opts.Domains = []string{"D1.com", "d3.com", "d1.com", "d7.com", "not a domain"}
		}
		want := expected(model, deleted, &opts)
		checkWalks(rt, c, opts, want)
		checkFromAnywhere(rt, c, opts, model, want)
	})
}

func expected(model []*Organization, deleted map[string]bool, opts *ListOptions) []string {
	var want []string
	for _, o := range model {
		has := len(opts.Domains) == 0 || len(o.Domains) > 0 &&
			slices.Contains([]string{"d1.com", "d3.com", "d7.com"}, o.Domains[0].Domain)
		if has && !deleted[o.ID] && strings.Contains(strings.ToLower(o.Name), strings.ToLower(opts.Search)) {
			want = append(want, o.ID)
		}
	}
	if opts.Descending {
		slices.Reverse(want)
	}
	return want
}

// checkWalks goes to the end by After and back to the beginning by Before.
func checkWalks(t *rapid.T, c *Catalog, opts ListOptions, want []string) {
	var got []string
	var last OrganizationPage
	for {
		p, err := c.Organizations(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids(p)...)
		last = p
		if opts.After = p.After; p.After == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("forward: %s", diff)
	}
	back := ids(last)
	for last.Before != "" {
		opts.After, opts.Before = "", last.Before
		p, err := c.Organizations(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Organizations) == 0 || p.After == "" {
			t.Fatalf("before %s: %+v", opts.Before, p)
		}
		back = append(ids(p), back...)
		last = p
	}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Fatalf("backward: %s", diff)
	}
}

// checkFromAnywhere starts at each organization, also deleted and unlisted ones.
func checkFromAnywhere(t *rapid.T, c *Catalog, opts ListOptions, model []*Organization, want []string) {
	order := map[string]string{}
	for _, o := range model {
		order[o.ID] = o.Order
	}
	for _, o := range model {
		var rest []string
		for _, id := range want {
			if opts.Descending == (order[id] < o.Order) && id != o.ID {
				rest = append(rest, id)
			}
		}
		opts.After, opts.Before = o.ID, ""
		p, err := c.Organizations(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rest[:min(opts.Limit, len(rest))], ids(p)); diff != "" {
			t.Fatalf("after %s: %s", o.ID, diff)
		}
		if more := len(rest) > opts.Limit; more != (p.After != "") {
			t.Fatalf("after %s: After is %q, more is %v", o.ID, p.After, more)
		}
	}
}

func ids(p OrganizationPage) []string {
	var out []string
	for _, o := range p.Organizations {
		out = append(out, o.ID)
	}
	return out
}

func TestListRefuses(t *testing.T) {
	c, _ := newCatalog()
	_, err := c.Organizations(t.Context(), ListOptions{})
	wantError(t, err, audit.CodeInvalidRequest, "limit")
	_, err = c.Organizations(t.Context(), ListOptions{Limit: 1, After: "a", Before: "b"})
	wantError(t, err, audit.CodeInvalidRequest, "before")
	_, err = c.Organizations(t.Context(), ListOptions{Limit: 1, After: "nobody"})
	wantError(t, err, audit.CodeInvalidCursor, "after")
	_, err = c.Organizations(t.Context(), ListOptions{Limit: 1, Before: "no/body"})
	wantError(t, err, audit.CodeInvalidCursor, "before")
}

// TestListLongerThanOneRead makes All read several pages.
func TestListLongerThanOneRead(t *testing.T) {
	c, _ := newCatalog()
	const n = 2*listPage + 3
	for range n {
		mustCreate(t, c, NewOrganization("Acme"))
	}
	p, err := c.Organizations(t.Context(), ListOptions{Limit: n + 1})
	if err != nil || len(p.Organizations) != n || p.After != "" {
		t.Errorf("%d organizations, after %q, %v", len(p.Organizations), p.After, err)
	}
}
