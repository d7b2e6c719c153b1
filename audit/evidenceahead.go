package audit

import (
	"bytes"
	"runtime"
	"sync"
)

// Rows are read and checked in batches that end after as many rows, or bytes of
// them. The number of batches bounds the memory.
const (
	batchRows   = 64
	batchBytes  = 16 << 10
	maxCheckers = 4 // reading and unpacking keep up with no more
)

// evidenceBatch is some rows after one another.
type evidenceBatch struct {
	before  []byte // the row of entries.jsonl before the first
	rows    []evidenceRow
	text    []byte // of all the rows
	checked sync.WaitGroup
}

// rowsAhead reads rows in order in one goroutine and has others check them, while
// the caller takes them in order.
type rowsAhead struct {
	source      *evidenceRows
	before      []byte              // the last row of entries.jsonl that was read
	free        chan *evidenceBatch // all that are not in use
	work, ready chan *evidenceBatch // the same batches, to be checked and to be taken
	stopped     chan struct{}
	ended       sync.WaitGroup
}

// ahead begins to read. Until stop has returned, the files are not the caller's.
func (r *evidenceRows) ahead() *rowsAhead {
	checkers := min(runtime.GOMAXPROCS(0), maxCheckers)
	batches := checkers + 2 // one that is read, and one that is taken
	a := &rowsAhead{
		source: r, free: make(chan *evidenceBatch, batches), work: make(chan *evidenceBatch, batches),
		ready: make(chan *evidenceBatch, batches), stopped: make(chan struct{}),
	}
	for range batches {
		a.free <- new(evidenceBatch)
	}
	a.ended.Go(a.read)
	for range checkers {
		a.ended.Go(a.check)
	}
	return a
}

// stop ends reading and waits until it has.
func (a *rowsAhead) stop() {
	close(a.stopped)
	a.ended.Wait()
}

// read fills batches until the tree ends or a line cannot be read. Only waiting
// for a free batch takes time: each other channel has room for all.
func (a *rowsAhead) read() {
	defer close(a.ready)
	defer close(a.work)
	for more := true; more; {
		select {
		case <-a.stopped:
			return
		case b := <-a.free:
			more = a.fill(b)
			b.checked.Add(1)
			a.work <- b
			a.ready <- b
		}
	}
}

// fill reads the next rows, and says whether there are more.
func (a *rowsAhead) fill(b *evidenceBatch) bool {
	b.before, b.rows, b.text = append(b.before[:0], a.before...), b.rows[:0], b.text[:0]
	for len(b.rows) < batchRows && len(b.text) < batchBytes {
		row := evidenceRow{tree: b.line(a.source.tree)}
		if row.tree.ended() {
			return false
		}
		if bytes.HasPrefix(row.tree.text, []byte(seqMember)) {
			row.jsonl = b.line(a.source.jsonl)
			row.csv = b.line(a.source.csv)
			a.before = append(a.before[:0], row.jsonl.text...)
		}
		b.rows = append(b.rows, row)
		if row.tree.err != nil || row.jsonl.err != nil || row.csv.err != nil {
			return false
		}
	}
	return true
}

// line reads a line. Those that were read before stay where they are, even when
// the text has to move.
func (b *evidenceBatch) line(l *lineReader) evidenceLine {
	text, err := l.next()
	start := len(b.text)
	b.text = append(b.text, text...)
	return evidenceLine{b.text[start:], l.line, err}
}

// check checks batches. What a row is compared with of the one before, it has from
// the text, so that no batch waits for another.
func (a *rowsAhead) check() {
	m := a.source.walk.manifest
	for b := range a.work {
		c := rowCheck{manifest: m, form: evidenceCSV{m.CSV}}
		if len(b.before) > 0 {
			c.last, _ = parseEntry(string(b.before)) // if it is none, that is found first
		}
		for i := range b.rows {
			c.check(&b.rows[i])
		}
		b.checked.Done()
	}
}
