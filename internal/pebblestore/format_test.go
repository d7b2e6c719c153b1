package pebblestore

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stelehq/stele/internal/catalog"
	"github.com/stelehq/stele/internal/event"
	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

// parts are the fields of each kind of value, by size; 0 is what is left but for
// the checksum.
func parts(kind byte) []part {
	receipt := []part{{16, "key"}, {8, "fingerprint"}, {8, "received_at"}, {8, "seq"}}
	switch kind {
	case kindFormat:
		return []part{{2, "format"}}
	case kindRun:
		return []part{
			{1, "flags"},
			{8, "received_at"},
			{8, "lower bound of occurred_at"},
			{8, "upper bound"},
			{8, "upper bound before"},
			{4, "rows"},
			{4, "size of the body"},
			{1, "length of row 0"},
			{1, "length of row 1"},
			{72, "row 0"},
			{30, "row 1"},
		}
	case kindFilter:
		return []part{{8, "receipts"}, {8, "newest received_at"}, {0, "filter, of one block"}}
	case kindHead:
		return []part{{8, "size"}, {8, "received_at"}, {8, "newest occurred_at"}, {4, "incarnation"}, {1, "frontier"}, {0, "hash"}}
	case kindKeys:
		return []part{{16, "salt key"}, {16, "check key"}}
	case kindRecord:
		return []part{{8, "revision"}, {0, "value"}}
	case kindReceipts, kindChunk:
		return receipt
	}
	return []part{{0, "?"}}
}

type part struct {
	size int
	name string
}

// worked is a store of one commit and one record, written out.
func worked(t testing.TB) string {
	now := &clock{t: time.UnixMilli(1_772_357_400_123)}
	cfg := testConfig(t, vfs.NewMem())
	cfg.Now, cfg.windowReceipts, cfg.IdempotencyWindow = now.now, 1, defaultWindow
	s := mustOpen(t, cfg)
	l := storetest.NewLog("acme")
	actor := event.Party{Type: []byte("user"), ID: []byte("u1"), Name: []byte("Ada")}
	at := int64(1_772_357_400_000_000_000)
	for n, events := range [][]*event.Event{
		{
			{
				Action: []byte("api_key.created"), Version: 1, OccurredAt: at, Actor: actor,
				Targets: []event.Party{{Type: []byte("api_key"), ID: []byte("k1")}}, Metadata: []byte(`{"scope":"read"}`),
			},
			{Action: []byte("login"), Version: 1, OccurredAt: at - 1_000_000, Actor: event.Party{Type: []byte("user"), ID: []byte("u1")}},
		},
	} {
		c := l.Next(1_772_357_400_123, events, func(i int) (ledger.Key, bool) { return storetest.KeyOf("acme", "k"), i == n })
		if err := s.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Apply(t.Context(), catalog.Change{Key: "organization/acme", Value: []byte(`{"v":1}`)}); err != nil {
		t.Fatal(err)
	}
	return dump(t, s.db)
}

// dump writes all rows of a database out.
func dump(t testing.TB, db *pebble.DB) string {
	var b strings.Builder
	err := eachRowIn(db, nil, nil, func(key, value []byte) error {
		fmt.Fprintf(&b, "%-36s %s\n", hex.EncodeToString(key[:1])+" "+hex.EncodeToString(key[1:]), "key "+printable(key))
		rest := value[1 : len(value)-sumBytes]
		fmt.Fprintf(&b, "  %-34x %s\n", value[:1], "version")
		for _, p := range parts(key[0]) {
			size := p.size
			if size == 0 {
				size = len(rest)
			}
			for name := p.name; size > 0; name = "" {
				n := min(size, 16)
				fmt.Fprintf(&b, "  %-34x %s\n", rest[:n], name)
				rest, size = rest[n:], size-n
			}
		}
		if len(rest) > 0 {
			t.Errorf("row %q: %x is left", key, rest)
		}
		fmt.Fprintf(&b, "  %-34x %s\n", value[len(value)-sumBytes:], "checksum")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func printable(key []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(key))
}

// TestFormatDocument compares the worked example of docs/format.md with what the
// store writes.
func TestFormatDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := worked(t); !strings.Contains(string(doc), want) {
		t.Errorf("docs/format.md does not have this example:\n%s", want)
	}
}
