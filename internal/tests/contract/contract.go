// Package contract holds what jmpub publishes against what docs/schemas and docs/events.md promise. Tests give it every
// record that they read from any topic.
package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/jmpub/jmpub/docs/schemas"
)

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// Contract is what records are held against. Safe for concurrent use.
type Contract struct {
	schemas map[string]*jsonschema.Schema
}

// Load compiles the schemas of docs/schemas.
func Load() (*Contract, error) {
	compiled, err := compile(schemas.Files, ".")
	if err != nil {
		return nil, fmt.Errorf("load docs/schemas: %w", err)
	}
	return &Contract{compiled}, nil
}

// compile reads and compiles the schemas in a folder.
func compile(files fs.FS, dir string) (map[string]*jsonschema.Schema, error) {
	compiler, err := compilerOf(files, dir)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*jsonschema.Schema)
	err = eachFile(files, dir, func(name string, _ []byte) error {
		all[name], err = compiler.Compile(idPrefix + name)
		return err
	})
	return all, err
}

// idPrefix begins the name under which the compiler knows a schema.
const idPrefix = "urn:jmpub:file:"

// compilerOf knows the schemas in a folder. Formats are asserted, and so is a list that a later release may extend: what is
// published today has to be in it.
func compilerOf(files fs.FS, dir string) (*jsonschema.Compiler, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return compiler, eachFile(files, dir, func(name string, data []byte) error {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			return err
		}
		if object, ok := doc.(map[string]any); ok {
			delete(object, "$id") // References stay within a file, and errors are to name it.
		}
		closeLists(doc)
		return compiler.AddResource(idPrefix+name, doc)
	})
}

