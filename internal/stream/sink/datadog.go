package sink

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Datadog is the log intake of Datadog, POST /api/v2/logs (docs.datadoghq.com,
// "Send logs"). Its limits: 1000 logs and 5 MB uncompressed a request, 1 MB a
// log, and logs that are at most 18 hours old. A 202 acknowledges; there is no
// later confirmation and no removal of duplicates (event_id tells them apart).
func Datadog() Kind {
	k := Kind{
		Name: "datadog", Label: "Datadog", Entries: true,
		Summary: "Sends events to Datadog Logs, with the standard attributes for user, event, address and browser.",
		Docs:    "https://docs.datadoghq.com/api/latest/logs/#send-logs",
		Steps: []Step{
			{Text: "In Datadog, open Organization Settings > API Keys, choose New Key and give it this name. An API key can only send.", Paste: "stele-audit"},
			{Text: "Copy the key. An application key will not do.", Fills: []string{"api_key"}},
			{Text: "Find your site: the host name in your browser, without app. at its beginning.", Fills: []string{"site"}},
			{Text: "To find events by the standard attributes, add facets for @evt.name, @usr.id, @network.client.ip and @event_id."},
		},
		Limits: []string{
			"Datadog takes events of the last 18 hours. Older ones, after a long pause or from before, are recorded as skipped and shown.",
			"At most 1000 events and 4 MiB a batch; Datadog cuts what is longer than 1 MB.",
			"Datadog removes no duplicates, and confirms only that it has taken the logs: count by @event_id.",
		},
		Settings: withTLS(
			Setting{
				Name: "site", Label: "Site", Place: true, Default: "datadoghq.com", Check: checkHost,
				Help: "datadoghq.com, us3.datadoghq.com, us5.datadoghq.com, datadoghq.eu, ap1.datadoghq.com, ap2.datadoghq.com or ddog-gov.com.",
			},
			Setting{
				Name: "api_key", Label: "API key", Required: true, Secret: true, Check: checkWord, Example: "0123456789abcdef0123456789abcdef",
				Help: "An API key, not an application key.",
			},
			Setting{
				Name: "service", Label: "Service", Default: "audit-logs", Check: checkPrintable,
				Help: "The service the logs are of.",
			},
			Setting{
				Name: "source", Label: "Source", Default: "stele", Check: checkPrintable,
				Help: "ddsource: which integration pipeline the logs go through.",
			},
			Setting{
				Name: "tags", Label: "Tags", Check: checkPrintable, Example: "env:prod,team:security",
				Help: "Tags for every log, with commas between. The organization is added as organization:….",
			},
			Setting{
				Name: "url", Label: "Intake URL", Place: true, Check: checkBaseURL, Advanced: true, Example: "https://http-intake.logs.datadoghq.com",
				Help: "The intake itself, where it is not http-intake.logs. and the site: an observability pipeline, a private link.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		c.hints = map[int]string{
			http.StatusUnauthorized: "Check the API key.",
			http.StatusForbidden:    "Check the API key, and that it belongs to the site in the settings: keys of one site are unknown at another.",
		}
		d := &datadog{client: c, v: v, server: env.Server, url: v.base("url")}
		if d.url == "" {
			d.url = "https://http-intake.logs." + v["site"]
		}
		return d, nil
	}
	return k
}

type datadog struct {
	*client
	v           Values
	server, url string
}

// Limits: see [Datadog]. 5 minutes of the 18 hours are left for the way.
func (d *datadog) Limits() Limits {
	return Limits{
		MaxEvents: 1000, MaxBytes: 4 << 20, EventOverhead: 700 + len(d.v["tags"]), SendTimeout: sendTimeout,
		OldestEvent: 18*time.Hour - 5*time.Minute,
	}
}

// Test sends the event.
func (d *datadog) Test(ctx context.Context, b *Batch) (Answer, error) { return d.Send(ctx, b) }

// Send posts the batch.
func (d *datadog) Send(ctx context.Context, b *Batch) (Answer, error) {
	body := make([]byte, 0, b.Bytes+700*len(b.Events))
	body = append(body, '[')
	for i := range b.Events {
		if i > 0 {
			body = append(body, ',')
		}
		body = d.appendLog(body, b, &b.Events[i])
	}
	body = append(body, ']')
	return result(d.do(ctx, http.MethodPost, d.url+"/api/v2/logs", http.Header{
		"Dd-Api-Key": {d.v["api_key"]}, "Content-Type": {"application/json"}, "Content-Encoding": {"gzip"},
	}, compress(body)))
}

// appendLog appends one log: the reserved attributes, the standard ones, and the
// event whole as "stele". What is not JSON is the message.
func (d *datadog) appendLog(dst []byte, b *Batch, ev *Event) []byte {
	dst = appendMember(append(dst, '{'), "ddsource", d.v["source"])
	dst = appendMember(dst, "ddtags", d.tags(b))
	dst = appendMember(dst, "hostname", d.server)
	dst = appendMember(dst, "service", d.v["service"])
	dst = strconv.AppendInt(appendName(dst, "timestamp"), ev.OccurredAt.UnixMilli(), 10)
	if ev.hasID() {
		dst = appendMember(dst, "event_id", ev.ID[:])
	}
	if !b.JSON {
		return append(appendMember(dst, "message", ev.Encoded), '}')
	}
	if e := ev.Entry; e != nil {
		who := e.Actor.Name
		if len(who) == 0 {
			who = e.Actor.ID
		}
		dst = appendMember(dst, "message", string(e.Action)+" by "+string(who))
		dst = append(appendMember(append(appendName(dst, "evt"), '{'), "name", e.Action), '}')
		usr := appendMember(append(appendName(dst, "usr"), '{'), "id", e.Actor.ID)
		dst = append(appendMember(usr, "name", e.Actor.Name), '}')
		if ip, err := netip.ParseAddr(string(e.Location)); err == nil {
			dst = append(appendMember(append(appendName(dst, "network"), `{"client":{`...), "ip", ip.String()), '}', '}')
		}
		if len(e.UserAgent) > 0 {
			dst = append(appendMember(append(appendName(dst, "http"), '{'), "useragent", e.UserAgent), '}')
		}
	} else {
		dst = appendMember(dst, "message", "Checkpoint of the log of "+b.Organization)
	}
	return append(append(appendName(dst, "stele"), ev.Encoded...), '}')
}

func (d *datadog) tags(b *Batch) string {
	tags := "organization:" + b.Organization
	if d.v["tags"] != "" {
		tags = d.v["tags"] + "," + tags
	}
	return tags
}
