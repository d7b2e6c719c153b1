package sink

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTables holds every kind to what the rest of the program makes of its table,
// and to its page, which must name each setting.
func TestTables(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Standard().All() {
		if seen[k.Name] || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(k.Name) || k.Label == "" || k.Summary == "" || len(k.Steps) == 0 {
			t.Errorf("%s: names, label, summary or steps", k.Name)
		}
		seen[k.Name] = true
		page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "streams", k.Name+".md"))
		if err != nil {
			t.Error(err)
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
		for _, step := range k.Steps {
			for _, m := range regexp.MustCompile(`\{([a-z_]+)\}`).FindAllStringSubmatch(step, -1) {
				if !names[m[1]] {
					t.Errorf("%s: a step names %s, which is no setting", k.Name, m[1])
				}
			}
		}
	}
}
