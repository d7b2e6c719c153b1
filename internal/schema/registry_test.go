package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/schema"
)

func flat(action string, version int, fields ...string) schema.Schema {
	s := schema.Schema{Action: action, Version: version, Targets: []schema.Target{{Type: "thing"}}}
	if len(fields) > 0 {
		s.Metadata = &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{}}
	}
	for _, f := range fields {
		s.Metadata.Properties[f] = &schema.Property{Type: schema.TypeString}
	}
	return s
}

func file(schemas ...schema.Schema) *schema.Catalogue { return &schema.Catalogue{Schemas: schemas} }

func TestRegisterAppendsVersions(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	r := openRegistry(t, kv, schema.ModeStrict)
	given := flat("thing.made", 0, "a")
	for want := 1; want <= 3; want++ {
		got, err := r.Register(ctx, given)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != want || !got.CreatedAt.Equal(clock()) {
			t.Errorf("registered version %d at %v, want version %d at %v", got.Version, got.CreatedAt, want, clock())
		}
	}
	given.Metadata.Properties["a"].Type = schema.TypeNumber // what was registered is not ours any more
	for version, code := range map[int]audit.Code{1: audit.CodeConflict, 3: audit.CodeConflict, 5: audit.CodeConflict, 4: ""} {
		probe := openRegistry(t, &memKV{records: kv.records}, schema.ModeStrict)
		_, err := probe.Register(ctx, flat("thing.made", version))
		if code == "" && err != nil || code != "" && !errors.Is(err, &audit.Error{Code: code}) {
			t.Errorf("register version %d: %v, want code %q", version, err, code)
		}
		delete(kv.records, "schema/thing.made/00004")
	}
	again := openRegistry(t, kv, schema.ModeStrict)
	if diff := cmp.Diff(r.All(), again.All()); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	if got := again.Versions("thing.made"); len(got) != 3 || got[0].Metadata.Properties["a"].Type != schema.TypeString {
		t.Errorf("versions after a restart: %+v", got)
	}
	if _, err := again.Get("thing.made", 4); !errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		t.Errorf("get version 4: %v, want not_found", err)
	}
	if !again.Registered([]byte("thing.made"), 3) || again.Registered([]byte("thing.made"), 0) || again.Registered([]byte("thing.gone"), 1) {
		t.Error("registered versions are not told from others")
	}
}

