package stream

import (
	"time"
)

// MinCheckpointEvery is the shortest interval, in seconds, of a stream that sends
// checkpoints on a schedule. MaxCheckpointEvery is the longest.
const (
	MinCheckpointEvery = 10
	MaxCheckpointEvery = 31 * 86400
)

// A stream whose CheckpointEvery is not zero sends no events: of each log it
// follows it sends a signed checkpoint, at most so often and only when the log
// has grown. Everything else is as with events: what is frozen is sent again
// until the destination has it.

// checkSchedule says what is wrong with a stream that sends checkpoints on a
// schedule.
func (s *Spec) checkSchedule() error {
	switch every := s.CheckpointEvery; {
	case every == 0:
		return nil
	case every < MinCheckpointEvery || every > MaxCheckpointEvery:
		return invalid("/checkpoint_every_seconds", "must be from %d seconds to 31 days, or 0 to send events", MinCheckpointEvery)
	case s.Filter != "":
		return invalid("/filter", "must be empty: a stream that sends checkpoints only sends no events")
	}
	s.Checkpoints = true
	return nil
}

// onSchedule reports whether the stream sends checkpoints and no events.
func (s *Spec) onSchedule() bool { return s.CheckpointEvery > 0 }

// scheduled says whether a lane waits for its next checkpoint, and until when if
// that can be told: a log that has not grown waits to be told that it has.
func (f *follower) scheduled(ln *lane, size uint64) (wake time.Time, waits bool) {
	if ln.cur.Frozen != nil {
		return time.Time{}, false
	}
	if ln.witness = size > ln.cur.Witness; !ln.witness {
		return time.Time{}, true
	}
	due := ln.cur.WitnessAt.Add(time.Duration(f.st.CheckpointEvery) * time.Second)
	if f.s.cfg.Now().Before(due) {
		return due, true
	}
	return time.Time{}, false
}

// needEvents refuses what makes sense for events alone.
func (s *Stream) needEvents() error {
	if s.onSchedule() {
		return invalid("/checkpoint_every_seconds", "the stream sends checkpoints and no events: there is nothing to send again or to compare")
	}
	return nil
}
