// Package securitylake writes batches of entries as Amazon Security Lake takes
// them from a custom source: Parquet files of one OCSF class, API Activity (6003),
// compressed with zstd, rows in the order of their time, below a path of region,
// account and day. The source of that layout is the Security Lake user guide,
// "Collecting data from custom sources".
//
// The columns are those attributes of the class that the mapping of package
// format writes, and they are the same for every version of OCSF, so that a table
// made from one file fits the others; what a version lacks is null. What is free
// in form (resources.data, unmapped) is a string of JSON, for the same reason.
//
// It is a package of its own because the Parquet library is large.
package securitylake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/stelehq/stele/internal/stream/format"
)

// Writer makes files of one version of OCSF. It may be used concurrently.
type Writer struct {
	ocsf format.Format
}

// New returns a writer for a version of OCSF, one of ocsf.Versions.
func New(version string) (*Writer, error) {
	f, err := format.OCSF(version, nil)
	if err != nil {
		return nil, err
	}
	return &Writer{ocsf: f}, nil
}

// File is one Parquet file.
type File struct {
	// Day is when its events were received, in UTC, as in [Key].
	Day time.Time
	// First and Last are the lowest and highest seq of its events.
	First, Last uint64
	// Events is how many there are.
	Events int
	Data   []byte
}

// Key is where a file lies in the bucket that Security Lake made for a source:
// below the source's location ("ext/NAME"), by region, account and day. name is
// without the ending; it must be the same whenever the same file is written.
func Key(location, region, account string, day time.Time, name string) string {
	return fmt.Sprintf("%s/region=%s/accountId=%s/eventDay=%s/%s.parquet", location, region, account, day.UTC().Format("20060102"), name)
}

// Files writes a batch, in order of seq, as one file for each day on which its
// events were received: received_at never goes back, so a day that is over gets
// no more files. The same batch gives the same files.
func (w *Writer) Files(batch []*format.Input) ([]File, error) {
	var files []File
	for len(batch) > 0 {
		day := dayOf(batch[0])
		n := 1
		for n < len(batch) && dayOf(batch[n]).Equal(day) {
			n++
		}
		data, err := w.file(batch[:n])
		if err != nil {
			return nil, err
		}
		files = append(files, File{
			Day: day, First: batch[0].Entry.Seq, Last: batch[n-1].Entry.Seq, Events: n, Data: data,
		})
		batch = batch[n:]
	}
	return files, nil
}

func dayOf(in *format.Input) time.Time { return in.Entry.ReceivedTime().Truncate(24 * time.Hour) }

func (w *Writer) file(batch []*format.Input) ([]byte, error) {
	rows := make([]Row, len(batch))
	var buf []byte
	for i, in := range batch {
		buf = w.ocsf.Append(buf[:0], in)
		if err := json.Unmarshal(buf, &rows[i]); err != nil {
			return nil, fmt.Errorf("row of entry %s: %w", in.Entry.ID, err)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return cmp.Compare(a.Time, b.Time) })
	var out bytes.Buffer
	pw := parquet.NewGenericWriter[Row](&out, parquet.Compression(&parquet.Zstd), parquet.CreatedBy("stele", "1", ""))
	if _, err := pw.Write(rows); err != nil {
		return nil, fmt.Errorf("write Parquet rows: %w", err)
	}
	if err := pw.Close(); err != nil {
		return nil, fmt.Errorf("close Parquet file: %w", err)
	}
	return out.Bytes(), nil
}
