package audit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stelehq/stele/audit"
)

// TestClientStreams asks every question about streams, of an organization whose
// id has to be escaped and of the operator.
func TestClientStreams(t *testing.T) {
	ctx := t.Context()
	const (
		st     = `{"id":"stream_1","kind":"s3","name":"n","start":{"kind":"now"},"settings":{"bucket":"b"},"secrets":{"secret_access_key":{"hint":"1234","updated_at":"2026-03-01T00:00:00.000Z"}},"status":{"state":"active","lag_seconds":1.5}}`
		replay = `{"id":"replay_1","from":1,"to":2,"state":"running"}`
	)
	f, c := newFake(t,
		status(201, st), ok(`{"streams":[`+st+`]}`), ok(st), ok(st), ok(`{"ok":true,"latency_ms":3}`), ok(`{"ok":false,"message":"no"}`), ok(st), ok(st),
		ok(`{"deliveries":[{"number":4}],"next":"4","has_more":true}`), ok(`{"deliveries":[{"number":3}],"next":null,"has_more":false}`),
		ok(`{"dead_letters":[{"seq":7}],"next":null,"has_more":false}`), status(201, replay), status(204, ""),
		status(201, replay), ok(`{"replays":[`+replay+`]}`), status(204, ""), status(201, `{"id":"reconciliation_1","state":"running","found":null}`),
		ok(`{"id":"reconciliation_1","state":"done","found":{"missing":2,"gaps":[{"from":1,"to":2,"events":2}]}}`),
		ok(`{"reconciliations":[{"id":"reconciliation_1","state":"failed","error":"no"}]}`), status(204, ""), status(204, ""),
		ok(`{"kinds":[{"name":"s3","settings":[{"name":"bucket","required":true}]}],"formats":[{"name":"json"}]}`),
	)
	check := func(good bool, err error) {
		t.Helper()
		if err != nil || !good {
			t.Errorf("good %t, error %v", good, err)
		}
	}
	const org = "o/1"
	s, err := c.CreateStream(ctx, org, audit.NewStream{Kind: "s3", Start: &audit.StreamStart{Kind: "beginning"}, Settings: map[string]string{"bucket": "b"}, LagLimit: 60})
	check(s.Secrets["secret_access_key"].Hint == "1234" && s.Status.LagSeconds == 1.5, err)
	for s, err := range c.Streams(ctx, "") {
		check(s.ID == "stream_1", err)
	}
	s, err = c.Stream(ctx, "", "stream_1")
	check(s.Settings["bucket"] == "b", err)
	_, err = c.UpdateStream(ctx, org, "stream_1", audit.StreamChange{Name: new("x"), Settings: map[string]string{"prefix": ""}})
	check(true, err)
	test, err := c.TryStream(ctx, org, "stream_1", audit.NewStream{Kind: "s3"})
	check(test.OK && test.Latency == 3, err)
	test, err = c.TestStream(ctx, org, "stream_1")
	check(!test.OK && test.Message == "no", err)
	_, err = c.PauseStream(ctx, org, "stream_1")
	check(true, err)
	_, err = c.ResumeStream(ctx, org, "stream_1")
	check(true, err)
	var numbers []uint64
	for d, err := range c.StreamDeliveries(ctx, org, "stream_1") {
		check(true, err)
		numbers = append(numbers, d.Number)
	}
	check(slices.Equal(numbers, []uint64{4, 3}), nil)
	for d, err := range c.StreamDeadLetters(ctx, org, "stream_1") {
		check(d.Seq == 7, err)
	}
	r, err := c.RetryDeadLetters(ctx, "", "stream_1", audit.StreamEvents{OrganizationID: "o"})
	check(r.State == "running", err)
	check(true, c.DiscardDeadLetters(ctx, org, "stream_1", audit.StreamEvents{Seqs: []uint64{7}}))
	r, err = c.ReplayStream(ctx, org, "stream_1", audit.StreamRange{From: new(uint64(1)), Until: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
	check(r.ID == "replay_1", err)
	for r, err := range c.StreamReplays(ctx, org, "stream_1") {
		check(r.To == 2, err)
	}
	check(true, c.CancelReplay(ctx, org, "stream_1", "replay_1"))
	found, err := c.ReconcileStream(ctx, org, "stream_1", audit.StreamRange{})
	check(found.State == "running" && found.Found == nil, err)
	found, err = c.StreamReconciliation(ctx, org, "stream_1", "reconciliation_1")
	check(found.Found.Missing == 2 && found.Found.Gaps[0].Events == 2, err)
	for r, err := range c.StreamReconciliations(ctx, org, "stream_1") {
		check(r.Error == "no", err)
	}
	check(true, c.CancelReconciliation(ctx, org, "stream_1", "reconciliation_1"))
	check(true, c.DeleteStream(ctx, "", "stream_1"))
	kinds, err := c.StreamKinds(ctx)
	check(kinds.Kinds[0].Settings[0].Required && kinds.Formats[0].Name == "json", err)

	const at = "/v1/organizations/o%2F1/streams"
	var got []string
	for _, a := range f.asked {
		got = append(got, a.Method+" "+a.Target+" "+a.Body)
	}
	want := []string{
		`POST ` + at + ` {"kind":"s3","start":{"kind":"beginning"},"settings":{"bucket":"b"},"lag_limit_seconds":60}`,
		`GET /v1/streams `, `GET /v1/streams/stream_1 `,
		`PATCH ` + at + `/stream_1 {"name":"x","settings":{"prefix":""}}`,
		`POST ` + at + `/test {"kind":"s3","stream_id":"stream_1"}`,
		`POST ` + at + `/stream_1/test `, `POST ` + at + `/stream_1/pause `, `POST ` + at + `/stream_1/resume `,
		`GET ` + at + `/stream_1/deliveries `, `GET ` + at + `/stream_1/deliveries?cursor=4 `, `GET ` + at + `/stream_1/dead-letters `,
		`POST /v1/streams/stream_1/dead-letters/retry {"organization_id":"o"}`, `POST ` + at + `/stream_1/dead-letters/discard {"seqs":[7]}`,
		`POST ` + at + `/stream_1/replays {"from":1,"until":"2026-03-01T00:00:00Z"}`, `GET ` + at + `/stream_1/replays `,
		`DELETE ` + at + `/stream_1/replays/replay_1 `, `POST ` + at + `/stream_1/reconciliations {}`,
		`GET ` + at + `/stream_1/reconciliations/reconciliation_1 `, `GET ` + at + `/stream_1/reconciliations `,
		`DELETE ` + at + `/stream_1/reconciliations/reconciliation_1 `, `DELETE /v1/streams/stream_1 `, `GET /v1/stream-kinds `,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
