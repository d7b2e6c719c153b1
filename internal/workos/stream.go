package workos

import (
	"context"
	"errors"

	"github.com/stelehq/stele/audit"
	"github.com/stelehq/stele/internal/stream"
)

// streamView is a log stream as WorkOS shows it.
type streamView struct {
	ID         string  `json:"id"`
	Type       string  `json:"type"`
	State      string  `json:"state"`
	LastSynced *string `json:"last_synced_at"`
	CreatedAt  string  `json:"created_at"`
}

// logStream is the stream of an organization, nil when there is none. WorkOS
// knows one: of several it is the oldest.
func (w *dropIn) logStream(ctx context.Context, org string) (*streamView, error) {
	all, err := w.Streams.List(ctx, org)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	st := all[0]
	status, err := w.Streams.Status(ctx, org, st.ID)
	if errors.Is(err, &audit.Error{Code: audit.CodeNotFound}) {
		return nil, nil //nolint:nilnil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	v := &streamView{ID: st.ID, Type: streamType(st.Kind), State: streamState(status.State), CreatedAt: stamp(st.CreatedAt)}
	if at := status.LastSuccess; !at.IsZero() {
		text := stamp(at)
		v.LastSynced = &text
	}
	return v, nil
}

// streamType is WorkOS's name for a kind of destination. Kinds that it does not
// have are shown as its general one, since SDKs know no other words.
func streamType(kind string) string {
	switch kind {
	case "splunk_hec":
		return "Splunk"
	case "s3":
		return "S3"
	case "datadog":
		return "Datadog"
	case "google_cloud_storage":
		return "GoogleCloudStorage"
	case "microsoft_sentinel":
		return "AzureSentinel"
	case "snowflake":
		return "Snowflake"
	default:
		return "GenericHttps"
	}
}

// streamState is WorkOS's word for a state: a stream that tries again is active,
// one that is paused is not.
func streamState(s stream.State) string {
	switch s {
	case stream.StateError, stream.StateInvalid:
		return string(s)
	case stream.StatePaused:
		return "inactive"
	default:
		return "active"
	}
}
