package schema_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/schema"
)

// TestDocumentedExamples reads the examples of docs/schemas.md.
func TestDocumentedExamples(t *testing.T) {
	text, err := os.ReadFile("../../docs/schemas.md")
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	for _, part := range strings.Split(string(text), "```json\n")[1:] {
		example, _, _ := strings.Cut(part, "```")
		examples = append(examples, example)
	}
	if len(examples) != 4 {
		t.Fatalf("%d examples, want a schema, two catalogues and an error", len(examples))
	}
	s, err := schema.ParseSchema([]byte(examples[0]))
	if err != nil {
		t.Errorf("the schema: %v", err)
	}
	for i, schemas := range []int{3, 2} {
		c, err := schema.ParseCatalogue([]byte(examples[i+1]))
		if err != nil || len(c.Schemas) != schemas {
			t.Errorf("catalogue %d: %v", i+1, err)
		}
	}
	for _, format := range schema.Formats() {
		if !strings.Contains(string(text), "`"+format+"`") {
			t.Errorf("format %s is not documented", format)
		}
	}

	s.Version = 0
	first := flat("api_key.created", 0)
	r := registered(t, first, s)
	ev := schema.Example(must(r.Get("api_key.created", 2)), clock())
	ev.Metadata["outcome"] = "perhaps"
	want := decodeJSON(t, examples[3])
	if got := decodeJSON(t, encodeJSON(t, r.Check(toEvent(t, ev)))); encodeJSON(t, got) != encodeJSON(t, want) {
		t.Errorf("the error is %s", encodeJSON(t, got))
	}
}
