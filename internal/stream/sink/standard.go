package sink

// Standard is the registry of all destinations of this package, in the order
// they are offered.
func Standard() *Kinds {
	return NewKinds(
		Splunk(), S3(), Datadog(), Webhook(), Syslog(),
		Sentinel(), GCS(), AzureBlob(), Elasticsearch(), SecOps(), SumoLogic(), Panther(), Snowflake(), SecurityLake(), Kafka(), EventHubs(), OTLP(),
	)
}
