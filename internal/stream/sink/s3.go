package sink

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Content-MD5 is what S3 asks for, not what secures anything
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// S3 is Amazon S3 and what speaks its protocol. A batch is one object, put with
// SigV4, Content-MD5 (buckets with Object Lock ask for it) and
// x-amz-checksum-sha256, and with If-None-Match: * so that nothing is ever
// overwritten: 412 says that an earlier attempt has left it there. A 200
// acknowledges; S3 is consistent from then on. Objects are at most about 16 MB,
// far below the 5 GB of one PUT.
//
// Credentials are keys, which may be those of a role's trusted user: then a role
// is assumed (AssumeRole, with an external id) for an hour at a time.
func S3() Kind {
	return s3Kind(Kind{
		Name: "s3", Label: "Amazon S3",
		Summary: "Writes objects of JSON lines to a bucket of Amazon S3 or a compatible store. Each event lies in exactly one place.",
		Docs:    "https://docs.aws.amazon.com/AmazonS3/latest/userguide/creating-bucket.html",
		Steps:   s3Steps(),
		Limits: []string{
			"An object has at most 16 MiB of lines or 50,000 events, or what came in the minutes between objects.",
			"Objects are written once and never changed: buckets with versioning or Object Lock stay as they are.",
			"There are no duplicates within a stream: an attempt repeated finds the object of the same name.",
		},
	})
}

