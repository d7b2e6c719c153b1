package workload

import (
	"encoding/json"
	"slices"
)

// Catalogue is a catalogue file with a schema of version 1 for each action of the
// workload, [RareAction] included, in the format of docs/schemas.md. All events
// of the workload pass it.
func Catalogue() []byte {
	text := map[string]any{"type": "string"}
	object := func(properties map[string]any) map[string]any {
		return map[string]any{"metadata": map[string]any{"type": "object", "properties": properties}}
	}
	metadata := object(map[string]any{
		"request_id": text, "ticket": text, "reason": map[string]any{"type": "string", "enum": reasons()}, "after_value": text,
	})["metadata"]
	schemas := []any{}
	for _, action := range append(slices.Clone(Actions()), RareAction) {
		schemas = append(schemas, map[string]any{"action": action, "version": 1, "metadata": metadata, "targets": []any{}})
	}
	file, err := json.Marshal(map[string]any{
		"format": 1, "description": "The actions of the benchmark.", "schemas": schemas,
		"actor": object(map[string]any{
			"user_base_role_slug": map[string]any{"type": "string", "enum": []string{"viewer", "editor", "admin", "owner"}}, "user_custom_role_slugs": text,
			"api_key_roles": text, "external_resource_type": text, "alert_source_id": text,
		}),
	})
	if err != nil {
		panic(err) // strings and maps of them
	}
	return file
}
