package storetest_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stelehq/stele/internal/ledger"
	"github.com/stelehq/stele/internal/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Subject {
		return storetest.Subject{Store: storetest.NewMemory()}
	})
}

func TestMemoryFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, landed := range []bool{false, true} {
		m, l := storetest.NewMemory(), storetest.NewLog("org")
		m.OnCommit = func(*ledger.Commit) storetest.Fault { return storetest.Fault{Err: broken, Landed: landed} }
		c := l.Next(1, storetest.MakeEvents("a", 3), nil)
		if err := m.Commit(t.Context(), c); !errors.Is(err, broken) {
			t.Fatalf("got %v, want the fault", err)
		}
		if landed {
			l.Add(c)
		}
		storetest.CheckLog(t, m, l)
	}
}

func TestMemoryDamage(t *testing.T) {
	m, l := storetest.NewMemory(), storetest.NewLog("org")
	if err := m.Commit(t.Context(), l.Next(1, storetest.MakeEvents("a", 3), nil)); err != nil {
		t.Fatal(err)
	}
	m.Damage("org", func(log *storetest.RawLog) {
		log.Rows = slices.Clone(log.Rows)
		log.Rows[1] = nil
	})
	n := 0
	var failed error
	for _, err := range m.Read(t.Context(), "org", 0, 3) {
		if failed = err; err == nil {
			n++
		}
	}
	if n != 1 || failed == nil {
		t.Errorf("read %d entries and %v; want the first, then an error", n, failed)
	}
}

func TestMemoryRewrite(t *testing.T) {
	storetest.RunRewrite(t, func(testing.TB) storetest.Subject {
		return storetest.Subject{Store: storetest.NewMemory()}
	})
}

func TestMemoryLifecycle(t *testing.T) {
	storetest.RunLifecycle(t, storetest.Lives/4, func(testing.TB) storetest.Subject {
		return storetest.Subject{Store: storetest.NewMemory()}
	})
}
