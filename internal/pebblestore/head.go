package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/stelehq/stele/internal/ledger"
)

// head is an organization's head as it is stored. It is never changed, only
// replaced.
type head struct {
	ledger.Head
	maxOccurred int64 // of all entries
	incarnation uint32
}

const headFixedBytes = 3*8 + 4 + 1

func (h *head) encode(dst, key []byte) []byte {
	start := len(dst)
	dst = append(dst, valueVersion)
	dst = binary.LittleEndian.AppendUint64(dst, h.Size)
	dst = appendInt(dst, h.ReceivedAt)
	dst = appendInt(dst, h.maxOccurred)
	dst = binary.LittleEndian.AppendUint32(dst, h.incarnation)
	dst = append(dst, byte(len(h.Frontier))) //nolint:gosec // one for each bit of Size
	for i := range h.Frontier {
		dst = append(dst, h.Frontier[i][:]...)
	}
	return seal(key, dst, start)
}

func decodeHead(key, value []byte) (*head, error) {
	b, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	if len(b) < headFixedBytes {
		return nil, errShort
	}
	h := &head{
		Head:        ledger.Head{Size: binary.LittleEndian.Uint64(b), ReceivedAt: int64At(b, 8)},
		maxOccurred: int64At(b, 16),
		incarnation: binary.LittleEndian.Uint32(b[24:]),
	}
	n, b := int(b[28]), b[headFixedBytes:]
	if len(b) != n*tlog.HashSize || n != bits.OnesCount64(h.Size) {
		return nil, errLength
	}
	for ; len(b) > 0; b = b[tlog.HashSize:] {
		h.Frontier = append(h.Frontier, tlog.Hash(b))
	}
	return h, nil
}

// orgLog is what memory holds of one organization's log.
type orgLog struct {
	org string
	// head is the durable one. Set by whoever loads it and then by the
	// committer alone.
	head atomic.Pointer[head]
	// dropping is set before the log's removal becomes visible, for good.
	dropping atomic.Bool

	// sealed is what is known of its blocks, pending what the sealer has to do.
	sealed  sealed
	pending pending
	// keep is the last that was asked for.
	keep atomic.Pointer[keep]

	// next is the head after the commits of the group being formed, nil outside
	// of a group. The committer's.
	next *head
}

// gone is the error for a log that was dropped.
func (l *orgLog) gone() error { return fmt.Errorf("organization %q: %w", l.org, errDropped) }

// orgLogs are the logs of the organizations that were asked for.
type orgLogs struct {
	db *pebble.DB

	// mu is held while a head is read from disk: the committer loads an
	// organization here before it writes for it, so what is read here is never
	// of a group that is not durable yet.
	mu   sync.RWMutex
	logs map[string]*orgLog
}

// load returns an organization's log. One that was never committed to is not
// kept unless keep.
func (l *orgLogs) load(org string, keep bool) (*orgLog, error) {
	l.mu.RLock()
	log := l.logs[org]
	l.mu.RUnlock()
	if log != nil {
		return log, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if log := l.logs[org]; log != nil {
		return log, nil
	}
	h, err := readHead(l.db, org)
	if err != nil {
		return nil, err
	}
	log = &orgLog{org: org}
	if h == nil {
		h = &head{}
	}
	log.head.Store(h)
	if keep || h.Size > 0 {
		l.logs[org] = log
	}
	return log, nil
}

// forget makes the next load read from disk.
func (l *orgLogs) forget(log *orgLog) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[log.org] == log {
		delete(l.logs, log.org)
	}
}

// readHead returns the stored head, nil when there is none.
func readHead(db pebble.Reader, org string) (*head, error) {
	if err := checkOrg(org); err != nil {
		return nil, err
	}
	key := appendOrgKey(nil, kindHead, org)
	value, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil //nolint:nilnil // absent is not an error here
	}
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	h, err := decodeHead(key, value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return nil, fmt.Errorf("organization %q: read head: %w", org, err)
	}
	return h, nil
}

func checkOrg(org string) error {
	if org == "" || len(org) > maxOrgBytes {
		return fmt.Errorf("organization id of %d bytes: it must have 1 to %d", len(org), maxOrgBytes)
	}
	return nil
}

// ledgerHead returns a copy that the caller may keep.
func (h *head) ledgerHead() ledger.Head {
	c := h.Head
	c.Frontier = slices.Clone(h.Frontier)
	return c
}