// s3Kind adds to a kind what writing to S3 needs.
func s3Kind(k Kind) Kind {
	k.Lists = true
	k.Settings = withTLS(append([]Setting{
		{Name: "bucket", Label: "Bucket", Required: true, Check: checkBucket, Example: "acme-audit", Help: "The bucket's name alone."},
		{Name: "region", Label: "Region", Default: "us-east-1", Check: checkRegion, Help: "The bucket's region. Many compatible stores take us-east-1."},
		{ //nolint:gosec // the key is the one of Amazon's own examples
			Name: "access_key_id", Label: "Access key ID", Required: true, Check: checkWord, Example: "AKIAIOSFODNN7EXAMPLE",
			Help: "Of the user that may write, or may assume the role.",
		},
		{Name: "secret_access_key", Label: "Secret access key", Required: true, Secret: true, Check: checkWord, Help: "That belongs to the access key."},
		{
			Name: "role_arn", Label: "Role", Check: checkRole, Example: "arn:aws:iam::123456789012:role/stele-audit",
			Help: "A role to assume for writing. Empty writes as the user itself.",
		},
		{Name: "external_id", Label: "External ID", Check: checkWord, Example: "stele-7f3a", Generate: newToken, Help: "What the role's trust policy asks for as sts:ExternalId."},
		{
			Name: "endpoint", Label: "Endpoint", Place: true, Check: checkBaseURL, Advanced: true, Example: "https://minio.example.com:9000",
			Help: "The address of a compatible store. Empty is Amazon's for the region.",
		},
		{
			Name: "path_style", Label: "Path style", Default: "auto", Options: []string{"auto", yes, no}, Advanced: true,
			Help: "yes: the bucket is in the path; no: in the host name. auto is yes with an endpoint of your own.",
		},
		{
			Name: "conditional", Label: "Conditional writes", Default: yes, Options: []string{yes, no}, Advanced: true,
			Help: "yes never overwrites an object. no is for old compatible stores that refuse If-None-Match.",
		},
		{Name: "sts_endpoint", Label: "STS endpoint", Place: true, Check: checkBaseURL, Advanced: true, Help: "Where to assume the role. Empty is Amazon's for the region."},
	}, objectSettings()...)...)
	k.Check = func(v Values) error {
		if v["external_id"] != "" && v["role_arn"] == "" {
			return fieldFault("role_arn", "an external id is for a role: enter its ARN too")
		}
		return checkTLS(v)
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		s, err := openS3(&k, v, env)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return k
}

func openS3(k *Kind, v Values, env Env) (*s3, error) {
	c, err := newClient(k, v, env)
	if err != nil {
		return nil, err
	}
	s := &s3{client: c, v: v, keys: s3Keys{id: v["access_key_id"], secret: v["secret_access_key"]}}
	c.label = "Amazon S3"
	c.explain, c.maxList, c.opaque = s.explain, 4<<20, true // a listing has up to 1000 objects
	if err := s.address(); err != nil {
		return nil, err
	}
	return s, nil
}

func s3Steps() []Step {
	return []Step{
		{Text: "Make a bucket, or choose one.", Fills: []string{"bucket", "region"}},
		{
			Text: "In IAM, make a policy of this text. Its second statement is for reconciliation, which lists what lies there; leave it out if you do not want that. A bucket with a KMS key needs kms:GenerateDataKey on it besides.",
			Paste: `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::{bucket}/*"},
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::{bucket}"}
]}`,
		},
		{
			Text:  "Make an IAM user without console access, attach the policy to it, and make an access key for an application outside AWS.",
			Fills: []string{"access_key_id", "secret_access_key"},
		},
		{
			Text: "Or make a role with the policy, and let the user only assume it. This is the role's trust policy; put the user's ARN in. The user needs sts:AssumeRole on the role.",
			Paste: `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::123456789012:user/stele"},
   "Condition": {"StringEquals": {"sts:ExternalId": "{external_id}"}}}
]}`,
			Fills: []string{"role_arn", "external_id"},
		},
		{Text: "For a compatible store, take its address, and a key that may put objects into the bucket.", Fills: []string{"endpoint"}},
	}
}

type s3 struct {
	*client
	v    Values
	base string // of objects: URL up to the key, with "/" at its end
	keys s3Keys
	role s3Keys // assumed; until is when to assume it again
}

// s3Keys are credentials; token and until are those of an assumed role.
type s3Keys struct {
	id, secret, token string
	until             time.Time
}

// address finds the base of the bucket's URLs.
func (s *s3) address() error {
	endpoint, own := s.v.base("endpoint"), s.v["endpoint"] != ""
	if !own {
		endpoint = "https://s3." + s.v["region"] + "." + amazon(s.v["region"])
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return &Error{Class: Invalid, Code: "url", Message: "The endpoint in the settings is no URL."}
	}
	// A bucket with a dot does not match the certificate of *.s3.amazonaws.com.
	inPath := s.v["path_style"] == yes || s.v["path_style"] == "auto" && (own || strings.Contains(s.v["bucket"], "."))
	if inPath {
		s.base = endpoint + "/" + s.v["bucket"] + "/"
	} else {
		u.Host = s.v["bucket"] + "." + u.Host
		s.base = u.String() + "/"
	}
	return nil
}

// amazon is the domain of a region's partition.
func amazon(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// Limits are those of object stores.
func (s *s3) Limits() Limits { return objectLimits(s.v) }

// Test writes the event as an object below stele-check/.
func (s *s3) Test(ctx context.Context, b *Batch) (Answer, error) {
	test := *b
	test.Test = true
	return s.Send(ctx, &test)
}

// Send puts the batch's object.
func (s *s3) Send(ctx context.Context, b *Batch) (Answer, error) {
	return s.put(ctx, newObject(s.v, b))
}

// put writes an object, unless an earlier attempt has.
func (s *s3) put(ctx context.Context, o object) (Answer, error) {
	sum := md5.Sum(o.body) //nolint:gosec // see the import
	digest := sha256.Sum256(o.body)
	h := http.Header{
		"Content-Type":          {o.contentType},
		"Content-Md5":           {base64.StdEncoding.EncodeToString(sum[:])},
		"X-Amz-Checksum-Sha256": {base64.StdEncoding.EncodeToString(digest[:])},
	}
	if s.v["conditional"] != no {
		h.Set("If-None-Match", "*")
	}
	r, e := s.request(ctx, http.MethodPut, s.base+escapeKey(o.key), h, o.body)
	if e != nil && r.status == http.StatusPreconditionFailed {
		return r.answer, nil // an earlier attempt wrote it
	}
	return result(r, e)
}

// List lists the stream's objects of an organization.
func (s *s3) List(ctx context.Context, stream, organization string) iter.Seq2[Held, error] {
	return s.list(ctx, objectPrefix(s.v, organization), heldReader(stream))
}

// list lists the objects below a prefix that held knows.
func (s *s3) list(ctx context.Context, prefix string, held func(key string, size int64) (Held, bool)) iter.Seq2[Held, error] {
	return listing(ctx, func(ctx context.Context, token string) (list []Held, next string, e *Error) {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		if token != "" {
			q.Set("continuation-token", token)
		}
		r, e := s.request(ctx, http.MethodGet, s.base+"?"+strings.ReplaceAll(q.Encode(), "+", "%20"), nil, nil)
		if e != nil {
			return nil, "", e
		}
		var page struct {
			Contents []struct {
				Key  string
				Size int64
			}
			IsTruncated           bool
			NextContinuationToken string
		}
		if err := xml.Unmarshal(r.body, &page); err != nil || page.IsTruncated && page.NextContinuationToken == "" {
			return nil, "", unreadable(err)
		}
		for _, c := range page.Contents {
			if h, ok := held(c.Key, c.Size); ok {
				list = append(list, h)
			}
		}
		if page.IsTruncated {
			next = page.NextContinuationToken
		}
		return list, next, nil
	})
}

// request sends a signed request to the bucket.
func (s *s3) request(ctx context.Context, method, target string, h http.Header, body []byte) (*reply, *Error) {
	keys := s.keys
	if s.v["role_arn"] != "" {
		if e := s.assume(ctx); e != nil {
			return &reply{}, e
		}
		keys = s.role
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return &reply{}, &Error{Class: Invalid, Code: "url", Message: "The endpoint in the settings cannot be used.", Err: unwrapURL(err)}
	}
	if h != nil {
		req.Header = h
	}
	digest := sha256.Sum256(body)
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(digest[:]))
	r, e := s.send(signer.SignV4(*req, keys.id, keys.secret, keys.token, s.v["region"]))
	if e != nil && e.Code == "ExpiredToken" {
		s.role = s3Keys{}
	}
	return r, e
}

// assume gets credentials of the role, unless there are some for 5 more minutes.
func (s *s3) assume(ctx context.Context) *Error {
	if s.now().Add(5 * time.Minute).Before(s.role.until) {
		return nil
	}
	form := url.Values{
		"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {s.v["role_arn"]}, "RoleSessionName": {"stele"}, "DurationSeconds": {"3600"},
	}
	if s.v["external_id"] != "" {
		form.Set("ExternalId", s.v["external_id"])
	}
	endpoint := s.v.base("sts_endpoint")
	if endpoint == "" {
		endpoint = "https://sts." + s.v["region"] + "." + amazon(s.v["region"])
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+"/", strings.NewReader(body))
	if err != nil {
		return &Error{Class: Invalid, Code: "url", Message: "The STS endpoint in the settings cannot be used.", Err: unwrapURL(err)}
	}
	digest := sha256.Sum256([]byte(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(digest[:]))
	r, e := s.send(signer.SignV4STS(*req, s.keys.id, s.keys.secret, s.v["region"]))
	if e != nil {
		if e.Code == "AccessDenied" {
			e.Message = strings.TrimSuffix(e.Message, s3Codes()["AccessDenied"].todo) + "The user must be allowed sts:AssumeRole on the role, and the role's trust policy must name the user and this external id."
		}
		return e
	}
	var got struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
			Expiration      time.Time
		} `xml:"AssumeRoleResult>Credentials"`
	}
	c := &got.Credentials
	if err := xml.Unmarshal(r.body, &got); err != nil || c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return &Error{Class: Retry, Code: "sts_answer", Message: "The answer of STS has no credentials. It will be tried again.", Err: err}
	}
	s.role = s3Keys{id: c.AccessKeyID, secret: c.SecretAccessKey, token: c.SessionToken, until: c.Expiration}
	s.secrets = append(secretForms([]string{s.v["secret_access_key"], s.v["client_key"]}), secretForms([]string{c.SecretAccessKey, c.SessionToken})...)
	return nil
}

