package sink

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stelehq/stele/internal/stream/format"
	"github.com/stelehq/stele/internal/stream/format/securitylake"
)

// SecurityLake is a custom source of Amazon Security Lake: Parquet files of OCSF's
// class API Activity in the bucket that Security Lake made, below the source's
// location. Files are written with the role that Security Lake made for the
// source, as objects are by [S3], once and under names that follow from the batch:
//
//	LOCATION/region=R/accountId=A/eventDay=20261120/ORG.FIRST-LAST.COUNT.STREAM.parquet
//
// A batch that spans midnight is two files.
func SecurityLake() Kind {
	k := s3Kind(Kind{
		Name: "amazon_security_lake", Label: "Amazon Security Lake", Entries: true, EventsOnly: true,
		Summary: "Writes events as OCSF in Parquet files, as a custom source of Amazon Security Lake.",
		Docs:    "https://docs.aws.amazon.com/security-lake/latest/userguide/custom-sources.html",
		// Security Lake's own sources are OCSF 1.1.
		Formats: []string{"ocsf-1.1", "ocsf-1.3", "ocsf-1.6", "ocsf-1.8"},
		Steps: []Step{
			{
				Text:  "Make an IAM user without console access for this stream, and an access key for an application outside AWS. It needs no policy but sts:AssumeRole on the role of the next step.",
				Fills: []string{"access_key_id", "secret_access_key"},
			},
			{
				Text: "In Security Lake, in the region of the lake, create a custom source with the event class API Activity. Its principal is the AWS account of that user; the role is one that lets AWS Glue crawl the source.",
				Paste: "aws securitylake create-custom-log-source --region {region} --source-name stele --event-classes API_ACTIVITY \\\n" +
					"  --configuration 'crawlerConfiguration={roleArn=GLUE-ROLE-ARN},providerIdentity={externalId={external_id},principal={account_id}}'",
				Fills: []string{"region", "account_id", "external_id"},
			},
			{
				Text:  "The answer has a role and a location such as s3://aws-security-data-lake-eu-central-1-abc/ext/stele/1.0/: copy the role's ARN, the bucket, and what follows it.",
				Fills: []string{"role_arn", "bucket", "location"},
			},
		},
		Limits: []string{
			"One OCSF class, API Activity (6003): events that other formats give another class are of this one here.",
			"A file has at most 20,000 events, or what came in the minutes between objects. Security Lake asks for five minutes or more.",
			"There are no duplicates within a stream; metadata.uid is the event's id.",
			"Signed checkpoints cannot be carried, since they are no OCSF events.",
			"A test writes a file of one event, log_stream.tested.",
		},
	})
	k.Settings = slices.DeleteFunc(k.Settings, func(s Setting) bool {
		return slices.Contains([]string{"prefix", "layout", "compression"}, s.Name)
	})
	for i := range k.Settings {
		switch s := &k.Settings[i]; s.Name {
		case "role_arn":
			s.Required, s.Help = true, "The role that Security Lake made for the source."
		case "external_id":
			s.Required, s.Help = true, "What you named as the source's external ID."
		case "bucket":
			s.Example, s.Help = "aws-security-data-lake-eu-central-1-abc", "The bucket that Security Lake made."
		case "region":
			s.Help = "The region of the lake."
		}
	}
	k.Settings = append([]Setting{
		{Name: "location", Label: "Location", Required: true, Check: checkLocation, Example: "ext/stele/1.0", Help: "Where the source lies in the bucket."},
		{Name: "account_id", Label: "Account", Required: true, Check: checkAccountID, Example: "123456789012", Help: "The AWS account that the events are filed under: the source's principal."},
	}, k.Settings...)
	k.Open = func(v Values, env Env) (Sink, error) {
		s, err := openS3(&k, v, env)
		if err != nil {
			return nil, err
		}
		return &securityLake{s3: s, server: env.Server, writers: map[string]*securitylake.Writer{}}, nil
	}
	return k
}

type securityLake struct {
	*s3
	server  string
	writers map[string]*securitylake.Writer // by format
}

// Limits: rows take several times the memory of encoded events.
func (s *securityLake) Limits() Limits {
	return Limits{MaxEvents: 20_000, MaxBytes: 8 << 20, FlushAfter: s.v.minutes("flush_minutes"), SendTimeout: 5 * time.Minute}
}

// Test writes the event as a file.
func (s *securityLake) Test(ctx context.Context, b *Batch) (Answer, error) {
	test := *b
	test.Test = true
	return s.Send(ctx, &test)
}

// Send writes the batch's files, one for each day.
func (s *securityLake) Send(ctx context.Context, b *Batch) (Answer, error) {
	if b.Checkpoint != nil {
		return Answer{}, Errorf(Malformed, "no_checkpoints", "Amazon Security Lake takes OCSF events only, and no checkpoints.")
	}
	files, err := s.files(b)
	if err != nil {
		return Answer{}, &Error{Class: Malformed, Code: "parquet", Err: err, Message: "An event could not be written as a row of OCSF."}
	}
	var last Answer
	for _, f := range files {
		name := fmt.Sprintf("%s.%020d-%020d.%d.%s", objectPart(b.Organization), f.First, f.Last, f.Events, objectPart(b.Stream))
		switch {
		case b.Test:
			name = "test-" + objectPart(b.ID)
		case b.Replay != "":
			name += ".replay-" + objectPart(b.Replay)
		}
		key := securitylake.Key(strings.Trim(s.v["location"], "/"), s.v["region"], s.v["account_id"], f.Day, name)
		if last, err = s.put(ctx, object{key: key, body: f.Data, contentType: "application/vnd.apache.parquet"}); err != nil {
			return last, err // files that are there already are found the next time
		}
	}
	return last, nil
}

func (s *securityLake) files(b *Batch) ([]securitylake.File, error) {
	w := s.writers[b.Format]
	if w == nil {
		var err error
		if w, err = securitylake.New(strings.TrimPrefix(b.Format, "ocsf-") + ".0"); err != nil {
			return nil, err
		}
		s.writers[b.Format] = w
	}
	inputs := make([]*format.Input, len(b.Events))
	for i := range b.Events {
		if b.Events[i].Entry == nil {
			return nil, errors.New("an event without its entry")
		}
		inputs[i] = &format.Input{
			Entry: b.Events[i].Entry, Organization: b.Organization, OrganizationName: b.OrganizationName, Server: s.server, Replay: b.Replay != "",
		}
	}
	return w.Files(inputs)
}

// List lists the stream's files of an organization.
func (s *securityLake) List(ctx context.Context, stream, organization string) iter.Seq2[Held, error] {
	held, own := heldReader(stream), objectPart(organization)+"."
	prefix := strings.Trim(s.v["location"], "/") + "/region=" + s.v["region"] + "/accountId=" + s.v["account_id"] + "/"
	return s.list(ctx, prefix, func(key string, size int64) (Held, bool) {
		name, ok := strings.CutPrefix(path.Base(key), own)
		if !ok {
			return Held{}, false
		}
		h, ok := held(name, size)
		h.Name = key
		return h, ok
	})
}

func checkLocation(value string) error {
	if err := checkPrefix(value); err != nil {
		return errors.New("must be the source's place in the bucket, such as ext/stele/1.0")
	}
	return nil
}

func checkAccountID(value string) error {
	if !regexp.MustCompile(`^[0-9]{12}$`).MatchString(value) {
		return errors.New("must be an AWS account's 12 digits")
	}
	return nil
}
