package sink

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/stream/format"
)

// TestTables holds every kind to what the rest of the program makes of its table,
// and to its page, which must name each setting.
func TestTables(t *testing.T) {
	formats, err := format.All()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range Standard().All() {
		if seen[k.Name] || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(k.Name) || k.Label == "" || k.Summary == "" || len(k.Steps) == 0 || len(k.Limits) == 0 || !strings.HasPrefix(k.Docs, "https://") {
			t.Errorf("%s: name, label, summary, steps, limits or URL of the documentation", k.Name)
		}
		seen[k.Name] = true
		page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "streams", k.Name+".md"))
		if err != nil {
			t.Error(err)
		}
		for _, name := range k.Formats {
			if f, ok := formats.Get(name, 0); !ok || !f.Info().JSON {
				t.Errorf("%s: there is no format %s of JSON", k.Name, name)
			}
		}
		names := map[string]bool{}
		for _, s := range k.Settings {
			if names[s.Name] || s.Label == "" || s.Help == "" || s.Secret && s.Default != "" || s.Required && s.Default != "" {
				t.Errorf("%s: setting %s", k.Name, s.Name)
			}
			names[s.Name] = true
			if s.Default != "" && s.check(s.Default) != nil {
				t.Errorf("%s: default of %s: %v", k.Name, s.Name, s.check(s.Default))
			}
			if s.Example != "" && s.Check != nil && !s.Multiline && s.check(s.Example) != nil {
				t.Errorf("%s: example of %s: %v", k.Name, s.Name, s.check(s.Example))
			}
			if !strings.Contains(string(page), "`"+s.Name+"`") {
				t.Errorf("docs/streams/%s.md does not name the setting %s", k.Name, s.Name)
			}
		}
		filled := map[string]bool{}
		for _, step := range k.Steps {
			for _, m := range placeholder.FindAllStringSubmatch(step.Text+step.Paste, -1) {
				if s, ok := k.Setting(m[1]); !ok || s.Secret {
					t.Errorf("%s: a step names %s, which is no setting to show", k.Name, m[1])
				}
			}
			for _, name := range step.Fills {
				filled[name] = true
				if !names[name] {
					t.Errorf("%s: a step fills %s, which is no setting", k.Name, name)
				}
			}
		}
		for _, s := range k.Settings {
			if s.Required && !filled[s.Name] {
				t.Errorf("%s: no step says where %s comes from", k.Name, s.Name)
			}
			if s.Generate == nil {
				continue
			}
			if first, second := s.Generate(), s.Generate(); s.check(first) != nil || first == second {
				t.Errorf("%s: %s is generated wrong, or always the same", k.Name, s.Name)
			}
		}
	}
}
