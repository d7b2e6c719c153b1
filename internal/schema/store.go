package schema

import (
	"context"
	"errors"
	"fmt"

	"github.com/stelehq/stele/internal/catalog"
)

// keyPrefix is where the records of schemas are in the store: one for each
// version, under "schema/ACTION/VERSION" with the version in five digits, so
// that an action's versions are in order. It is part of the stored format.
const keyPrefix = "schema/"

// storedFormat is the version of the records' format. Older ones stay readable.
const storedFormat = 1

// loadPage is the number of records read at once.
const loadPage = 500

// stored is the record of one version, as JSON.
type stored struct {
	Format int `json:"format"`
	Schema
}

var errGap = errors.New("a version is missing")

func recordKey(ref Ref) string { return fmt.Sprintf("%s%s/%05d", keyPrefix, ref.Action, ref.Version) }

func encode(ch change) (catalog.Change, error) {
	data, err := marshal(stored{Format: storedFormat, Schema: *ch.Schema})
	if err != nil {
		return catalog.Change{}, fmt.Errorf("encode schema: %w", err)
	}
	return catalog.Change{Key: recordKey(ch.Ref()), Value: data, Rev: ch.rev}, nil
}

func decode(rec catalog.Record) (*compiled, error) {
	if err := checkFormat(rec.Value, storedFormat); err != nil {
		return nil, err
	}
	var s stored
	if err := unmarshal(rec.Value, &s); err != nil {
		return nil, err
	}
	if want := recordKey(s.Ref()); want != rec.Key {
		return nil, fmt.Errorf("is the record of %q", want)
	}
	c, err := compile(&s.Schema)
	if err != nil {
		return nil, err
	}
	c.rev = rec.Rev
	return c, nil
}

// load reads every schema. Pages are read one after the other, so an action may
// be registered between them and look as if its first versions were missing:
// then it reads again.
func load(ctx context.Context, kv catalog.KV) (*snapshot, error) {
	var err error
	for range 3 {
		var s *snapshot
		if s, err = loadOnce(ctx, kv); !errors.Is(err, errGap) {
			return s, err
		}
	}
	return nil, err
}

func loadOnce(ctx context.Context, kv catalog.KV) (*snapshot, error) {
	s := &snapshot{actions: map[string][]*compiled{}}
	for after := ""; ; {
		records, err := kv.List(ctx, keyPrefix, after, loadPage)
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, rec := range records {
			c, err := decode(rec)
			if err != nil {
				return nil, fmt.Errorf("record %q: %w", rec.Key, err)
			}
			versions := s.actions[c.Action]
			if c.Version != len(versions)+1 {
				return nil, fmt.Errorf("record %q: %w before it", rec.Key, errGap)
			}
			s.actions[c.Action] = append(versions, c)
			after = rec.Key
		}
		if len(records) < loadPage {
			return s, nil
		}
	}
}
