package app_test

import (
	"strings"
	"testing"

	"github.com/stelehq/stele/internal/app"
	"github.com/stelehq/stele/internal/export"
)

// TestExportsLeaveTheReserve opens a store whose reserve is most of what is free:
// it takes events still, and exports no more.
func TestExportsLeaveTheReserve(t *testing.T) {
	dir := t.TempDir()
	cfg := app.DemoConfig(dir, "127.0.0.1:0", rootKey, nil)
	cfg.ReserveMiB = 1
	first, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	free := first.Store.Stats().FreeBytes
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.ReserveMiB = int(free >> 20 * 3 / 4)
	a, err := app.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := a.Store.Refusing(); err != nil {
		t.Fatal(err)
	}
	j, err := a.Exports.Create(t.Context(), export.Spec{Organization: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	for !j.Ended() {
		if j, err = a.Exports.Get(t.Context(), "ours", j.ID); err != nil {
			t.Fatal(err)
		}
	}
	if j.State != export.StateError || !strings.Contains(j.Error, "disk is full") {
		t.Errorf("an export into the reserve: %+v", j)
	}
}
