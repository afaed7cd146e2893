package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// API is what answers are held against: an OpenAPI 3.1 document. Safe for concurrent use.
type API struct {
	paths   map[string]map[string]operation
	answers map[string]response

	mu       sync.Mutex // Compiling changes the compiler.
	compiler *jsonschema.Compiler
}

// operation is what the document says of a method of a path.
type operation struct {
	Responses map[string]response `json:"responses"`
}

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		} `json:"schema"`
	} `json:"content"`
}

// documentURL is the name under which the compiler knows the document.
const documentURL = idPrefix + "openapi.json"

// LoadAPI reads a document.
func LoadAPI(document []byte) (*API, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	closeLists(doc)
	api := &API{compiler: jsonschema.NewCompiler()}
	api.compiler.AssertFormat()
	if err = api.compiler.AddResource(documentURL, doc); err != nil {
		return nil, err
	}
	var known struct {
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Responses map[string]response `json:"responses"`
		} `json:"components"`
	}
	err = json.Unmarshal(document, &known)
	api.paths, api.answers = known.Paths, known.Components.Responses
	return api, err
}

// Operations are all methods of all paths, as patterns of net/http, sorted.
func (a *API) Operations() []string {
	var all []string
	for path, operations := range a.paths {
		for method := range operations {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	return slices.Sorted(slices.Values(all))
}

// Answer tells what is wrong with an answer to an operation, such as GET /api/v1/overview.
func (a *API) Answer(pattern string, code int, contentType string, body []byte) error {
	method, path, _ := strings.Cut(pattern, " ")
	said, ok := a.paths[path][strings.ToLower(method)].Responses[strconv.Itoa(code)]
	if !ok {
		return fmt.Errorf("%s: the document has no answer %d", pattern, code)
	}
	if name, is := strings.CutPrefix(said.Ref, "#/components/responses/"); is {
		said = a.answers[name]
	}
	content, ok := said.Content[contentType]
	if !ok {
		return fmt.Errorf("%s: the answer %d is %s, and the document has %v", pattern, code, contentType, slices.Collect(maps.Keys(said.Content)))
	}
	if content.Schema.Ref == "" { // It is of no form.
		return nil
	}
	a.mu.Lock()
	schema, err := a.compiler.Compile(documentURL + content.Schema.Ref)
	a.mu.Unlock()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s: the answer %d is not as the document has it: %w\n%.2000s", pattern, code, err, body)
	}
	return nil
}
