package sink

import "time"

// The kinds here are others with a name, steps and limits of their own: what they
// stand for takes events by HTTP or from a bucket, and is set up differently.

// Panther is an HTTP source of Panther (docs.panther.com, "HTTP Source"): the
// webhook with JSON lines and a shared secret in a header. A request has at most
// 1 MB, headers included. Any 2xx acknowledges; nothing removes duplicates.
func Panther() Kind {
	k := Kind{
		Name: "panther", Label: "Panther",
		Summary: "Posts events to an HTTP source of Panther.",
		Docs:    "https://docs.panther.com/data-onboarding/data-transports/http",
		Steps: []Step{
			{Text: "In Panther, under Configure > Schemas, make a custom schema of this text. Call it Custom.SteleAudit.", Paste: pantherSchema},
			{Text: "Under Configure > Log Sources, make a source of the type HTTP with this schema and the stream type Lines."},
			{
				Text:  "As its authentication choose Shared Secret, with this header name and a value of your own.",
				Paste: "{header_name}", Fills: []string{"header_name", "header_value"},
			},
			{Text: "Copy the source's HTTP ingest URL.", Fills: []string{"url"}},
		},
		Limits: []string{
			"At most 1000 events and 900,000 bytes a request; Panther takes 1 MB.",
			"Panther removes no duplicates: events have an id.",
			"The schema is for the stream's format JSON. Another format needs another schema.",
		},
		// Formats whose events are JSON objects.
		Formats: jsonFormats(),
		Settings: withTLS(
			Setting{
				Name: "url", Label: "HTTP ingest URL", Place: true, Required: true, Secret: true, Check: checkURL,
				Example: "https://logs.acme.runpanther.net/http/cb015ee4-543c-4489-9f4b-testing", Help: "The source's address.",
			},
			Setting{Name: "header_name", Label: "Header", Default: "X-Panther-Secret", Check: checkHeaderName, Help: "The header name of the source's shared secret."},
			Setting{
				Name: "header_value", Label: "Shared secret", Required: true, Secret: true, Check: checkPrintable, Generate: newToken,
				Example: "0123456789abcdef", Help: "The value of that header.",
			},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		return openWebhook(&k, v, env, "lines", Limits{MaxEvents: 1000, MaxBytes: 900_000, EventOverhead: 1, SendTimeout: 45 * time.Second})
	}
	return k
}

// jsonFormats are the formats whose events are JSON objects, the default first.
func jsonFormats() []string {
	return []string{"json", "ocsf-1.8", "ocsf-1.6", "ocsf-1.3", "ocsf-1.1", "ecs", "workos"}
}

// pantherSchema is the native JSON as Panther's schemas have it.
const pantherSchema = `schema: Custom.SteleAudit
fields:
  - {name: id, type: string, required: true}
  - {name: organization_id, type: string, required: true}
  - {name: seq, type: bigint}
  - {name: action, type: string, required: true}
  - {name: version, type: int}
  - {name: occurred_at, type: timestamp, timeFormats: [rfc3339], isEventTime: true, required: true}
  - {name: received_at, type: timestamp, timeFormats: [rfc3339]}
  - name: actor
    type: object
    fields:
      - {name: type, type: string}
      - {name: id, type: string, indicators: [actor_id]}
      - {name: name, type: string, indicators: [username]}
      - {name: metadata, type: json}
  - name: targets
    type: array
    element:
      type: object
      fields:
        - {name: type, type: string}
        - {name: id, type: string}
        - {name: name, type: string}
        - {name: metadata, type: json}
  - name: context
    type: object
    fields:
      - {name: location, type: string, indicators: [ip]}
      - {name: user_agent, type: string}
  - {name: metadata, type: json}`

// Snowflake is a bucket of S3 from which Snowpipe loads by itself (docs.snowflake.com,
// "Automating Snowpipe for Amazon S3"). COPY keeps for 64 days which files it has
// loaded and loads none twice, and objects here are never written twice.
func Snowflake() Kind {
	return s3Kind(Kind{
		Name: "snowflake", Label: "Snowflake",
		Summary: "Writes events to a bucket of Amazon S3, from which Snowpipe loads them into a table of Snowflake.",
		Docs:    "https://docs.snowflake.com/en/user-guide/data-load-snowpipe-auto-s3",
		Formats: jsonFormats(),
		Steps: append(s3Steps()[:3], []Step{
			{
				Text:  "In Snowflake, make a table, an integration that may read the bucket, a stage and a pipe. Put in a role of your AWS account that may read the bucket.",
				Paste: snowflakeSQL,
			},
			{
				Text:  "Let Snowflake assume that role: this tells the user and the external id for its trust policy.",
				Paste: "DESC INTEGRATION stele;  -- STORAGE_AWS_IAM_USER_ARN, STORAGE_AWS_EXTERNAL_ID",
			},
			{
				Text:  "Let the bucket tell Snowpipe of new objects: in the bucket's properties, add an event notification for all object create events to the SQS queue that this names.",
				Paste: "SHOW PIPES LIKE 'stele_events';  -- notification_channel",
			},
		}...),
		Limits: []string{
			"Events are in the table some minutes after they happened: the minutes between objects, and Snowpipe's own.",
			"Snowpipe loads no file twice. Two streams, or a replay, write files of their own: QUALIFY ROW_NUMBER() OVER (PARTITION BY event:id ORDER BY loaded_at) = 1 leaves one of each.",
			"Only formats that are JSON.",
			"For stages in Cloud Storage or Azure, choose those destinations and load from there in the same way.",
		},
	})
}

const snowflakeSQL = `CREATE TABLE stele_events (event VARIANT, file STRING, loaded_at TIMESTAMP_LTZ DEFAULT CURRENT_TIMESTAMP());
CREATE STORAGE INTEGRATION stele TYPE = EXTERNAL_STAGE STORAGE_PROVIDER = 'S3' ENABLED = TRUE
  STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::123456789012:role/snowflake-stele'
  STORAGE_ALLOWED_LOCATIONS = ('s3://{bucket}/');
CREATE STAGE stele_stage URL = 's3://{bucket}/' STORAGE_INTEGRATION = stele FILE_FORMAT = (TYPE = JSON);
CREATE PIPE stele_events AUTO_INGEST = TRUE AS
  COPY INTO stele_events (event, file) FROM (SELECT $1, METADATA$FILENAME FROM @stele_stage)
  PATTERN = '.*org=.*[.]ndjson([.]gz)?';`
