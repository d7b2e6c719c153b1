package sink

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
)

// Sentinel is the Logs Ingestion API of Azure Monitor, which Microsoft Sentinel
// reads (learn.microsoft.com, "Logs Ingestion API in Azure Monitor"): a JSON
// array to a data collection rule (DCR). A call has at most 1 MB, compressed and
// not; values over 64 KB are cut; a rule takes 2 GB and 12,000 calls a minute.
// 204 acknowledges. Nothing removes duplicates: EventId tells them apart.
func Sentinel() Kind {
	k := Kind{
		Name: "microsoft_sentinel", Label: "Microsoft Sentinel",
		Summary: "Sends events to a table of a Log Analytics workspace, where Microsoft Sentinel reads them.",
		Docs:    "https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview",
		Steps:   sentinelSteps(),
		Limits: []string{
			"At most 900,000 bytes and 1000 events a call; Azure takes 12,000 calls and 2 GB a minute for each rule.",
			"Azure cuts values of more than 64 KB.",
			"The workspace removes no duplicates: summarize arg_max(TimeGenerated, *) by EventId.",
			"Client secrets expire: note when.",
		},
		Settings: withTLS(
			Setting{Name: "tenant_id", Label: "Tenant ID", Required: true, Check: checkTenant, Example: "11111111-2222-3333-4444-555555555555", Help: "Of the Entra ID directory."},
			Setting{Name: "client_id", Label: "Client ID", Required: true, Check: checkWord, Example: "11111111-2222-3333-4444-555555555555", Help: "The application's."},
			Setting{Name: "client_secret", Label: "Client secret", Required: true, Secret: true, Check: checkWord, Help: "The secret's value, not its ID."},
			Setting{
				Name: "endpoint", Label: "Ingestion endpoint", Place: true, Required: true, Check: checkBaseURL, Example: "https://stele-a1b2.westeurope-1.ingest.monitor.azure.com",
				Help: "The rule's logs ingestion endpoint, or that of a data collection endpoint.",
			},
			Setting{Name: "rule_id", Label: "Rule", Required: true, Check: checkRule, Example: "dcr-00000000000000000000000000000000", Help: "The rule's immutable ID."},
			Setting{Name: "stream_name", Label: "Stream", Required: true, Check: checkStreamName, Example: "Custom-SteleAudit_CL", Help: "The stream in the rule, such as Custom- and the table's name."},
			Setting{Name: "authority", Label: "Authority", Place: true, Default: "https://login.microsoftonline.com", Check: checkBaseURL, Advanced: true, Help: "https://login.microsoftonline.us for Azure Government, https://login.chinacloudapi.cn for China."},
			Setting{Name: "scope", Label: "Scope", Default: "https://monitor.azure.com/.default", Check: checkWord, Advanced: true, Help: "https://monitor.azure.us/.default for Azure Government, https://monitor.azure.cn/.default for China."},
		),
		Check: checkTLS,
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		c, err := newClient(&k, v, env)
		if err != nil {
			return nil, err
		}
		c.hints = map[int]string{
			http.StatusForbidden: "Give the application the role Monitoring Metrics Publisher on the rule. It takes up to half an hour to apply.",
			http.StatusNotFound:  "Check the ingestion endpoint, the rule's immutable ID and the stream's name.",
		}
		return &sentinel{client: c, v: v, tokens: clientCredentials(c, v.base("authority")+"/"+v["tenant_id"]+"/oauth2/v2.0/token",
			v["client_id"], v["client_secret"], v["scope"], "Check tenant ID, client ID and client secret: secrets expire.")}, nil
	}
	return k
}

func sentinelSteps() []Step {
	return []Step{
		{
			Text:  "In Entra ID, register an application and make a client secret. Copy the tenant ID, the application (client) ID and the secret's value, which is shown once. Note when it expires.",
			Fills: []string{"tenant_id", "client_id", "client_secret"},
		},
		{
			Text:  "Make the table and a data collection rule for it: deploy this template in the workspace's resource group (Deploy a custom template > Build your own). It asks for the workspace's name.",
			Paste: sentinelTemplate,
		},
		{Text: "Copy the three outputs of the deployment: the logs ingestion endpoint, the rule's immutable ID and the stream's name.", Fills: []string{"endpoint", "rule_id", "stream_name"}},
		{
			Text:  "On the rule, give the application the role Monitoring Metrics Publisher, and no other. It takes up to half an hour to apply.",
			Paste: "az role assignment create --role \"Monitoring Metrics Publisher\" --assignee {client_id} \\\n  --scope $(az monitor data-collection rule show -g RESOURCE-GROUP -n stele-audit --query id -o tsv)",
		},
	}
}

