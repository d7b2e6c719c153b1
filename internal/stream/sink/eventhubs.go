package sink

import (
	"errors"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// EventHubs is an event hub of Azure, over its Kafka interface: port 9093 of the
// namespace, SASL PLAIN with the user $ConnectionString (learn.microsoft.com,
// "Azure Event Hubs for Apache Kafka"). An event has at most 1 MB there. The
// connection string has all there is to know.
func EventHubs() Kind {
	k := Kind{
		Name: "azure_event_hubs", Label: "Azure Event Hubs",
		Summary: "Writes events to an event hub of Azure, over its Kafka interface.",
		Docs:    "https://learn.microsoft.com/azure/event-hubs/azure-event-hubs-apache-kafka-overview",
		Steps: []Step{
			{Text: "Make a namespace of the tier Standard or higher (Basic has no Kafka interface), and an event hub in it.", Fills: []string{"event_hub"}},
			{
				Text: "In the event hub, under Shared access policies, add a policy with the claim Send alone.",
				Paste: "az eventhubs eventhub authorization-rule create --resource-group RESOURCE-GROUP \\\n" +
					"  --namespace-name NAMESPACE --eventhub-name {event_hub} --name stele --rights Send",
			},
			{Text: "Copy the policy's primary connection string.", Fills: []string{"connection_string"}},
			{Text: "If the namespace's firewall is on, allow the addresses of this server under Networking."},
		},
		Limits: []string{
			"An event has at most 1 MB; a longer one becomes a dead letter.",
			"An organization's events go to one partition, in their order.",
			"After a failure an event can be there twice: the property event-id tells.",
		},
		Settings: []Setting{
			{
				Name: "connection_string", Label: "Connection string", Required: true, Secret: true, Check: checkConnectionString,
				Example: "Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=stele;SharedAccessKey=c2VjcmV0LWtleS1vZi1hY21lLWF1ZGl0LWh1YnM=",
				Help:    "Of a shared access policy with the claim Send.",
			},
			{Name: "event_hub", Label: "Event hub", Check: checkTopic, Example: "stele-audit", Help: "The event hub's name. Empty is the one that the connection string names."},
		},
		Check: func(v Values) error {
			if v["event_hub"] == "" && connectionPart(v["connection_string"], "EntityPath") == "" {
				return fieldFault("event_hub", "is required: the connection string is of the namespace and names no event hub")
			}
			return nil
		},
	}
	k.Open = func(v Values, env Env) (Sink, error) {
		text := v["connection_string"]
		endpoint, err := url.Parse(connectionPart(text, "Endpoint"))
		if err != nil {
			return nil, &Error{Class: Invalid, Code: "connection_string", Message: "The connection string in the settings cannot be read: copy it again."}
		}
		s := &kafka{
			label: k.Label, brokers: []string{endpoint.Hostname() + ":9093"}, topic: v["event_hub"], compression: "none", max: 1_000_000,
			mechanism: plain.Auth{User: "$ConnectionString", Pass: text}.AsMechanism(),
			secrets:   secretForms([]string{text, connectionPart(text, "SharedAccessKey")}),
		}
		if port := endpoint.Port(); port != "" {
			s.brokers[0] = endpoint.Host
		}
		if s.topic == "" {
			s.topic = connectionPart(text, "EntityPath")
		}
		return s.open(v, env)
	}
	return k
}

// connectionPart is a part of a connection string, "" when it is not there.
func connectionPart(text, name string) string {
	for part := range strings.SplitSeq(text, ";") {
		if key, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(key), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func checkConnectionString(value string) error {
	u, err := url.Parse(connectionPart(value, "Endpoint"))
	switch {
	case err != nil || u.Scheme != "sb" || u.Hostname() == "" || checkHost(u.Hostname()) != nil:
		return errors.New("must begin with Endpoint=sb://NAMESPACE.servicebus.windows.net/")
	case connectionPart(value, "SharedAccessKey") == "" || connectionPart(value, "SharedAccessKeyName") == "":
		return errors.New("must have SharedAccessKeyName and SharedAccessKey: copy it whole")
	}
	return nil
}
