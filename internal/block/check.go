package block

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/stelehq/stele/internal/event"
)

// Check reads every part and compares everything that is stored twice: bounds,
// order and counts by day with the times, dictionaries with their order and with
// what the header says of their texts, and the filter with the values, whose
// filter it makes again. The first thing that is wrong is the error. It does not
// compare the entries with the log.
func (r *Reader) Check() error {
	v := r.view()
	for _, check := range []func() error{v.checkTimes, v.checkEnds, v.checkTexts, v.checkFilter, v.checkRows} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) checkTimes() error {
	occurred, err := r.AppendOccurred(nil, 0, r.h.Rows)
	if err != nil {
		return err
	}
	h := r.h
	if low, high, sorted := bounds(occurred); low != h.MinOccurred || high != h.MaxOccurred || sorted != h.Sorted {
		return r.corrupt(colOccurred, 0, "times do not have the header's bounds or order")
	}
	if !slices.Equal(countDays(occurred), h.Days) {
		return r.corrupt(colOccurred, 0, "times are not of the header's days")
	}
	last := h.FirstReceived
	for i := range h.Rows {
		at, err := r.time(colReceived, i)
		if err != nil {
			return err
		}
		if at < last || i == 0 && at != last || i == h.Rows-1 && at != h.LastReceived {
			return r.corrupt(colReceived, i>>h.table[colReceived].shift, "times are out of order or do not have the header's bounds")
		}
		last = at
	}
	return nil
}

// checkEnds holds columns of ends to follow on each other up to the last.
func (r *Reader) checkEnds() error {
	for _, col := range []column{colTargetEnd, colActorEnd, colTargetProfileEnd} {
		next, most := 0, 0
		for i := range r.h.table[col].n {
			lo, hi, err := r.ends(col, i)
			if err != nil {
				return err
			}
			if lo != next || hi == lo && col != colTargetEnd {
				return r.corrupt(col, i>>r.h.table[col].shift, "ends do not follow on each other")
			}
			next, most = hi, max(most, hi-lo)
		}
		if col == colTargetEnd && most != r.h.MaxTargets {
			return r.corrupt(col, 0, "no row has the most targets that the header says")
		}
		if next != r.h.counts[endsOf(col)] {
			return r.corrupt(colTargetEnd, 0, fmt.Sprintf("%s: the last end is not the last", col.name()))
		}
	}
	return nil
}

// checkTexts holds texts to their order, their letters and their separators.
func (r *Reader) checkTexts() error {
	for i := range r.h.table {
		col, t := column(i), &r.h.table[i]
		if t.kind != kindTexts && t.kind != kindSorted {
			continue
		}
		if err := r.checkColumn(col, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) checkColumn(col column, t *tableColumn) error {
	var l letters
	var pairs pairBuilder
	var last []byte
	err := r.eachChunk(col, func(first int, c *chunk) error {
		for j := range c.texts.ends {
			text := c.texts.at(j)
			l.add(text)
			if i := slices.Index(pairColumns[:], col); i >= 0 {
				pairs.add(text)
			}
			if order := bytes.Compare(last, text); t.kind == kindSorted && first+j > 0 && (order > 0 || order == 0 && !repeats(col)) {
				return r.corrupt(col, first>>t.shift, "texts are not in order")
			}
			if t.kind == kindSorted && first > 0 && j == 0 && !bytes.Equal(r.h.separator(t, first>>t.shift-1), separator(last, text)) {
				return r.corrupt(col, first>>t.shift, "does not begin at its separator")
			}
			last = text
		}
		return nil
	})
	if i := slices.Index(pairColumns[:], col); i >= 0 && err == nil {
		if stored, err := r.text(colPairs, i); err != nil || !bytes.Equal(stored, pairs.text()) {
			return cmp.Or(err, r.corrupt(colPairs, 0, "pairs are not those of the texts"))
		}
	}
	if err == nil && t.alphabet && l.alphabet() != t.letters {
		return r.corrupt(col, 0, "texts do not have the header's letters")
	}
	return err
}

// repeats reports whether a sorted column has a text more than once: ids of
// several types, actions of several versions.
func repeats(col column) bool {
	return col == colActionText || col == colActorID || col == colTargetID
}

// checkFilter makes the filter again and compares it.
func (r *Reader) checkFilter() error {
	stored, err := r.Part(FilterPart)
	if err != nil {
		return err
	}
	var b filterBuilder
	for f, col := range map[Field]column{
		FieldAction: colActionText, FieldActorID: colActorID, FieldTargetID: colTargetID, FieldLocation: colLocationText,
	} {
		err := r.eachTexts(col, func(_ int, t *textChunk) error {
			for i := range t.ends {
				hash, _ := FilterHash(f, t.at(i))
				b.keys = append(b.keys, hash)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(stored, seal(b.append([]byte{partVersion}))) {
		return fmt.Errorf("block at %d: %w", r.h.FirstSeq, corrupt(FilterPart, "filter", "is not that of the block's values"))
	}
	return nil
}

// checkRows puts every row together.
func (r *Reader) checkRows() error {
	var e event.Entry
	var scratch []byte
	var err error
	for i := range r.h.Rows {
		if scratch, err = r.Row(i, &e, scratch); err != nil {
			return err
		}
	}
	return nil
}