// sentinelTemplate is an Azure Resource Manager template of the table and the
// rule that [sentinel.Send] writes to.
const sentinelTemplate = `{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": {"workspace": {"type": "string"}},
  "variables": {
    "id": "[resourceId('Microsoft.OperationalInsights/workspaces', parameters('workspace'))]",
    "columns": [
      {"name": "TimeGenerated", "type": "datetime"}, {"name": "EventTime", "type": "datetime"},
      {"name": "EventId", "type": "string"}, {"name": "OrganizationId", "type": "string"},
      {"name": "Seq", "type": "long"}, {"name": "Event", "type": "dynamic"}
    ]
  },
  "resources": [
    {
      "type": "Microsoft.OperationalInsights/workspaces/tables", "apiVersion": "2022-10-01",
      "name": "[concat(parameters('workspace'), '/SteleAudit_CL')]",
      "properties": {"schema": {"name": "SteleAudit_CL", "columns": "[variables('columns')]"}}
    },
    {
      "type": "Microsoft.Insights/dataCollectionRules", "apiVersion": "2023-03-11", "name": "stele-audit", "kind": "Direct",
      "location": "[resourceGroup().location]",
      "dependsOn": ["[resourceId('Microsoft.OperationalInsights/workspaces/tables', parameters('workspace'), 'SteleAudit_CL')]"],
      "properties": {
        "streamDeclarations": {"Custom-SteleAudit_CL": {"columns": "[variables('columns')]"}},
        "destinations": {"logAnalytics": [{"name": "workspace", "workspaceResourceId": "[variables('id')]"}]},
        "dataFlows": [{
          "streams": ["Custom-SteleAudit_CL"], "destinations": ["workspace"],
          "transformKql": "source", "outputStream": "Custom-SteleAudit_CL"
        }]
      }
    }
  ],
  "outputs": {
    "endpoint": {"type": "string", "value": "[reference('stele-audit', '2023-03-11').endpoints.logsIngestion]"},
    "rule_id": {"type": "string", "value": "[reference('stele-audit', '2023-03-11').immutableId]"},
    "stream_name": {"type": "string", "value": "Custom-SteleAudit_CL"}
  }
}`

type sentinel struct {
	*client
	v      Values
	tokens *tokens
}

// Limits: see [Sentinel].
func (s *sentinel) Limits() Limits {
	return Limits{MaxEvents: 1000, MaxBytes: 900_000, EventOverhead: 260, SendTimeout: sendTimeout}
}

// Test sends the event.
func (s *sentinel) Test(ctx context.Context, b *Batch) (Answer, error) { return s.Send(ctx, b) }

// Send posts the batch.
func (s *sentinel) Send(ctx context.Context, b *Batch) (Answer, error) {
	h, e := s.tokens.header(ctx, http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}})
	if e != nil {
		return Answer{}, e
	}
	body := append(make([]byte, 0, b.Bytes+260*len(b.Events)), '[')
	for i := range b.Events {
		ev := &b.Events[i]
		if i > 0 {
			body = append(body, ',')
		}
		body = appendStamp(appendName(append(body, '{'), "TimeGenerated"), ev.OccurredAt)
		body = appendStamp(appendName(body, "EventTime"), ev.OccurredAt)
		if ev.hasID() {
			body = appendMember(body, "EventId", ev.ID[:])
		}
		body = appendMember(body, "OrganizationId", b.Organization)
		body = strconv.AppendUint(appendName(body, "Seq"), ev.Seq, 10)
		body = append(appendEvent(appendName(body, "Event"), b, ev), '}')
	}
	r, e := s.post(ctx, h, append(body, ']'))
	if e != nil && r.status == http.StatusNotFound && len(b.Events) > 1 {
		// Azure says so to what is too large, too.
		if _, probe := s.post(ctx, h, []byte("[]")); probe == nil {
			e = Errorf(TooLarge, "http_404", "%s", s.sentence(r, "It takes an empty batch, so this one is too large. Smaller batches will be tried."))
		}
	}
	return result(r, e)
}

func (s *sentinel) post(ctx context.Context, h http.Header, body []byte) (*reply, *Error) {
	r, e := s.do(ctx, http.MethodPost, s.v.base("endpoint")+"/dataCollectionRules/"+s.v["rule_id"]+"/streams/"+s.v["stream_name"]+"?api-version=2023-01-01", h.Clone(), compress(body))
	s.tokens.forget(e)
	return r, e
}

func checkTenant(value string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9.-]{3,100}$`).MatchString(value) {
		return errors.New("must be a tenant's ID or domain")
	}
	return nil
}

func checkRule(value string) error {
	if !regexp.MustCompile(`^dcr-[0-9a-f]{8,64}$`).MatchString(value) {
		return errors.New("must be the rule's immutable ID, which begins with dcr-")
	}
	return nil
}

func checkStreamName(value string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{3,128}$`).MatchString(value) {
		return errors.New("must be a stream such as Custom-SteleAudit_CL")
	}
	return nil
}
