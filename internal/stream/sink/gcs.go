package sink

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// GCS is Google Cloud Storage over its JSON API. A batch is one object, uploaded
// with ifGenerationMatch=0 so that nothing is overwritten: 412 says that an
// earlier attempt has left it there. A 200 acknowledges; Cloud Storage is
// consistent from then on.
func GCS() Kind {
	k := Kind{
		Name: "google_cloud_storage", Label: "Google Cloud Storage", Lists: true,
		Summary: "Writes objects of JSON lines to a bucket of Google Cloud Storage. Each event lies in exactly one place.",
		Docs:    "https://cloud.google.com/storage/docs/creating-buckets",
		Steps: []Step{
			{Text: "Make a bucket, or choose one.", Fills: []string{"bucket"}},
			{Text: "Make a service account and let it create objects in that bucket. With a project in $PROJECT:", Paste: "gcloud iam service-accounts create stele-audit --project=$PROJECT\ngcloud storage buckets add-iam-policy-binding gs://{bucket} \\\n  --member=serviceAccount:stele-audit@$PROJECT.iam.gserviceaccount.com --role=roles/storage.objectCreator"},
			{Text: "For reconciliation, which lists what lies there, let it view objects too.", Paste: "gcloud storage buckets add-iam-policy-binding gs://{bucket} \\\n  --member=serviceAccount:stele-audit@$PROJECT.iam.gserviceaccount.com --role=roles/storage.objectViewer"},
			{Text: "Make a JSON key for the service account, copy the whole file, and delete it.", Paste: "gcloud iam service-accounts keys create key.json --iam-account=stele-audit@$PROJECT.iam.gserviceaccount.com", Fills: []string{"service_account"}},
		},
		Limits: []string{
			"An object has at most 16 MiB of lines or 50,000 events, or what came in the minutes between objects.",
			"Objects are written once and never changed. There are no duplicates within a stream.",
		},
		Settings: withTLS(append([]Setting{
			{Name: "bucket", Label: "Bucket", Required: true, Check: checkBucket, Example: "acme-audit", Help: "The bucket's name alone."},
			{Name: "service_account", Label: "Service account key", Required: true, Secret: true, Multiline: true, Check: checkServiceAccount, Help: "The JSON key file, whole."},
			{Name: "endpoint", Label: "Endpoint", Place: true, Default: "https://storage.googleapis.com", Check: checkBaseURL, Advanced: true, Help: "For private access to Google's interfaces."},
		}, objectSettings()...)...),
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
		c.secrets, c.maxList, c.opaque = append(c.secrets, account.Key), 4<<20, true
		c.hints = map[int]string{
			http.StatusUnauthorized: "Make a new key for the service account.",
			http.StatusForbidden:    "Give the service account the role Storage Object Creator on the bucket.",
			http.StatusNotFound:     "Check the bucket's name.",
		}
		return &gcs{client: c, v: v, tokens: account.tokens(c, "https://www.googleapis.com/auth/devstorage.read_write")}, nil
	}
	return k
}

type gcs struct {
	*client
	v      Values
	tokens *tokens
}

// Limits are those of object stores.
func (s *gcs) Limits() Limits { return objectLimits(s.v) }

// Test writes the event as an object below stele-check/.
func (s *gcs) Test(ctx context.Context, b *Batch) (Answer, error) {
	test := *b
	test.Test = true
	return s.Send(ctx, &test)
}

// Send uploads the batch's object.
func (s *gcs) Send(ctx context.Context, b *Batch) (Answer, error) {
	o := newObject(s.v, b)
	h, e := s.tokens.header(ctx, http.Header{"Content-Type": {o.contentType}})
	if e != nil {
		return Answer{}, e
	}
	q := url.Values{"uploadType": {"media"}, "name": {o.key}, "ifGenerationMatch": {"0"}}
	r, e := s.do(ctx, http.MethodPost, s.v.base("endpoint")+"/upload/storage/v1/b/"+s.v["bucket"]+"/o?"+q.Encode(), h, o.body)
	if r.status == http.StatusPreconditionFailed {
		return r.answer, nil // an earlier attempt wrote it
	}
	s.tokens.forget(e)
	return result(r, e)
}

// List lists the stream's objects of an organization.
func (s *gcs) List(ctx context.Context, stream, organization string) iter.Seq2[Held, error] {
	held := heldReader(stream)
	return listing(ctx, func(ctx context.Context, token string) (list []Held, next string, e *Error) {
		h, e := s.tokens.header(ctx, http.Header{})
		if e != nil {
			return nil, "", e
		}
		q := url.Values{"prefix": {objectPrefix(s.v, organization)}, "fields": {"nextPageToken,items(name,size)"}}
		if token != "" {
			q.Set("pageToken", token)
		}
		r, e := s.do(ctx, http.MethodGet, s.v.base("endpoint")+"/storage/v1/b/"+s.v["bucket"]+"/o?"+q.Encode(), h, nil)
		if e != nil {
			s.tokens.forget(e)
			return nil, "", e
		}
		var page struct {
			Next  string `json:"nextPageToken"`
			Items []struct{ Name, Size string }
		}
		if !parse(r.body, &page) {
			return nil, "", unreadable(nil)
		}
		for _, it := range page.Items {
			size, err := strconv.ParseInt(it.Size, 10, 64)
			if err != nil {
				return nil, "", unreadable(err)
			}
			if h, ok := held(it.Name, size); ok {
				list = append(list, h)
			}
		}
		return list, page.Next, nil
	})
}
