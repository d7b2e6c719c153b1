package sink

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// SecOps is Google Security Operations (Chronicle), by the method logs.import of
// the Chronicle API (cloud.google.com/chronicle/docs/reference/rest, v1beta),
// which takes raw logs for a log type. Its predecessor, the Ingestion API, ends
// in July 2027. Requests are kept below 1 MB, with the events in Base64; 200 with
// an empty object acknowledges. Nothing removes duplicates: the label event_id
// tells them apart.
func SecOps() Kind {
	k := Kind{
		Name: "google_secops", Label: "Google SecOps",
		Summary: "Sends events as raw logs to Google Security Operations (Chronicle).",
		Docs:    "https://cloud.google.com/chronicle/docs/reference/ingestion-methods",
		Steps: []Step{
			{
				Text:  "In Google SecOps, open SIEM Settings > Profile and copy the project, the location and the customer ID of the instance.",
				Fills: []string{"project", "location", "instance"},
			},
			{
				Text:  "Under SIEM Settings > Available Log Types, request a custom log type for these events, and make a parser for it: the events are JSON. Until there is one they can be found as raw logs.",
				Paste: "{log_type}", Fills: []string{"log_type"},
			},
			{
				Text: "In that project, make a role with one permission, and a service account that has it.",
				Paste: "gcloud iam roles create steleAudit --project={project} --permissions=chronicle.logs.import\n" +
					"gcloud iam service-accounts create stele-audit --project={project}\n" +
					"gcloud projects add-iam-policy-binding {project} --role=projects/{project}/roles/steleAudit \\\n" +
					"  --member=serviceAccount:stele-audit@{project}.iam.gserviceaccount.com",
			},
			{
				Text:  "Make a JSON key for the service account, copy the whole file, and delete it.",
				Paste: "gcloud iam service-accounts keys create key.json --iam-account=stele-audit@{project}.iam.gserviceaccount.com",
				Fills: []string{"service_account"},
			},
		},
		Limits: []string{
			"At most 1000 events and 600,000 bytes a batch, which Base64 makes about 1 MB.",
			"Each instance has a burst limit over five minutes; beyond it Google asks for less, and the stream slows down.",
			"Google removes no duplicates: events have the label event_id.",
		},
		Settings: withTLS(
			Setting{Name: "project", Label: "Project", Required: true, Check: checkProject, Example: "acme-secops", Help: "The id of the Google Cloud project that the instance belongs to."},
			Setting{Name: "location", Label: "Location", Default: "us", Check: checkRegion, Help: "The instance's region, such as us, eu or europe-west2."},
			Setting{
				Name: "instance", Label: "Customer ID", Required: true, Check: checkUUID, Example: "01234567-89ab-cdef-0123-456789abcdef",
				Help: "The instance's customer ID.",
			},
			Setting{Name: "log_type", Label: "Log type", Default: "STELE_AUDIT_CUSTOM", Check: checkLogType, Help: "The log type that the events are taken as."},
			Setting{
				Name: "service_account", Label: "Service account key", Required: true, Secret: true, Multiline: true, Check: checkServiceAccount,
				Help: "The JSON key file, whole.",
			},
			Setting{
				Name: "forwarder", Label: "Forwarder", Check: checkUUID, Advanced: true, Example: "01234567-89ab-cdef-0123-456789abcdef",
				Help: "The id of a forwarder to name as the source. Empty names none.",
			},
			Setting{Name: "namespace", Label: "Namespace", Check: checkPrintable, Advanced: true, Example: "acme", Help: "The environment namespace of the events."},
			Setting{
				Name: "endpoint", Label: "Endpoint", Place: true, Check: checkBaseURL, Advanced: true, Example: "https://chronicle.us.rep.googleapis.com",
				Help: "The address of the interface. Empty is the location's.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		account, err := newServiceAccount(v["service_account"])
		if err != nil {
			return nil, &Error{Class: Invalid, Code: "credentials", Message: "The service account key " + err.Error() + "."}
		}
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		c.secrets = append(c.secrets, account.Key)
		c.hints = map[int]string{
			http.StatusUnauthorized: "Make a new key for the service account.",
			http.StatusForbidden:    "Give the service account a role with chronicle.logs.import in the instance's project.",
			http.StatusNotFound:     "Check project, location, customer ID and log type.",
		}
		s := &secops{client: c, v: v, tokens: account.tokens(c, "https://www.googleapis.com/auth/cloud-platform")}
		endpoint := v.base("endpoint")
		if endpoint == "" {
			endpoint = "https://chronicle." + v["location"] + ".rep.googleapis.com"
		}
		s.parent = "projects/" + v["project"] + "/locations/" + v["location"] + "/instances/" + v["instance"]
		s.url = endpoint + "/v1beta/" + s.parent + "/logTypes/" + v["log_type"] + "/logs:import"
		c.explain = s.explain
		return s, nil
	}
	return k
}

type secops struct {
	*client
	v           Values
	url, parent string
	tokens      *tokens
}

// Limits: see [SecOps].
func (s *secops) Limits() Limits {
	return Limits{MaxEvents: 1000, MaxBytes: 600_000, EventOverhead: 300, SendTimeout: sendTimeout}
}

// Test sends the event.
func (s *secops) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send imports the batch's events.
func (s *secops) Send(ctx context.Context, b *Batch) (Answer, error) {
	h, e := s.tokens.header(ctx, http.Header{"Content-Type": {"application/json"}})
	if e != nil {
		return Answer{}, e
	}
	body := append(make([]byte, 0, b.Bytes*4/3+400*len(b.Events)), `{"inlineSource":{`...)
	if s.v["forwarder"] != "" {
		body = appendMember(body, "forwarder", s.parent+"/forwarders/"+s.v["forwarder"])
	}
	body = append(appendName(body, "logs"), '[')
	for i := range b.Events {
		if i > 0 {
			body = append(body, ',')
		}
		body = s.appendLog(body, b, &b.Events[i])
	}
	body = append(body, "]}}"...)
	r, e := s.do(ctx, http.MethodPost, s.url, h, body)
	s.tokens.forget(e)
	return result(r, e)
}

// appendLog appends one log. It must be collected after it was made: events from
// a clock that is ahead are collected a microsecond later.
func (s *secops) appendLog(dst []byte, b *Batch, ev *Event) []byte {
	collected := ev.ReceivedAt
	if !collected.After(ev.OccurredAt) {
		collected = ev.OccurredAt.Add(time.Microsecond)
	}
	dst = append(appendName(append(dst, '{'), "data"), '"')
	dst = base64.StdEncoding.AppendEncode(dst, ev.Encoded)
	dst = appendStamp(appendName(append(dst, '"'), "logEntryTime"), ev.OccurredAt)
	dst = appendStamp(appendName(dst, "collectionTime"), collected)
	dst = appendMember(dst, "environmentNamespace", s.v["namespace"])
	dst = append(appendName(dst, "labels"), '{')
	if ev.hasID() {
		dst = append(appendMember(append(appendName(dst, "event_id"), '{'), "value", ev.ID[:]), '}')
	}
	dst = append(appendMember(append(appendName(dst, "organization_id"), '{'), "value", b.Organization), '}')
	return append(dst, '}', '}')
}

// explain tells what is wrong with the settings from what is wrong with events:
// both are 400.
func (s *secops) explain(r *reply) *Error {
	if r.status != http.StatusBadRequest {
		return nil
	}
	text := strings.ToLower(saidIn(r.body))
	for _, word := range []string{"log type", "log_type", "logtype", "forwarder", "parent", "instance", "customer", "namespace"} {
		if strings.Contains(text, word) {
			return Errorf(Invalid, "invalid_argument", "%s", s.sentence(r, "Check log type, customer ID, location and forwarder in the settings."))
		}
	}
	return nil
}

func checkProject(value string) error {
	if !regexp.MustCompile(`^([a-z][a-z0-9-]{4,28}[a-z0-9]|[0-9]{6,20})$`).MatchString(value) {
		return errors.New("must be a project's id or number")
	}
	return nil
}

func checkUUID(value string) error {
	if !regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString(value) {
		return errors.New("must be an id such as 01234567-89ab-cdef-0123-456789abcdef")
	}
	return nil
}

func checkLogType(value string) error {
	if !regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,99}$`).MatchString(value) {
		return errors.New("must be a log type such as STELE_AUDIT_CUSTOM: capital letters, digits and '_'")
	}
	return nil
}
