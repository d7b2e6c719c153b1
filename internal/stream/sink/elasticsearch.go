package sink

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// Elasticsearch is the bulk API of Elasticsearch and OpenSearch. Events are
// created, never indexed over: data streams accept nothing else, and an event
// that is there already answers 409, which counts as delivered. The answer has a
// status for each event, and only what is refused for good is rejected: 429 and
// 5xx of single events send the batch again. Requests are far below
// http.max_content_length (100 MB).
func Elasticsearch() Kind {
	k := Kind{
		Name: "elasticsearch", Label: "Elasticsearch",
		Summary: "Writes events to a data stream or index of Elasticsearch or OpenSearch, each once.",
		Formats: nil,
		Docs:    "https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk",
		Steps:   elasticsearchSteps(),
		Limits: []string{
			"At most 1000 events and 5 MiB a batch.",
			"There are no duplicates within one backing index; an attempt repeated after a rollover can leave an event in two.",
			"Each new key of your product's metadata becomes a field of the index, of which there are 1000, unless the template maps it as flattened.",
		},
		Settings: withTLS(
			Setting{Name: "url", Label: "URL", Place: true, Required: true, Check: checkBaseURL, Example: "https://acme.es.eu-central-1.aws.elastic.cloud", Help: "The address of Elasticsearch or OpenSearch, not of Kibana."},
			Setting{Name: "index", Label: "Data stream or index", Default: "logs-stele.events-default", Check: checkIndex, Help: "Where to write to."},
			Setting{Name: "api_key", Label: "API key", Secret: true, Check: checkWord, Help: "The key in its encoded form (Base64), or as id:key. Leave empty for a user and password."},
			Setting{Name: "username", Label: "User", Check: checkPrintable, Help: "A user, where there is no API key."},
			Setting{Name: "password", Label: "Password", Secret: true, Help: "That user's password."},
		),
	}
	k.Check = func(v Values) error {
		switch {
		case v["api_key"] == "" && v["username"] == "":
			return fieldFault("api_key", "an API key, or a user and password, is required")
		case v["api_key"] != "" && v["username"] != "":
			return fieldFault("username", "either an API key or a user and password, not both")
		case v["username"] != "" && v["password"] == "":
			return fieldFault("password", "is required with a user")
		}
		return checkTLS(v)
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		c.hints = map[int]string{
			http.StatusUnauthorized: "Check the API key, or the user and password.",
			http.StatusForbidden:    "Allow the key or user to create documents in the data stream or index (create_doc).",
			http.StatusNotFound:     "Check the URL, and that the data stream or index exists.",
		}
		e := &elasticsearch{client: c, v: v}
		c.maxAnswer = 4 << 20 // a line for each event, and its words when it is refused
		switch key := v["api_key"]; {
		case strings.Contains(key, ":"):
			e.auth = "ApiKey " + base64.StdEncoding.EncodeToString([]byte(key))
		case key != "":
			e.auth = "ApiKey " + key
		default:
			e.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(v["username"]+":"+v["password"]))
		}
		c.secrets = append(c.secrets, strings.Fields(e.auth)[1])
		return e, nil
	}
	return k
}

func elasticsearchSteps() []Step {
	return []Step{
		{
			Text: "Make an index template for the data stream, in Kibana under Dev Tools. It keeps your product's own keys in one field each. In OpenSearch the type is flat_object, and ignore_above is left out.",
			Paste: `PUT _index_template/stele
{"index_patterns": ["{index}"], "data_stream": {}, "priority": 500,
 "template": {"mappings": {"dynamic": true, "properties": {
  "@timestamp": {"type": "date"},
  "actor": {"properties": {"metadata": {"type": "flattened", "ignore_above": 8191}}},
  "targets": {"type": "flattened", "ignore_above": 8191},
  "metadata": {"type": "flattened", "ignore_above": 8191}}}}}`,
			Fills: []string{"index"},
		},
		{
			Text: "Make an API key that can create documents there and nothing else. In OpenSearch make a user with the action indices:data/write/index and indices:data/write/bulk* instead.",
			Paste: `POST /_security/api_key
{"name": "stele-audit", "role_descriptors": {"stele": {"indices": [
  {"names": ["{index}"], "privileges": ["create_doc", "auto_configure"]}]}}}`,
			Fills: []string{"api_key", "username", "password"},
		},
		{Text: "Copy the address of Elasticsearch, not of Kibana. In Elastic Cloud it is the deployment's Elasticsearch endpoint.", Fills: []string{"url"}},
	}
}

