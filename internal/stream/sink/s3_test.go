package sink

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/rclone/gofakes3/signature"
)

const (
	s3ID     = "AKIAIOSFODNN7EXAMPLE"
	s3Secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// bucket is a strict S3 bucket with its STS: signatures are checked by the code of
// another project, sums by its own.
type bucket struct {
	t        *testing.T
	role     bool // only credentials of the assumed role may write
	pageSize int
	busy     int // how many requests for a page are refused

	mu      sync.Mutex
	objects map[string][]byte
	keys    []string // in the order they were first written
	puts    int
	assumed int
}

func newBucket(t *testing.T) *bucket {
	return &bucket{t: t, objects: map[string][]byte{}, pageSize: 1000}
}

func (s *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fail := func(status int, code, message string) {
		w.WriteHeader(status)
		answerf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
	}
	if r.Method == http.MethodPost {
		s.sts(w, r)
		return
	}
	token := r.Header.Get("X-Amz-Security-Token")
	if s.role != (token == "role-token") {
		fail(403, "AccessDenied", "Access Denied")
		return
	}
	code := signature.V4SignVerifyWithLookup(r, func(id string) (string, bool) {
		if s.role {
			return "role-secret", id == "ASIAROLE"
		}
		return s3Secret, id == s3ID
	})
	if code != signature.ErrNone {
		e := signature.GetAPIError(code)
		fail(e.HTTPStatusCode, e.Code, e.Description)
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/acme-audit/")
	switch {
	case !ok:
		fail(404, "NoSuchBucket", "The specified bucket does not exist")
	case r.Method == http.MethodGet && s.busy > 0:
		s.busy--
		fail(503, "SlowDown", "Please reduce your request rate.")
	case r.Method == http.MethodGet:
		s.list(w, r.URL.Query())
	case r.Method == http.MethodPut:
		s.put(key, r, fail)
	default:
		fail(405, "MethodNotAllowed", r.Method)
	}
}

func (s *bucket) put(key string, r *http.Request, fail func(status int, code, message string)) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	sum, digest := md5.Sum(body), sha256.Sum256(body)
	if r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(sum[:]) ||
		r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(digest[:]) {
		fail(400, "BadDigest", "The checksum you specified did not match")
		return
	}
	if r.Header.Get("Content-Encoding") != "" {
		s.t.Error("an object with Content-Encoding")
	}
	s.puts++
	if old, there := s.objects[key]; there {
		if !bytes.Equal(old, body) {
			s.t.Errorf("%s is written again with something else", key)
		}
		if r.Header.Get("If-None-Match") == "*" {
			fail(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
			return
		}
	} else {
		s.keys = append(s.keys, key)
	}
	s.objects[key] = body
}

func (s *bucket) list(w http.ResponseWriter, q url.Values) {
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(k, q.Get("prefix")) && k > q.Get("continuation-token") {
			keys = append(keys, k)
		}
	}
	more := len(keys) > s.pageSize
	keys = keys[:min(len(keys), s.pageSize)]
	answerf(w, `<ListBucketResult><IsTruncated>%v</IsTruncated>`, more)
	for _, k := range keys {
		answerf(w, `<Contents><Key>%s</Key><Size>%d</Size></Contents>`, k, len(s.objects[k]))
	}
	if more {
		answerf(w, `<NextContinuationToken>%s</NextContinuationToken>`, keys[len(keys)-1])
	}
	answerf(w, `</ListBucketResult>`)
}

func (s *bucket) sts(w http.ResponseWriter, r *http.Request) {
	fail := func(code, message string) {
		w.WriteHeader(http.StatusForbidden)
		answerf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>`, code, message)
	}
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	if !strings.Contains(r.Header.Get("Authorization"), "Credential="+s3ID+"/") || !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/sts/aws4_request") {
		fail("InvalidClientTokenId", "The security token included in the request is invalid.")
		return
	}
	if r.Form.Get("Action") != "AssumeRole" || r.Form.Get("RoleArn") != "arn:aws:iam::123456789012:role/w" || r.Form.Get("ExternalId") != "ext-1" {
		fail("AccessDenied", "User is not authorized to perform: sts:AssumeRole")
		return
	}
	s.assumed++
	answerf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
		<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey><SessionToken>role-token</SessionToken>
		<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, clock().Add(time.Hour).Format(time.RFC3339))
}

// lines reads the events of all objects in the order they were written.
func (s *bucket) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, k := range s.keys {
		body := s.objects[k]
		if strings.HasSuffix(k, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				s.t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				s.t.Fatal(err)
			}
		}
		for line := range strings.Lines(string(body)) {
			all = append(all, strings.TrimSuffix(line, "\n"))
		}
	}
	return all
}

func s3Settings(url, ca string) Values {
	return Values{
		"endpoint": url, "ca_certificate": ca, "bucket": "acme-audit", "region": "eu-central-1",
		"access_key_id": s3ID, "secret_access_key": s3Secret, "prefix": "stele/audit",
	}
}

func TestS3(t *testing.T) {
	s := newBucket(t)
	checkHTTP(t, httpCase{
		kind: S3(), receiver: s, settings: s3Settings, arrived: s.lines,
		wrong: "secret_access_key", value: "wrongwrongwrongwrongwrongwrongwrongwrong", says: "Check the access key",
		secrets: []string{s3Secret}, own: map[int]Class{400: Invalid, 422: Invalid},
	})
	want := "stele/audit/org=org_1/dt=2026-11-20/hour=10/00000000000000000000-00000000000000000039.40.str_1.ndjson.gz"
	if s.keys[0] != want {
		t.Errorf("key %s\nwant %s", s.keys[0], want)
	}
}

// TestS3Again: a batch sent again finds its object, and changes nothing.
func TestS3Again(t *testing.T) {
	s := newBucket(t)
	srv, ca := server(t, s)
	for _, v := range []Values{{}, {"conditional": "no"}, {"layout": "flat", "compression": "none"}} {
		maps.Copy(v, s3Settings(srv.URL, ca))
		k := open(t, S3(), v)
		b := batch(t, 0, 10)
		send(t, k, b)
		b.Attempt = 2
		send(t, k, b)
	}
	want := []string{
		"stele/audit/org=org_1/dt=2026-11-20/hour=10/00000000000000000000-00000000000000000009.10.str_1.ndjson.gz",
		"stele/audit/org=org_1/2026/11/20/10/00000000000000000000-00000000000000000009.10.str_1.ndjson",
	}
	if !slices.Equal(s.keys, want) || s.puts != 6 {
		t.Errorf("%d puts: %q", s.puts, s.keys)
	}
}

func TestS3List(t *testing.T) {
	s := newBucket(t)
	s.pageSize = 2
	srv, ca := server(t, s)
	k := open(t, S3(), s3Settings(srv.URL, ca))
	var want []Held
	for i := range 5 {
		b := batch(t, i*10, 10)
		if i == 3 {
			b.Replay = "r.1"
		}
		send(t, k, b)
		key := s.keys[len(s.keys)-1]
		want = append(want, Held{Name: key, First: b.First, Last: b.Last, Events: 10, Replay: b.Replay, Size: int64(len(s.objects[key]))})
	}
	other := batch(t, 50, 1)
	other.Stream = "str_2"
	send(t, k, other)
	foreign := batch(t, 0, 1)
	foreign.Organization = "org_12"
	send(t, k, foreign)
	send(t, k, checkpoint())
	if _, err := k.Test(t.Context(), batch(t, 0, 1)); err != nil {
		t.Fatal(err)
	}
	var got []Held
	for h, err := range k.(Lister).List(t.Context(), "str_1", "org_1") {
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			s.busy = 1 // the second page comes at the second try
		}
		got = append(got, h)
	}
	if !slices.Equal(got, want) || s.busy != 0 {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for _, key := range []string{"stele/audit/org=org_1/checkpoints/00000000000000000010.str_1.json", "stele/audit/stele-check/b-0-1.json"} {
		if _, ok := s.objects[key]; !ok {
			t.Errorf("no object %s among %q", key, s.keys)
		}
	}
}

func TestS3Role(t *testing.T) {
	s := newBucket(t)
	s.role = true
	srv, ca := server(t, s)
	v := s3Settings(srv.URL, ca)
	v["sts_endpoint"], v["role_arn"], v["external_id"] = srv.URL, "arn:aws:iam::123456789012:role/w", "ext-1"
	k := open(t, S3(), v)
	send(t, k, batch(t, 0, 3))
	send(t, k, batch(t, 3, 3))
	wantEvents(t, s.lines(), batch(t, 0, 6))
	if s.assumed != 1 {
		t.Errorf("the role was assumed %d times", s.assumed)
	}
	k.(*s3).now = func() time.Time { return clock().Add(56 * time.Minute) }
	send(t, k, batch(t, 6, 3))
	if s.assumed != 2 {
		t.Errorf("the role was assumed %d times, want again before it ends", s.assumed)
	}
	v["external_id"] = "wrong"
	refuse(t, open(t, S3(), v), batch(t, 0, 1), Invalid, "sts:AssumeRole", "external id")
	v["access_key_id"] = "AKIAOTHER"
	refuse(t, open(t, S3(), v), batch(t, 0, 1), Invalid, "Check the access key")
}

func TestS3Errors(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		class  Class
		says   string
	}{
		"SlowDown": {503, RateLimited, ""}, "InternalError": {500, Retry, ""}, "RequestTimeTooSkewed": {403, Retry, "clock"},
		"ConditionalRequestConflict": {409, Retry, ""}, "NotImplemented": {501, Invalid, "conditional writes"},
		"NoSuchBucket": {404, Invalid, "bucket's name"}, "EntityTooLarge": {400, TooLarge, ""}, "PermanentRedirect": {301, Invalid, "us-west-2"},
		"ExpiredToken": {400, Retry, ""}, "RequestTimeout": {400, Retry, ""},
	} {
		srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.status == 301 {
				w.Header().Set("X-Amz-Bucket-Region", "us-west-2")
			}
			w.WriteHeader(c.status)
			answerf(w, `<Error><Code>%s</Code><Message>words of S3</Message></Error>`, code)
		}))
		refuse(t, open(t, S3(), s3Settings(srv.URL, ca)), batch(t, 0, 1), c.class, "words of S3", c.says)
	}
}

func TestS3Addresses(t *testing.T) {
	for _, c := range []struct {
		v    Values
		base string
	}{
		{Values{"bucket": "b-1", "region": "eu-west-1"}, "https://b-1.s3.eu-west-1.amazonaws.com/"},
		{Values{"bucket": "b.1", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/b.1/"},
		{Values{"bucket": "b-1", "region": "cn-north-1"}, "https://b-1.s3.cn-north-1.amazonaws.com.cn/"},
		{Values{"bucket": "b-1", "endpoint": "https://minio:9000/"}, "https://minio:9000/b-1/"},
		{Values{"bucket": "b-1", "endpoint": "https://r2.example", "path_style": "no"}, "https://b-1.r2.example/"},
	} {
		c.v["access_key_id"], c.v["secret_access_key"] = "a", "b"
		if s := open(t, S3(), c.v).(*s3); s.base != c.base {
			t.Errorf("%v: %s, want %s", c.v, s.base, c.base)
		}
	}
}

func TestObjectParts(t *testing.T) {
	for _, id := range []string{"org_1", "a/b", "..", "ü %41", "!x", ""} {
		part := objectPart(id)
		if unpart(part) != id || strings.ContainsAny(part, "/.% ") {
			t.Errorf("%q became %q and then %q", id, part, unpart(part))
		}
	}
}

// TestLongAnswersAreCut: only a listing may be long. 200 streams to stores that
// answer each object with megabytes would be memory that nothing counts.
func TestLongAnswersAreCut(t *testing.T) {
	srv, ca := server(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 1<<20)) // as much of it as is read
	}))
	v := Values{"bucket": "acme", "endpoint": srv.URL, "access_key_id": "AK", "secret_access_key": "0123456789abcdef", "ca_certificate": ca}
	s := open(t, S3(), v).(*s3)
	for method, want := range map[string]int{http.MethodPut: maxAnswer, http.MethodGet: 1 << 20} {
		if r, e := s.request(t.Context(), method, s.base+"x", nil, nil); e != nil || len(r.body) != want {
			t.Errorf("%s: %d bytes were read, want %d (%v)", method, len(r.body), want, e)
		}
	}
}
