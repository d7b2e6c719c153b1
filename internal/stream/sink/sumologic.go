package sink

import (
	"context"
	"net/http"
)

// SumoLogic is an HTTP Logs source of a hosted collector of Sumo Logic. The
// source's address holds its token, so the address is the secret. Requests have
// at most 1 MB before compression, as Sumo Logic advises. A 200 acknowledges;
// duplicates are not removed. 408 says that the data was taken and timed out: it
// is sent again.
func SumoLogic() Kind {
	k := Kind{
		Name: "sumo_logic", Label: "Sumo Logic",
		Summary: "Sends events to an HTTP Logs and Metrics source of Sumo Logic.",
		Docs:    "https://www.sumologic.com/help/docs/send-data/hosted-collectors/http-source/logs-metrics/",
		Steps: []Step{
			{Text: "In Sumo Logic, open Data Management > Collection and add a source to a hosted collector: HTTP Logs & Metrics. Give it this name.", Paste: "stele-audit", Fills: []string{"name"}},
			{Text: "Give it a source category, and switch Enable Multiline Processing off: each line is an event.", Fills: []string{"category"}},
			{Text: "Under Timestamp Parsing, give a custom format and its locator, so that events have the time at which they occurred.", Paste: "yyyy-MM-dd'T'HH:mm:ss.SSS\n\"occurred_at\":\"(.*?)Z\""},
			{Text: "Copy the HTTP source address. It can only be sent to.", Fills: []string{"url"}},
		},
		Limits: []string{
			"At most 1000 events and 1 MB a batch.",
			"Sumo Logic removes no duplicates, and can answer 408 to what it has taken: search with | dedup 1 by id.",
		},
		Settings: withTLS(
			Setting{
				Name: "url", Label: "HTTP source address", Place: true, Required: true, Secret: true, Check: checkURL,
				Example: "https://endpoint4.collection.sumologic.com/receiver/v1/http/ZaVnC4dhaV0", Help: "The whole address: it holds the source's token.",
			},
			Setting{Name: "category", Label: "Source category", Check: checkPrintable, Example: "prod/audit", Help: "_sourceCategory; empty is the source's."},
			Setting{Name: "name", Label: "Source name", Check: checkPrintable, Help: "_sourceName; empty is the source's.", Advanced: true},
			Setting{Name: "fields", Label: "Fields", Check: checkPrintable, Example: "env=prod,team=security", Help: "Fields for every event, with commas between.", Advanced: true},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		const address = "Copy the HTTP source address again: the source may have been removed, or its address made anew."
		c.hints = map[int]string{http.StatusUnauthorized: address, http.StatusForbidden: address, http.StatusNotFound: address}
		return &sumoLogic{client: c, v: v, host: env.Server}, nil
	}
	return k
}

type sumoLogic struct {
	*client
	v    Values
	host string
}

// Limits: see [SumoLogic].
func (s *sumoLogic) Limits() Limits {
	return Limits{MaxEvents: 1000, MaxBytes: 1_000_000, EventOverhead: 1, SendTimeout: sendTimeout}
}

// Test sends the event.
func (s *sumoLogic) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send posts the batch.
func (s *sumoLogic) Send(ctx context.Context, b *Batch) (Answer, error) {
	h := http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}
	if !b.JSON {
		h.Set("Content-Type", "text/plain")
	}
	for name, value := range map[string]string{
		"X-Sumo-Category": s.v["category"], "X-Sumo-Name": s.v["name"], "X-Sumo-Fields": s.v["fields"], "X-Sumo-Host": s.host,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return result(s.do(ctx, http.MethodPost, s.v["url"], h, compress(appendLines(make([]byte, 0, b.Bytes+len(b.Events)), b.Events))))
}
