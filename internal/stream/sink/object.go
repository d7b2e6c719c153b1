package sink

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// # Objects
//
// A batch is one object that is written once. Its name follows from the batch
// alone, so an attempt repeated finds what an earlier one left:
//
//	PREFIX/org=ORG/dt=2026-11-20/hour=10/FIRST-LAST.COUNT.STREAM.ndjson.gz
//	PREFIX/org=ORG/2026/11/20/10/FIRST-LAST.COUNT.STREAM.ndjson.gz  (flat)
//	PREFIX/org=ORG/checkpoints/SIZE.STREAM.json
//
// FIRST and LAST are seq with 20 digits, COUNT how many events there are, and
// ".replay-ID" follows STREAM in what a replay wrote. The day and hour are those
// at which the first event was received, so that late events do not change the
// partitions of days that have passed. Lines are events; what is not JSON ends in
// .log instead of .ndjson.

// objectSettings are the settings that all object stores share.
func objectSettings() []Setting {
	return []Setting{
		{
			Name: "prefix", Label: "Prefix", Check: checkPrefix, Example: "stele/audit",
			Help: "A folder in the bucket to write below. Empty is the bucket's root.",
		},
		{
			Name: "layout", Label: "Layout", Default: "hive", Options: []string{"hive", "flat"}, Advanced: true,
			Help: "hive: dt=2026-11-20/hour=10/, which Athena, Glue and BigQuery read as partitions. flat: 2026/11/20/10/.",
		},
		{
			Name: "flush_minutes", Label: "Minutes between objects", Default: "5", Check: checkRange(1, 60), Advanced: true,
			Help: "How long to gather events for one object, 1 to 60. A full object is written sooner.",
		},
		{
			Name: "compression", Label: "Compression", Default: "gzip", Options: []string{"gzip", "none"}, Advanced: true,
			Help: "gzip makes objects about a tenth the size; their names end in .gz.",
		},
	}
}

// objectLimits: up to 16 MiB of lines an object, 1 to 3 MiB compressed.
func objectLimits(v Values) Limits {
	return Limits{MaxEvents: 50_000, MaxBytes: 16 << 20, EventOverhead: 1, FlushAfter: v.minutes("flush_minutes"), SendTimeout: 5 * time.Minute}
}

func checkPrefix(value string) error {
	if len(value) > 400 || strings.Contains(value, "//") || path.Clean("/"+value) != "/"+strings.Trim(value, "/") ||
		strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("must be a path such as stele/audit: ASCII without spaces, \"//\" or \"..\", at most 400 bytes")
	}
	return nil
}

// object is what a batch is stored as.
type object struct {
	key         string
	body        []byte
	contentType string
}

// newObject makes the object of a batch.
func newObject(v Values, b *Batch) object {
	prefix := objectPrefix(v, b.Organization)
	stream := objectPart(b.Stream)
	switch {
	case b.Test:
		root := strings.Trim(v["prefix"], "/")
		return object{key: strings.TrimPrefix(root+"/stele-check/"+objectPart(b.ID)+".json", "/"), body: appendLines(nil, b.Events), contentType: "application/json"}
	case b.Checkpoint != nil:
		key := fmt.Sprintf("%scheckpoints/%020d.%s.json", prefix, b.Last+1, stream)
		return object{key: key, body: appendLines(nil, b.Events), contentType: "application/json"}
	}
	at := b.Events[0].ReceivedAt.UTC()
	day := at.Format("dt=2006-01-02/hour=15")
	if v["layout"] == "flat" {
		day = at.Format("2006/01/02/15")
	}
	name := fmt.Sprintf("%020d-%020d.%d.%s", b.First, b.Last, len(b.Events), stream)
	if b.Replay != "" {
		name += ".replay-" + objectPart(b.Replay)
	}
	o := object{body: appendLines(make([]byte, 0, b.Bytes+len(b.Events)), b.Events), contentType: "application/x-ndjson"}
	name += ".ndjson"
	if !b.JSON {
		name, o.contentType = strings.TrimSuffix(name, ".ndjson")+".log", "text/plain; charset=utf-8"
	}
	if v["compression"] != "none" {
		// No Content-Encoding: what reads buckets goes by the name, and
		// libraries that inflate by themselves would make a lie of it.
		name += ".gz"
		o.body, o.contentType = compress(o.body), "application/gzip"
	}
	o.key = prefix + day + "/" + name
	return o
}

// objectPrefix is where the objects of an organization lie, with "/" at its end.
func objectPrefix(v Values, org string) string {
	return strings.TrimPrefix(strings.Trim(v["prefix"], "/")+"/org="+objectPart(org)+"/", "/")
}

// objectPart makes an id a part of a name: letters, digits, '-' and '_' stay,
// each other byte is written as '!' and two hexadecimal digits. Dots and '/'
// have a meaning in names here, '%' one in URLs.
func objectPart(id string) string {
	var s strings.Builder
	for _, c := range []byte(id) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			s.WriteByte(c)
		} else {
			fmt.Fprintf(&s, "!%02x", c)
		}
	}
	return s.String()
}

// unpart is the id that objectPart was given.
func unpart(text string) string {
	id, err := url.PathUnescape(strings.ReplaceAll(text, "!", "%"))
	if err != nil {
		return text
	}
	return id
}

const objectName = `^([0-9]{20})-([0-9]{20})\.([0-9]+)\.([A-Za-z0-9_!-]+)(?:\.replay-([A-Za-z0-9_!-]+))?\.(?:(?:ndjson|log)(?:\.gz)?|parquet)$`

// heldReader makes the function that reads names of objects: false is an object
// that is not of the stream, or no batch.
func heldReader(stream string) func(key string, size int64) (Held, bool) {
	names, stream := regexp.MustCompile(objectName), objectPart(stream)
	return func(key string, size int64) (Held, bool) {
		m := names.FindStringSubmatch(path.Base(key))
		if m == nil || m[4] != stream {
			return Held{}, false
		}
		first, err1 := strconv.ParseUint(m[1], 10, 64)
		last, err2 := strconv.ParseUint(m[2], 10, 64)
		count, err3 := strconv.Atoi(m[3])
		if err1 != nil || err2 != nil || err3 != nil || first > last {
			return Held{}, false
		}
		return Held{Name: key, First: first, Last: last, Events: count, Replay: unpart(m[5]), Size: size}, true
	}
}