// TestNamesThatLookLikeKeys has actions whose records lie beside and between
// each other.
func TestNamesThatLookLikeKeys(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	r := openRegistry(t, kv, schema.ModeStrict)
	names := []string{"a", "a/00001", "a/00001/00001", "a/", "/", "a b", "ä", strings.Repeat("x", audit.MaxActionBytes)}
	for _, name := range names {
		for range 2 {
			if _, err := r.Register(ctx, flat(name, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	again := openRegistry(t, kv, schema.ModeStrict)
	if len(again.Actions()) != len(names) {
		t.Errorf("actions %q, want %q", again.Actions(), names)
	}
	for _, name := range names {
		if n := len(again.Versions(name)); n != 2 {
			t.Errorf("%q has %d versions, want 2", name, n)
		}
	}
}

// TestManySchemas has more than are read at once.
func TestManySchemas(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	c := file()
	for i := range 1100 {
		c.Schemas = append(c.Schemas, flat(fmt.Sprintf("thing%d.made", i/3), i%3+1))
	}
	if _, err := openRegistry(t, kv, schema.ModeStrict).Apply(ctx, c); err != nil {
		t.Fatal(err)
	}
	if n := len(openRegistry(t, kv, schema.ModeStrict).All()); n != 1100 {
		t.Errorf("%d schemas after a restart, want 1100", n)
	}
}

func TestTooLarge(t *testing.T) {
	s := flat("thing.made", 0)
	s.Metadata = &schema.Property{Type: schema.TypeObject, Properties: map[string]*schema.Property{}}
	for i := range 100 {
		s.Metadata.Properties[fmt.Sprint("f", i)] = &schema.Property{Type: schema.TypeString, Description: strings.Repeat("d", 4000)}
	}
	if _, err := registered(t).Register(context.Background(), s); !errors.Is(err, &audit.Error{Code: audit.CodeTooLarge}) {
		t.Errorf("a schema of 400 KB: %v, want too_large", err)
	}
	if _, err := schema.ParseSchema([]byte(encodeJSON(t, s))); !errors.Is(err, &audit.Error{Code: audit.CodeTooLarge}) {
		t.Errorf("reading a schema of 400 KB: %v, want too_large", err)
	}
}

// TestServersRegisterAtOnce has many registries on one store: every version is
// given once, without gaps.
func TestServersRegisterAtOnce(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	const servers, each = 6, 15
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := map[int]string{}
	for n := range servers {
		r := openRegistry(t, kv, schema.ModeStrict)
		wg.Go(func() {
			for i := range each {
				field := fmt.Sprintf("f%d_%d", n, i)
				s, err := register(ctx, r, flat("thing.made", 0, field))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other, ok := taken[s.Version]; ok {
					t.Errorf("version %d was given to %s and to %s", s.Version, other, field)
				}
				taken[s.Version] = field
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	versions := openRegistry(t, kv, schema.ModeStrict).Versions("thing.made")
	if len(versions) != servers*each {
		t.Fatalf("%d versions, want %d", len(versions), servers*each)
	}
	for i, s := range versions {
		if s.Metadata.Properties[taken[i+1]] == nil {
			t.Errorf("version %d is not the schema that was answered with it", i+1)
		}
	}
}

// register goes on when others were faster more often than the registry tries.
func register(ctx context.Context, r *schema.Registry, s schema.Schema) (schema.Schema, error) {
	for {
		out, err := r.Register(ctx, s)
		if !errors.Is(err, &audit.Error{Code: audit.CodeUnavailable}) {
			return out, err
		}
	}
}

func TestExplicitVersionLosesToAnotherServer(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	mine := openRegistry(t, kv, schema.ModeStrict)
	theirs := openRegistry(t, kv, schema.ModeStrict)
	if _, err := theirs.Register(ctx, flat("thing.made", 1, "theirs")); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Register(ctx, flat("thing.made", 1, "mine")); !errors.Is(err, &audit.Error{Code: audit.CodeConflict}) {
		t.Errorf("register version 1 a second time: %v, want conflict", err)
	}
	if got := mine.Versions("thing.made"); len(got) != 1 || got[0].Metadata.Properties["theirs"] == nil {
		t.Errorf("after the conflict the registry knows %+v", got)
	}
}

func TestReload(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	mine, theirs := openRegistry(t, kv, schema.ModeStrict), openRegistry(t, kv, schema.ModeStrict)
	if _, err := theirs.Register(ctx, flat("thing.made", 0)); err != nil {
		t.Fatal(err)
	}
	if mine.Registered([]byte("thing.made"), 1) {
		t.Fatal("the registry knows what it was not told")
	}
	if err := mine.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if !mine.Registered([]byte("thing.made"), 1) {
		t.Error("the registry does not know what another server registered")
	}
}

func TestApplyIsIdempotent(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	now := clock()
	r, err := schema.Open(ctx, kv, schema.ModeStrict, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	c := file(flat("thing.made", 2, "a", "b"), flat("thing.made", 1, "a"), flat("thing.gone", 1))
	report, err := r.Apply(ctx, c)
	want := schema.Report{Added: []schema.Ref{{Action: "thing.gone", Version: 1}, {Action: "thing.made", Version: 1}, {Action: "thing.made", Version: 2}}, Described: []schema.Ref{}}
	if err != nil || !cmp.Equal(report, want) {
		t.Fatalf("first time: %+v, %v", report, err)
	}
	before := r.All()
	now = now.Add(time.Hour) // a description that changes later leaves created_at
	report, err = r.Apply(ctx, c)
	if err != nil || !cmp.Equal(report, schema.Report{Added: []schema.Ref{}, Described: []schema.Ref{}, Unchanged: 3}) {
		t.Errorf("second time: %+v, %v", report, err)
	}
	if kv.applied != 1 {
		t.Errorf("the store was written %d times, want once", kv.applied)
	}
	c.Schemas[0].Metadata.Properties["a"].Description = "what a is"
	report, err = r.Apply(ctx, c)
	if err != nil || !cmp.Equal(report, schema.Report{Added: []schema.Ref{}, Described: []schema.Ref{{Action: "thing.made", Version: 2}}, Unchanged: 2}) {
		t.Errorf("with a description: %+v, %v", report, err)
	}
	if kv.applied != 2 || kv.refused != 0 {
		t.Errorf("the store was written %d times and refused %d changes, want 2 and none", kv.applied, kv.refused)
	}
	before[2].Metadata.Properties["a"].Description = "what a is"
	if diff := cmp.Diff(before, openRegistry(t, kv, schema.ModeStrict).All()); diff != "" {
		t.Errorf("only a description should differ:\n%s", diff)
	}
	report, err = r.Apply(ctx, c)
	if err != nil || report.Unchanged != 3 {
		t.Errorf("again: %+v, %v", report, err)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		file *schema.Catalogue
		want []string
	}{
		{
			"a version that differs",
			file(flat("thing.new", 1), flat("thing.made", 1, "b")),
			[]string{"thing.made version 1: metadata.a is gone; metadata.b is new and optional"},
		},
		{
			"a gap",
			file(flat("thing.new", 1), flat("thing.made", 3)),
			[]string{"thing.made version 3: version 2 is neither registered nor in the file"},
		},
		{
			"both",
			file(flat("thing.made", 1), flat("thing.new", 2)),
			[]string{
				"thing.made version 1: metadata.a is gone (and 1 more)",
				"thing.made version 1: metadata.a is gone",
				"thing.new version 2: version 1 is neither registered nor in the file",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := registered(t, flat("thing.made", 0, "a"))
			_, err := r.Apply(ctx, tt.file)
			var e *audit.Error
			if !errors.As(err, &e) || e.Code != audit.CodeConflict {
				t.Fatalf("error %v, want conflict", err)
			}
			got := []string{e.Error()}
			for _, sub := range e.Errors {
				got = append(got, sub.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if names := r.Actions(); len(names) != 1 {
				t.Errorf("something was registered: %q", names)
			}
		})
	}
}

// TestApplyMeetsAnotherServer has another server register one of the file's
// schemas between the look and the write.
func TestApplyMeetsAnotherServer(t *testing.T) {
	ctx, kv := context.Background(), newKV()
	mine, theirs := openRegistry(t, kv, schema.ModeStrict), openRegistry(t, kv, schema.ModeStrict)
	kv.before = func() {
		kv.before = nil
		if _, err := theirs.Register(ctx, flat("thing.made", 1, "a")); err != nil {
			t.Error(err)
		}
	}
	report, err := mine.Apply(ctx, file(flat("thing.made", 1, "a"), flat("thing.made", 2, "a", "b")))
	want := schema.Report{Added: []schema.Ref{{Action: "thing.made", Version: 2}}, Described: []schema.Ref{}, Unchanged: 1}
	if err != nil || !cmp.Equal(report, want) {
		t.Errorf("apply: %+v, %v", report, err)
	}
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	ctx := context.Background()
	good := `{"format":1,"action":"a.b","version":1,"targets":[]}`
	tests := map[string]map[string]string{
		"format 2 is not known":              {"schema/a.b/00001": `{"format":2,"laws":[]}`},
		"a version is missing":               {"schema/a.b/00002": strings.Replace(good, `"version":1`, `"version":2`, 1)},
		`is the record of "schema/a.b/00001`: {"schema/a.b/00001": good, "schema/a.c/00001": good},
		"not valid JSON":                     {"schema/a.b/00001": good[:20]},
		"there is no type":                   {"schema/a.b/00001": strings.Replace(good, `]`, `],"metadata":{"type":"object","properties":{"x":{"type":"date"}}}`, 1)},
	}
	for want, records := range tests {
		kv := newKV()
		for key, text := range records {
			kv.records[key] = catalog.Record{Key: key, Value: []byte(text), Rev: 1}
		}
		if _, err := schema.Open(ctx, kv, schema.ModeWarn, clock); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, want %q", err, want)
		}
	}
	if _, err := schema.Open(ctx, newKV(), "lax", clock); err == nil {
		t.Error("an unknown mode is accepted")
	}
}