// eachFile gives the schemas in a folder by the names of their files.
func eachFile(files fs.FS, dir string, visit func(name string, data []byte) error) error {
	names, err := fs.Glob(files, path.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err == nil {
			err = visit(strings.TrimSuffix(path.Base(name), ".json"), data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// extensible lists the words that are known today of a text that may get more. Readers have to expect others.
const extensible = "x-extensible-enum"

// closeLists makes such lists enumerations.
func closeLists(schema any) {
	switch node := schema.(type) {
	case map[string]any:
		if list, ok := node[extensible]; ok {
			delete(node, extensible)
			node["enum"] = list
		}
		for _, member := range node {
			closeLists(member)
		}
	case []any:
		for _, element := range node {
			closeLists(element)
		}
	}
}

// Check tells what is wrong with a record; nil if nothing is. topic is the topic's name without the prefix and its dot; that of
// an event is its target, whatever the topic's name. The value of an event that stands in Avro is given as the same event in
// JSON.
func (c *Contract) Check(topic string, key []byte, headers []Header, value []byte) error {
	var err error
	switch topic {
	case "single", "group", "chatroom", "other":
		err = c.checkMessage(topic, key, headers, value)
	case "rejected":
		err = c.checkRejected(key, headers)
	case "windows":
		err = c.checkOwn("window", key, headers, value)
	case "notices":
		err = c.checkOwn("notice", key, headers, value)
	case "coverage":
		err = c.checkOwn("coverage", key, headers, value)
	case "checkpoints":
		err = c.checkCheckpoints(key, headers, value)
	case "processes":
		err = c.checkProcess(key, headers, value)
	case "statistics.users", "statistics.messages", "statistics.groups":
		err = c.checkOwn(strings.ReplaceAll(topic, ".", "-"), key, headers, value)
	default:
		err = errors.New("the contract knows no such topic")
	}
	if err != nil {
		return fmt.Errorf("record of %s: %w", topic, err)
	}
	return nil
}

func (c *Contract) checkMessage(topic string, key []byte, headers []Header, value []byte) error {
	event, err := c.checkValue("message", value)
	if err != nil {
		return err
	}
	names, err := c.checkHeaders(headersOf(headers), headers)
	if err != nil {
		return err
	}
	target := text(event, "target_type")
	if target != "single" && target != "group" && target != "chatroom" {
		target = "other"
	}
	for _, same := range []struct{ what, got, want string }{
		{"the key", string(key), text(event, "msgid")},
		{"the topic", topic, target},
		{"ce_id", text(names, "ce_id"), text(event, "msgid")},
		{"ce_source", text(names, "ce_source"), "urn:jmessage:app:" + text(event, "app_key")},
		{"ce_time", text(names, "ce_time"), text(event, "time")},
		{"ce_subject", text(names, "ce_subject"), text(event, "conversation_id")},
	} {
		if same.got != same.want {
			return fmt.Errorf("%s is %q, the value says %q", same.what, same.got, same.want)
		}
	}
	return nil
}

// headersOf is the schema of an event's headers: they say in which form the value is.
func headersOf(headers []Header) string {
	for _, h := range headers {
		if h.Key == "content-type" && string(h.Value) == "application/avro" {
			return "message-avro-headers"
		}
	}
	return "message-headers"
}

func (c *Contract) checkRejected(key []byte, headers []Header) error {
	if key != nil {
		return fmt.Errorf("it has the key %q", key)
	}
	_, err := c.checkHeaders("rejected-headers", headers)
	return err
}

// claimKey is the key of a claim on an app's positions, or on those of a replay, by a command or a run.
var claimKey = regexp.MustCompile(`^[^/~!]+(?:~[^/!]+)?![^/]+!(?:claim|owner)$`)

// pauseKey is the key of what is paused of an app.
var pauseKey = regexp.MustCompile(`^([^/~!]+)![^/]+!pause$`)

// checkCheckpoints checks a record of the topic that has positions, claims and what is paused.
func (c *Contract) checkCheckpoints(key []byte, headers []Header, value []byte) error {
	switch {
	case claimKey.Match(key):
		if len(headers) > 0 {
			return fmt.Errorf("it has the header %s", headers[0].Key)
		}
		_, err := c.checkValue("claim", value)
		return err
	case value == nil: // Forgets the position, or has all go on.
		return nil
	case pauseKey.Match(key):
		if len(headers) > 0 {
			return fmt.Errorf("it has the header %s", headers[0].Key)
		}
		pause, err := c.checkValue("pause", value)
		if of := string(pauseKey.FindSubmatch(key)[1]); err == nil && text(pause, "app_key") != of {
			err = fmt.Errorf("the key is that of the app %s", of)
		}
		return err
	default:
		return c.checkOwn("checkpoint", key, headers, value)
	}
}

// checkOwn checks a record of jmpub's own topics, which has no headers.
func (c *Contract) checkOwn(schema string, key []byte, headers []Header, value []byte) error {
	record, err := c.checkValue(schema, value)
	if err != nil {
		return err
	}
	if len(headers) > 0 {
		return fmt.Errorf("it has the header %s", headers[0].Key)
	}
	want := text(record, "app_key") + "/" + text(record, "stream")
	if replay := text(record, "replay"); schema == "checkpoint" && replay != "" {
		want = text(record, "app_key") + "~" + replay + "/" + text(record, "stream")
	}
	switch schema {
	case "window":
		want += "/" + text(record, "begin_time")
		if err := balanced(record); err != nil {
			return err
		}
	case "coverage":
		want += "/" + text(record, "day")
		if err := summed(record); err != nil {
			return err
		}
	case "notice", "checkpoint":
	default:
		want = text(record, "app_key") + "/" + text(record, "time")
	}
	if string(key) != want {
		return fmt.Errorf("the key is %q, the value says %q", key, want)
	}
	if begin, end := text(record, "begin_time"), text(record, "end_time"); end < begin { // Both in one form, or absent.
		return fmt.Errorf("it ends at %s, before it begins at %s", end, begin)
	}
	return nil
}

// checkProcess checks what a process says of itself; without a value it takes that back.
func (c *Contract) checkProcess(key []byte, headers []Header, value []byte) error {
	if len(headers) > 0 {
		return fmt.Errorf("it has the header %s", headers[0].Key)
	}
	if value == nil {
		return nil
	}
	record, err := c.checkValue("process", value)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%s/%s/%s/%v", text(record, "group"), text(record, "process"), text(record, "instance"), record["part"])
	if string(key) != want {
		return fmt.Errorf("the key is %q, the value says %q", key, want)
	}
	return nil
}

// checkValue holds a value against a schema, and returns it.
func (c *Contract) checkValue(schema string, value []byte) (map[string]any, error) {
	if !utf8.Valid(value) {
		return nil, errors.New("the value is not UTF-8")
	}
	decoded, err := decode(value)
	if err != nil {
		return nil, fmt.Errorf("the value is no JSON: %w", err)
	}
	if err := c.schemas[schema].Validate(decoded); err != nil {
		return nil, fmt.Errorf("%w\nin %s", err, value)
	}
	object, ok := decoded.(map[string]any)
	if !ok {
		return nil, errors.New("the value is no object")
	}
	return object, nil
}

// checkHeaders holds headers against a schema, as an object of texts.
func (c *Contract) checkHeaders(schema string, headers []Header) (map[string]any, error) {
	object := make(map[string]any, len(headers))
	for _, h := range headers {
		if _, twice := object[h.Key]; twice {
			return nil, fmt.Errorf("the header %s stands twice", h.Key)
		}
		if !utf8.Valid(h.Value) {
			return nil, fmt.Errorf("the header %s is not UTF-8: %q", h.Key, h.Value)
		}
		object[h.Key] = string(h.Value)
	}
	if err := c.schemas[schema].Validate(object); err != nil {
		return nil, fmt.Errorf("%w\nin %v", err, object)
	}
	return object, nil
}
