package format

import (
	"encoding/binary"
	"math"

	"github.com/stelehq/stele/internal/event"
)

// AppendLogRecord appends an entry as a LogRecord of OTLP
// (opentelemetry/proto/logs/v1/logs.proto, of opentelemetry-proto 1.x), in
// protocol buffers, its fields in the order of their numbers:
//
//	1  time_unix_nano           occurred_at, exactly
//	2  severity_number          9, INFO; 13, WARN, for what failed
//	3  severity_text            "INFO", "WARN"
//	5  body                     a string: body, an event in the stream's format
//	6  attributes               strings but for stele.seq and stele.schema_version
//	11 observed_time_unix_nano  received_at
//	12 event_name               action
//
// Attributes follow the semantic conventions where these have a name:
// enduser.id, client.address, user_agent.original; event.id and the others below
// stele are ours, stele.erased_at is there when the entry's details were erased.
// Metadata and targets are in the body only.
func AppendLogRecord(dst []byte, in *Input, body []byte) []byte {
	e := in.Entry
	var t traits
	t.read(&e.Event)
	severity, text := uint64(9), "INFO"
	if t.outcome == outcomeFailure {
		severity, text = 13, "WARN"
	}
	dst = appendFixed(dst, 1, e.OccurredAt)
	dst = appendVarint(dst, 2, severity)
	dst = appendField(dst, 3, text)
	dst = appendAnyString(dst, 5, body)
	dst = appendAttributes(dst, in)
	dst = appendFixed(dst, 11, e.ReceivedAt*1e6)
	return appendField(dst, 12, e.Action)
}

func appendAttributes(dst []byte, in *Input) []byte {
	e := in.Entry
	dst = appendAttribute(dst, "event.id", e.ID[:])
	dst = appendIntAttribute(dst, "stele.seq", e.Seq)
	dst = appendIntAttribute(dst, "stele.schema_version", uint64(e.Version)) //nolint:gosec // from 1
	dst = appendAttribute(dst, "stele.organization.id", []byte(in.Organization))
	dst = appendAttribute(dst, "enduser.id", e.Actor.ID)
	dst = appendAttribute(dst, "stele.actor.type", e.Actor.Type)
	dst = appendAttribute(dst, "stele.actor.name", e.Actor.Name)
	if len(e.Targets) > 0 {
		dst = appendAttribute(dst, "stele.target.type", e.Targets[0].Type)
		dst = appendAttribute(dst, "stele.target.id", e.Targets[0].ID)
	}
	dst = appendAttribute(dst, "client.address", e.Location)
	dst = appendAttribute(dst, "user_agent.original", e.UserAgent)
	if e.ErasedAt != 0 {
		dst = appendAttribute(dst, "stele.erased_at", event.AppendMillis(nil, e.ErasedAt))
	}
	if in.Replay {
		dst = appendAttribute(dst, "stele.replay", []byte("true"))
	}
	return dst
}

// AppendLogRecordCheckpoint appends a checkpoint record as a LogRecord, of the
// event name "stele.checkpoint".
func AppendLogRecordCheckpoint(dst []byte, cp *Checkpoint, body []byte) []byte {
	at := cp.ReceivedAt.UnixNano()
	dst = appendFixed(dst, 1, at)
	dst = appendVarint(dst, 2, 9)
	dst = appendField(dst, 3, "INFO")
	dst = appendAnyString(dst, 5, body)
	dst = appendAttribute(dst, "event.id", appendCheckpointID(nil, cp))
	dst = appendAttribute(dst, "stele.organization.id", []byte(cp.Organization))
	dst = appendIntAttribute(dst, "stele.checkpoint.size", cp.Size)
	dst = appendFixed(dst, 11, at)
	return appendField(dst, 12, checkpointType)
}

// AppendLogsRequest appends an ExportLogsServiceRequest
// (collector/logs/v1/logs_service.proto) with one resource, service.name "stele"
// and the organization's id, one scope and the records.
func AppendLogsRequest(dst []byte, organization, version string, records [][]byte) []byte {
	var resource, scope []byte
	resource = appendAttributeIn(resource, 1, "service.name", []byte("stele"))
	if version != "" {
		resource = appendAttributeIn(resource, 1, "service.version", []byte(version))
	}
	resource = appendAttributeIn(resource, 1, "stele.organization.id", []byte(organization))
	scope = appendField(scope, 1, "stele.audit")
	size := sizeOfField(len(scope))
	for _, r := range records {
		size += sizeOfField(len(r))
	}
	dst = appendHead(dst, 1, sizeOfField(len(resource))+sizeOfField(size)) // resource_logs
	dst = appendField(dst, 1, resource)
	dst = appendHead(dst, 2, size) // scope_logs
	dst = appendField(dst, 1, scope)
	for _, r := range records {
		dst = appendField(dst, 2, r)
	}
	return dst
}

// The wire format of protocol buffers. Field numbers here are below 16, so a tag
// is one byte.

const (
	wireVarint = 0
	wireFixed  = 1
	wireBytes  = 2
)

func tag(field, wire int) byte { return byte(field<<3 | wire) } //nolint:gosec // fields are below 16

func appendFixed(dst []byte, field int, ns int64) []byte {
	dst = append(dst, tag(field, wireFixed))
	return binary.LittleEndian.AppendUint64(dst, uint64(ns)) //nolint:gosec // from 1970 on
}

func appendVarint(dst []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(append(dst, tag(field, wireVarint)), v)
}

func appendHead(dst []byte, field, size int) []byte {
	dst = append(dst, tag(field, wireBytes))
	return binary.AppendUvarint(dst, uint64(min(size, math.MaxInt32))) //nolint:gosec // a length
}

func appendField[T string | []byte](dst []byte, field int, v T) []byte {
	return append(appendHead(dst, field, len(v)), v...)
}

// appendAnyString appends an AnyValue of a string.
func appendAnyString(dst []byte, field int, v []byte) []byte {
	dst = appendHead(dst, field, sizeOfField(len(v)))
	return appendField(dst, 1, v)
}

// appendAttribute appends an attribute of a log record, or nothing when its value
// is empty.
func appendAttribute(dst []byte, key string, v []byte) []byte {
	if len(v) == 0 {
		return dst
	}
	return appendAttributeIn(dst, 6, key, v)
}

func appendAttributeIn(dst []byte, field int, key string, v []byte) []byte {
	value := sizeOfField(len(v))
	dst = appendHead(dst, field, sizeOfField(len(key))+sizeOfField(value))
	dst = appendField(dst, 1, key)
	return appendAnyString(dst, 2, v)
}

func appendIntAttribute(dst []byte, key string, v uint64) []byte {
	value := 1 + sizeOfVarint(v)
	dst = appendHead(dst, 6, sizeOfField(len(key))+sizeOfField(value))
	dst = appendField(dst, 1, key)
	dst = appendHead(dst, 2, value)
	return appendVarint(dst, 3, v)
}

// sizeOfField is how long a field of n bytes is, tag and length included.
func sizeOfField(n int) int {
	return 1 + sizeOfVarint(uint64(n)) + n //nolint:gosec // a length
}

func sizeOfVarint(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
