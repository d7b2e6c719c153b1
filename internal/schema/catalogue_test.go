package schema_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/schema"
)

func TestCatalogueErrors(t *testing.T) {
	schemas := func(s string) string { return `{"format":1,"schemas":[` + s + `]}` }
	prop := func(p string) string {
		return schemas(`{"action":"a.b","version":1,"targets":[],"metadata":{"type":"object","properties":{"x":` + p + `}}}`)
	}
	const x = "/schemas/0/metadata/properties/x"
	tests := []struct {
		name, file string
		code       audit.Code
		field, msg string
	}{
		{"not JSON", `{"format":1`, audit.CodeInvalidJSON, "", "unexpected EOF"},
		{"something after", `{} {}`, audit.CodeInvalidJSON, "", "after top-level value"},
		{"a key twice", `{"format":1,"format":1}`, audit.CodeInvalidJSON, "/format", "twice"},
		{"no format", `{"schemas":[]}`, audit.CodeInvalidRequest, "/format", "missing"},
		{"later format", `{"format":2,"laws":{}}`, audit.CodeInvalidRequest, "/format", "not known to this version"},
		{"no schemas", `{"format":1}`, audit.CodeInvalidRequest, "/schemas", "no schemas"},
		{"unknown key", `{"format":1,"schemes":[]}`, audit.CodeUnknownField, "/schemes", `no "schemes"`},
		{"unknown key in a schema", schemas(`{"action":"a.b","verson":1}`), audit.CodeUnknownField, "/schemas/0/verson", `no "verson"`},
		{"unknown key in a property", prop(`{"type":"string","minLength":1}`), audit.CodeUnknownField, x + "/minLength", `no "minLength"`},
		{"wrong kind", schemas(`{"action":7}`), audit.CodeInvalidRequest, "/schemas/0/action", "only a string"},
		{"fraction of a version", schemas(`{"action":"a","version":1.5}`), audit.CodeInvalidRequest, "/schemas/0/version", "whole number"},
		{"no action", schemas(`{"version":1}`), audit.CodeInvalidRequest, "/schemas/0/action", "empty"},
		{"long action", schemas(`{"action":"` + strings.Repeat("a", 201) + `"}`), audit.CodeInvalidRequest, "/schemas/0/action", "200"},
		{"NUL", schemas(`{"action":"a\u0000"}`), audit.CodeInvalidRequest, "/schemas/0/action", "NUL"},
		{"no version", schemas(`{"action":"a.b"}`), audit.CodeInvalidRequest, "/schemas/0/version", "missing"},
		{"version 65536", schemas(`{"action":"a.b","version":65536}`), audit.CodeInvalidRequest, "/schemas/0/version", "65535"},
		{"version twice", schemas(`{"action":"a.b","version":1},{"action":"a.b","version":1}`), audit.CodeInvalidRequest, "/schemas/1", "twice"},
		{"empty target type", schemas(`{"action":"a.b","version":1,"targets":[{"type":""}]}`), audit.CodeInvalidRequest, "/schemas/0/targets/0/type", "empty"},
		{"two meanings of a target", schemas(`{"action":"a.b","version":1,"targets":[{"type":"x"},{"type":"x","metadata":{"type":"object"}}]}`), audit.CodeInvalidRequest, "/schemas/0/targets/1", "twice"},
		{"metadata is no object", schemas(`{"action":"a.b","version":1,"metadata":{"type":"array"}}`), audit.CodeInvalidRequest, "/schemas/0/metadata/type", "object"},
		{"property null", prop(`null`), audit.CodeInvalidRequest, x, "type"},
		{"no type", prop(`{}`), audit.CodeInvalidRequest, x + "/type", "missing"},
		{"unknown type", prop(`{"type":"date"}`), audit.CodeInvalidRequest, x + "/type", "no type"},
		{"unknown format", prop(`{"type":"string","format":"zip"}`), audit.CodeInvalidRequest, x + "/format", "no format"},
		{"format of a number", prop(`{"type":"number","format":"date"}`), audit.CodeInvalidRequest, x + "/format", "only strings"},
		{"enum of another type", prop(`{"type":"string","enum":["a",1]}`), audit.CodeInvalidRequest, x + "/enum/1", "not a string"},
		{"enum with a fraction", prop(`{"type":"integer","enum":[1.5]}`), audit.CodeInvalidRequest, x + "/enum/0", "not a integer"},
		{"enum without values", prop(`{"type":"string","enum":[]}`), audit.CodeInvalidRequest, x + "/enum", "at least one"},
		{"enum value twice", prop(`{"type":"number","enum":[1,1.0]}`), audit.CodeInvalidRequest, x + "/enum/1", "twice"},
		{"enum of arrays", prop(`{"type":"array","enum":[[]]}`), audit.CodeInvalidRequest, x + "/enum", "only strings, numbers and booleans"},
		{"number too large to be sure", prop(`{"type":"integer","enum":[9007199254740993]}`), audit.CodeInvalidRequest, x + "/enum/0", "2^53"},
		{"items of a string", prop(`{"type":"string","items":{"type":"string"}}`), audit.CodeInvalidRequest, x + "/items", "only arrays"},
		{"properties of a string", prop(`{"type":"string","properties":{"y":{"type":"string"}}}`), audit.CodeInvalidRequest, x + "/properties", "only objects"},
		{"required but unknown", prop(`{"type":"object","required":["y"]}`), audit.CodeInvalidRequest, x + "/required/0", "not among"},
		{"required twice", prop(`{"type":"object","properties":{"y":{"type":"string"}},"required":["y","y"]}`), audit.CodeInvalidRequest, x + "/required/1", "twice"},
		{"too deep", prop(`{"type":"array","items":{"type":"array","items":{"type":"array","items":{"type":"array"}}}}`), audit.CodeInvalidRequest, x + "/items/items/items", "4 deep"},
		{"long description", prop(`{"type":"string","description":"` + strings.Repeat("d", 5000) + `"}`), audit.CodeInvalidRequest, x + "/description", "4096"},
		{"target not listed", `{"target_types":["user"],"entries":[{"action":"a.b","version":1,"targets":["usr"]}]}`, audit.CodeInvalidRequest, "/entries/0/targets/0", "not among"},
		{"unknown key of an entry", `{"entries":[{"action":"a.b","version":1,"target":["usr"]}]}`, audit.CodeUnknownField, "/entries/0/target", `no "target"`},
		{"bad field of an entry", `{"entries":[{"action":"a.b","version":1,"metadata":{"x":{"type":"text"}}}]}`, audit.CodeInvalidRequest, "/entries/0/metadata/properties/x/type", "no type"},
		{"entry twice", `{"entries":[{"action":"a.b","version":1},{"action":"a.b","version":1}]}`, audit.CodeInvalidRequest, "/entries/1", "twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := schema.ParseCatalogue([]byte(tt.file))
			var e *audit.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v is not for callers", err)
			}
			if e.Code != tt.code || e.Field != tt.field || !strings.Contains(e.Message, tt.msg) {
				t.Errorf("error %s at %q: %s; want %s at %q: …%s…", e.Code, e.Field, e.Message, tt.code, tt.field, tt.msg)
			}
		})
	}
}