// escapeKey writes a key as S3 and SigV4 want it in a URL. Keys of this package
// are ASCII; '=' and '!' are written as %3D and %21, '/' stays.
func escapeKey(key string) string {
	var s strings.Builder
	for _, c := range []byte(key) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			s.WriteByte(c)
		} else {
			s.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return s.String()
}

// s3Codes says what codes of S3 and STS mean (Amazon S3 API reference, "Error
// responses"); what is not here goes by its status.
func s3Codes() map[string]codeMeaning {
	const key = "Check the access key and the secret access key."
	return map[string]codeMeaning{
		"AccessDenied":                       {Invalid, "AccessDenied", "Allow s3:PutObject on the bucket's objects for these credentials."},
		"AllAccessDisabled":                  {Invalid, "AllAccessDisabled", "The bucket's owner has to change that."},
		"AuthorizationHeaderMalformed":       {Invalid, "AuthorizationHeaderMalformed", "Check the region."},
		"ConditionalRequestConflict":         {Retry, "ConditionalRequestConflict", "It will be tried again."},
		"EntityTooLarge":                     {TooLarge, "EntityTooLarge", "Smaller batches will be tried."},
		"ExpiredToken":                       {Retry, "ExpiredToken", "The role will be assumed again."},
		"IllegalLocationConstraintException": {Invalid, "IllegalLocationConstraintException", "Check the region."},
		"InvalidAccessKeyId":                 {Invalid, "InvalidAccessKeyId", key},
		"InvalidBucketName":                  {Invalid, "InvalidBucketName", "Check the bucket's name."},
		"InvalidClientTokenId":               {Invalid, "InvalidClientTokenId", key},
		"InvalidObjectState":                 {Invalid, "InvalidObjectState", "Check the bucket's settings."},
		"BadDigest":                          {Retry, "BadDigest", "The object was damaged on the way and is sent again."},
		"XAmzContentSHA256Mismatch":          {Retry, "XAmzContentSHA256Mismatch", "The object was damaged on the way and is sent again."},
		"IncompleteBody":                     {Retry, "IncompleteBody", "It will be sent again."},
		"InvalidRequest":                     {Invalid, "InvalidRequest", "Check the bucket's settings."},
		"InvalidArgument":                    {Invalid, "InvalidArgument", "Check the settings."},
		"MethodNotAllowed":                   {Invalid, "MethodNotAllowed", "Check the endpoint."},
		"NoSuchBucket":                       {Invalid, "NoSuchBucket", "Check the bucket's name, and the region and endpoint."},
		"NotImplemented":                     {Invalid, "NotImplemented", "The store does not know conditional writes: set them to no."},
		"OperationAborted":                   {Retry, "OperationAborted", "It will be tried again."},
		"PermanentRedirect":                  {Invalid, "PermanentRedirect", "The bucket is in another region: check the region."},
		"QuotaExceeded":                      {Retry, "QuotaExceeded", "Make room at the store. It will be tried again."},
		"RequestTimeTooSkewed":               {Retry, "RequestTimeTooSkewed", "The clock of this server or of the store is wrong: whoever runs them must set it."},
		"RequestTimeout":                     {Retry, "RequestTimeout", "It will be sent again."},
		"SignatureDoesNotMatch":              {Invalid, "SignatureDoesNotMatch", key},
		"SlowDown":                           {RateLimited, "SlowDown", "It will be sent again, more slowly."},
		"Throttling":                         {RateLimited, "Throttling", "It will be sent again, more slowly."},
		"RegionDisabledException":            {Invalid, "RegionDisabledException", "Enable STS in this region for the account."},
	}
}

