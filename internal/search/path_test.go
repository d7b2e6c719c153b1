package search_test

import (
	"slices"
	"testing"

	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/search"
)

// TestPath looks at an object whole and member by member.
func TestPath(t *testing.T) {
	object := []byte(`{"":"none","a":{"b":["two",2,{"c":"deep"}]},"a.b":"one","a\\":"back","a\nb":{"x":true},"ab":"other"}`)
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"a.b", []string{"two", "2", "one"}},
		{"a.b.c", []string{"deep"}},
		{`a\`, []string{"back"}},
		{"a\nb.x", []string{"true"}},
		{`a\nb.x`, nil},
		{`a\\`, nil},
		{"ab", []string{"other"}},
		{"a", nil},
		{".x", nil},
		{"abc", nil},
	} {
		path := search.Path(tt.path)
		var whole, members []string
		path.Each(object, func(text []byte) { whole = append(whole, string(text)) })
		event.EachMember(object, func(name, value []byte) bool {
			n := len(members)
			path.EachOf(name, value, func(text []byte) { members = append(members, string(text)) })
			if len(members) > n && !path.Leads(name) {
				t.Errorf("%q: does not lead into %q", tt.path, name)
			}
			return true
		})
		if !slices.Equal(whole, tt.want) || !slices.Equal(members, tt.want) {
			t.Errorf("%q: %q, member by member %q; want %q", tt.path, whole, members, tt.want)
		}
		for _, v := range []string{"two", "2", "one", "deep", "back", "true", "other", "none", ""} {
			want := slices.Contains(tt.want, v)
			filter := search.NewPathFilter(tt.path, []string{v})
			found := false
			event.EachMember(object, func(name, value []byte) bool {
				found = found || filter.Member(name, value)
				return true
			})
			if filter.Object(object) != want || found != want {
				t.Errorf("%q:%q: in the object %v, in a member %v", tt.path, v, filter.Object(object), found)
			}
		}
	}
	if search.Path("abc").Leads([]byte("ab")) || search.Path("ab").Leads([]byte("abc")) || search.Path("ab").Leads([]byte("b")) {
		t.Error("leads into other names")
	}
}