func TestCatalogueErrorNamesTheLine(t *testing.T) {
	_, err := schema.ParseCatalogue([]byte("{\"format\": 1,\n \"schemas\": [\n  {\"action\": 7}\n]}"))
	var e *audit.Error
	if !errors.As(err, &e) || e.Line != 3 {
		t.Errorf("error %v, want line 3", err)
	}
}

func TestSharedActor(t *testing.T) {
	c, err := schema.ParseCatalogue([]byte(`{"format":1,"actor":{"metadata":{"type":"object","properties":{"role":{"type":"string"}}}},
		"schemas":[{"action":"a.b","version":1,"targets":[],"created_at":"2026-01-01T00:00:00Z"},{"action":"a.c","version":1,"targets":[],"actor":{}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Schemas[0].Actor; a == nil || a.Metadata.Properties["role"] == nil {
		t.Errorf("a schema without an actor has %+v, want that of the file", a)
	}
	if a := c.Schemas[1].Actor; a == nil || a.Metadata != nil {
		t.Errorf("a schema with its own actor has %+v", a)
	}
	if at := c.Schemas[0].CreatedAt; !at.IsZero() {
		t.Errorf("created_at %v was taken from the file", at)
	}
}

func TestFormatReadsBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &schema.Catalogue{Description: rapid.SampledFrom(texts).Draw(rt, "description")}
		for _, name := range []string{"b.c", "a.b", "a.b"} {
			s := drawSchema(rt, name)
			s.Version = len(c.Schemas) + 1
			c.Schemas = append(c.Schemas, s)
		}
		text, err := c.Format()
		if err != nil {
			rt.Fatal(err)
		}
		back, err := schema.ParseCatalogue(text)
		if err != nil {
			rt.Fatalf("%v in\n%s", err, text)
		}
		again, err := back.Format()
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(string(text), string(again)); diff != "" {
			rt.Fatalf("written, read and written again:\n%s", diff)
		}
		for i := range c.Schemas {
			if changes := schema.Compare(&c.Schemas[i], &back.Schemas[i]); len(changes) > 0 {
				rt.Fatalf("written and read, schema %d changed: %+v", i, changes)
			}
		}
	})
}

func TestConvert(t *testing.T) {
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := schema.ParseCatalogue(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Format()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/converted.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("converted (-want +got):\n%s", diff)
	}
}

func FuzzParseCatalogue(f *testing.F) {
	for _, name := range []string{"testdata/reference.json", "testdata/converted.json"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := schema.ParseCatalogue(data)
		if err != nil {
			if _, ok := errors.AsType[*audit.Error](err); !ok {
				t.Fatalf("error %v is not for callers", err)
			}
			return
		}
		text, err := c.Format()
		if err != nil {
			t.Fatal(err)
		}
		back, err := schema.ParseCatalogue(text)
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, text)
		}
		for i := range c.Schemas {
			if changes := schema.Compare(&c.Schemas[i], &back.Schemas[i]); len(changes) > 0 {
				t.Fatalf("schema %d changed: %+v", i, changes)
			}
			if err := registered(t).Check(toEventOrSkip(t, &c.Schemas[i])); err == nil {
				t.Fatal("an empty registry accepts an event")
			}
		}
	})
}
