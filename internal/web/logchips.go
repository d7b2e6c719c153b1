package web

import (
	"strings"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/search"
	"github.com/stelehq/stele/internal/web/logview"
	"github.com/stelehq/stele/internal/web/words"
)

// maxChipText is how much of a value a chip shows, in runes.
const maxChipText = 60

// logChip is a condition with what is needed to change it.
type logChip struct {
	logview.Chip
	// Shown are the values as people know them.
	Shown []string
	// FieldName is the field as the language has it.
	FieldName string
	// Remove is the view without the chip.
	Remove string
	// Index tells the chips of a page apart.
	Index int
	Path  string
	// Hidden are the fields of the form that changes it.
	Hidden []logview.Param
}

// Adds reports whether another value may be added: texts are chips of their own,
// since all of them must be there.
func (c logChip) Adds() bool { return c.Field != audit.FieldText }

// Bound is the name of a bound of time.
func (c logChip) Bound() string {
	name, _, _ := strings.Cut(c.Terms, ":")
	return name
}

// idNames are names of actors and targets by id, as far as they are known.
type idNames map[audit.Field]map[string]string

func (n idNames) add(f audit.Field, id, name string) {
	if name == "" {
		return
	}
	if n[f] == nil {
		n[f] = map[string]string{}
	}
	if n[f][id] == "" {
		n[f][id] = name
	}
}

// namesOf collects the names that a page has anyway, the newest first.
func namesOf(found *search.Page, menus []logMenu) idNames {
	names := idNames{}
	for _, e := range found.Entries {
		names.add(audit.FieldActorID, string(e.Actor.ID), string(e.Actor.Name))
		for i := range e.Targets {
			names.add(audit.FieldTargetID, string(e.Targets[i].ID), string(e.Targets[i].Name))
		}
	}
	for _, m := range menus {
		for _, o := range m.Options {
			if o.Note != "" {
				names.add(m.Field, o.Value, o.Text)
			}
		}
	}
	return names
}

// chipsOf are the chips of a view.
func chipsOf(v logview.View, names idNames) []logChip {
	var out []logChip
	hidden := v.Hidden()
	for i, c := range v.Chips() {
		chip := logChip{Chip: c, FieldName: string(c.Field), Remove: c.Without.URL(), Index: i, Path: v.Path, Hidden: hidden}
		for _, value := range c.Values {
			shown := value
			if name := names[c.Field][value]; name != "" {
				shown = name
			}
			chip.Shown = append(chip.Shown, words.Shorten(shown, maxChipText))
		}
		out = append(out, chip)
	}
	return out
}