// explain reads the XML of S3 and of STS.
func (s *s3) explain(r *reply) *Error {
	var said struct {
		XMLName xml.Name
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
		Inner   struct {
			Code    string `xml:"Code"`
			Message string `xml:"Message"`
		} `xml:"Error"`
	}
	if xml.Unmarshal(r.body, &said) != nil {
		return s.region(r)
	}
	if said.Code == "" {
		said.Code, said.Message = said.Inner.Code, said.Inner.Message
	}
	c, ok := s3Codes()[said.Code]
	if !ok {
		return s.region(r)
	}
	todo := c.todo
	if where := r.header.Get("X-Amz-Bucket-Region"); where != "" && where != s.v["region"] {
		todo = "The bucket is in the region " + Excerpt(where) + ": enter that."
	}
	return Errorf(c.class, c.name, "%s answered %s, %s: %s. %s", s.label, statusText(r.status), said.Code,
		strings.TrimRight(Excerpt(said.Message, s.secrets...), ". "), todo)
}

// region explains a redirect to where the bucket is.
func (s *s3) region(r *reply) *Error {
	where := r.header.Get("X-Amz-Bucket-Region")
	if r.status/100 != 3 || where == "" {
		return nil
	}
	return Errorf(Invalid, "PermanentRedirect", "The bucket %s is in the region %s: enter that.", s.v["bucket"], Excerpt(where))
}

func checkBucket(value string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]$`).MatchString(value) || strings.Contains(value, "..") {
		return errors.New("must be a bucket's name alone: 3 to 63 letters, digits, '-' and '.'")
	}
	return nil
}

func checkRegion(value string) error {
	if !regexp.MustCompile(`^[a-z0-9-]{2,40}$`).MatchString(value) {
		return errors.New("must be a region such as eu-central-1")
	}
	return nil
}

func checkRole(value string) error {
	if !regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}$`).MatchString(value) {
		return errors.New("must be the ARN of a role such as arn:aws:iam::123456789012:role/stele-audit")
	}
	return nil
}
