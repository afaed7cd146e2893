// Package schemas holds the JSON Schemas (2020-12) of what jmpub publishes, and the Avro schema of events, as they are in
// docs/schemas. The folder released/v1 has them as the last release had them; what may change between the two is said in
// docs/events.md.
package schemas

import "embed"

// Files are the schemas: <name>.json, and released/v1/<name>.json.
//
//go:embed *.json released/v1/*.json
var Files embed.FS

// MessageAvro is the Avro schema of an event, and ReleasedMessageAvro that of the last release.
var (
	//go:embed message.avsc
	MessageAvro string
	//go:embed released/v1/message.avsc
	ReleasedMessageAvro string
)