type elasticsearch struct {
	*client
	v    Values
	auth string
}

// Limits: see [Elasticsearch].
func (s *elasticsearch) Limits() Limits {
	return Limits{MaxEvents: 1000, MaxBytes: 5 << 20, EventOverhead: 120, SendTimeout: sendTimeout}
}

// Test sends the event.
func (s *elasticsearch) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send posts the batch and reads what became of each event.
func (s *elasticsearch) Send(ctx context.Context, b *Batch) (Answer, error) {
	body := make([]byte, 0, b.Bytes+160*len(b.Events))
	for i := range b.Events {
		ev := &b.Events[i]
		body = append(appendName(append(body, '{'), "create"), '{')
		id := "checkpoint-" + b.Organization + "-" + strconv.FormatUint(ev.Seq, 10)
		if ev.hasID() {
			id = ev.ID.String()
		}
		body = append(appendMember(body, "_id", id), "}}\n"...)
		body = append(s.appendDocument(body, b, ev), '\n')
	}
	target := s.v.base("url") + "/" + s.v["index"] + "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
	r, e := s.do(ctx, http.MethodPost, target, http.Header{
		"Authorization": {s.auth}, "Content-Type": {"application/x-ndjson"}, "Content-Encoding": {"gzip"},
	}, compress(body))
	if e != nil {
		return r.answer, e
	}
	if e := s.items(r, len(b.Events)); e != nil {
		return r.answer, e
	}
	return r.answer, nil
}

// appendDocument appends the document: the event, with @timestamp, which data
// streams ask for, unless its format has one.
func (s *elasticsearch) appendDocument(dst []byte, b *Batch, ev *Event) []byte {
	if b.JSON && strings.HasPrefix(b.Format, "ecs") {
		return append(dst, ev.Encoded...)
	}
	dst = appendStamp(appendName(append(dst, '{'), "@timestamp"), ev.OccurredAt)
	if !b.JSON {
		return append(appendMember(dst, "message", ev.Encoded), '}')
	}
	if len(ev.Encoded) > 2 {
		dst = append(append(dst, ','), ev.Encoded[1:len(ev.Encoded)-1]...)
	}
	return append(dst, '}')
}

// items makes an error of the statuses of single events.
func (s *elasticsearch) items(r *reply, n int) *Error {
	var said struct {
		Errors *bool
		Items  []map[string]struct {
			Status int
			Error  struct{ Type, Reason string }
		}
	}
	if !parse(r.body, &said) || said.Errors == nil || *said.Errors && len(said.Items) != n {
		return Errorf(Retry, "bulk_answer", "%s", s.sentence(r, "That is no answer to a bulk request: check that the URL is that of Elasticsearch. It will be sent again."))
	}
	if !*said.Errors {
		return nil
	}
	var rejected []Rejection
	var again *Error
	for i, item := range said.Items {
		for _, it := range item {
			text := Excerpt(it.Error.Type+": "+it.Error.Reason, s.secrets...)
			switch class, todo := classOf(it.Status); {
			case it.Status/100 == 2, it.Status == http.StatusConflict:
			case class == Malformed, class == TooLarge:
				rejected = append(rejected, Rejection{Index: i, Code: strconv.Itoa(it.Status), Text: text})
			case again == nil || again.Class == Retry:
				if hint := s.hints[it.Status]; hint != "" {
					todo = hint
				}
				again = Errorf(class, "item_"+strconv.Itoa(it.Status), "Elasticsearch answered %s for an event: %s. %s", statusText(it.Status), text, todo)
			}
		}
	}
	switch {
	case again != nil:
		return again // what was created answers 409 the next time
	case len(rejected) > 0:
		e := Errorf(Rejected, "rejected", "Elasticsearch refused %d of %d events, the first with: %s. Check the mapping of the index.", len(rejected), n, rejected[0].Text)
		e.Rejected, e.RestTaken = rejected, true
		return e
	}
	return nil
}

func checkIndex(value string) error {
	if value != strings.ToLower(value) || strings.ContainsAny(value, " \\/*?\"<>|,#:%&") || strings.ContainsAny(value[:1], "-_+.") || len(value) > 200 {
		return errors.New("must be the name of a data stream or index: lower case, without spaces and signs such as / * ? , # and colons")
	}
	return nil
}
