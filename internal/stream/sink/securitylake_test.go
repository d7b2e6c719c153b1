package sink

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/stelehq/stele/internal/stream/format/securitylake"
)

func lakeSettings(url, ca string) Values {
	return Values{
		"endpoint": url, "sts_endpoint": url, "ca_certificate": ca, "bucket": "acme-audit", "region": "eu-central-1",
		"access_key_id": s3ID, "secret_access_key": s3Secret, "role_arn": "arn:aws:iam::123456789012:role/w", "external_id": "ext-1",
		"location": "ext/stele/1.0/", "account_id": "123456789012",
	}
}

// lakeBatch is a batch in OCSF.
func lakeBatch(t testing.TB, first, n int) *Batch {
	t.Helper()
	b := batch(t, first, n)
	b.Format = "ocsf-1.1"
	return b
}

// TestSecurityLake: what Athena would read, from the bucket alone.
func TestSecurityLake(t *testing.T) {
	s := newBucket(t)
	s.role, s.pageSize = true, 2
	srv, ca := server(t, s)
	k := open(t, SecurityLake(), lakeSettings(srv.URL, ca))
	first := lakeBatch(t, 0, 500)
	send(t, k, first)
	send(t, k, first) // it is there
	// A batch over midnight, and one of another organization and of a replay.
	night := lakeBatch(t, 500, 4)
	for i := range night.Events[2:] {
		night.Events[2+i].Entry.ReceivedAt += 86_400_000
	}
	send(t, k, night)
	other := lakeBatch(t, 0, 2)
	other.Organization = "org.2"
	send(t, k, other)
	replay := lakeBatch(t, 7, 1)
	replay.Replay = "rp_1"
	send(t, k, replay)
	test := lakeBatch(t, 0, 1)
	if _, err := k.Test(t.Context(), test); err != nil {
		t.Fatal(err)
	}

	const day = "ext/stele/1.0/region=eu-central-1/accountId=123456789012/eventDay=20261120/"
	if want := []string{
		day + "org_1.00000000000000000000-00000000000000000499.500.str_1.parquet",
		day + "org_1.00000000000000000500-00000000000000000501.2.str_1.parquet",
		strings.Replace(day, "20261120", "20261121", 1) + "org_1.00000000000000000502-00000000000000000503.2.str_1.parquet",
		day + "org!2e2.00000000000000000000-00000000000000000001.2.str_1.parquet",
		day + "org_1.00000000000000000007-00000000000000000007.1.str_1.replay-rp_1.parquet",
		day + "test-b-0-1.parquet",
	}; !slices.Equal(s.keys, want) {
		t.Errorf("keys\n%s", strings.Join(s.keys, "\n"))
	}
	var ids []string
	for _, key := range s.keys[:3] {
		data := s.objects[key]
		rows, err := parquet.Read[securitylake.Row](bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			ids = append(ids, r.Metadata.UID)
			if r.ClassUID != 6003 || r.Metadata.Version != "1.1.0" || r.Metadata.TenantUID != "org_1" || r.API.Operation != "api_key.created" {
				t.Fatalf("row %+v", r)
			}
		}
	}
	var want []string
	for _, b := range []*Batch{first, night} {
		for i := range b.Events {
			want = append(want, b.Events[i].ID.String())
		}
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%d rows, not the events in order", len(ids))
	}

	var held []uint64
	lister, ok := k.(Lister)
	if !ok {
		t.Fatal("it cannot list")
	}
	for h, err := range lister.List(t.Context(), "str_1", "org_1") {
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, h.First, h.Last, uint64(h.Events))
		if (h.Replay == "rp_1") != (h.First == 7) || !strings.HasPrefix(h.Name, "ext/") || h.Size == 0 {
			t.Errorf("held %+v", h)
		}
	}
	if slices.Sort(held); !slices.Equal(held, []uint64{0, 1, 2, 2, 7, 7, 499, 500, 500, 501, 502, 503}) {
		t.Errorf("held %v", held)
	}
	refuse(t, k, checkpoint(), Malformed, "no checkpoints")
}

func TestSecurityLakeSettings(t *testing.T) {
	k := SecurityLake()
	for name, value := range map[string]string{"location": "", "location ": "a b", "account_id": "12", "role_arn": "", "external_id": "", "prefix": "x"} {
		v := lakeSettings("https://s3.example", "")
		v[strings.TrimSpace(name)] = value
		if _, err := k.Resolve(v); fieldOf(err) != "/settings/"+strings.TrimSpace(name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if name, ok := k.Format("json"); ok {
		t.Errorf("format %s is taken", name)
	}
}
