package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// releases of Kubernetes: the oldest that the chart takes, and a current one.
var releases = []string{"v1.27.0", "v1.37.2"}

const (
	kubernetes = "k8s.io/kubernetes"
	operator   = "github.com/prometheus-operator/prometheus-operator"
)

// schemas are those of a release of Kubernetes, and of the Prometheus Operator's ServiceMonitor, as their own sources have them: Go's types
// know the fields of one release, and not which of them have to be there.
type schemas struct {
	kubernetes, operator string // folders of the sources
	known                map[string]*jsonschema.Schema
}

var schemasByRelease = map[string]*schemas{}

func schemasOf(t *testing.T, release string) *schemas {
	t.Helper()
	if s := schemasByRelease[release]; s != nil {
		return s
	}
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", operator+"/pkg/apis/monitoring").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := &schemas{source(t, kubernetes, release), source(t, operator, strings.TrimSpace(string(version))), map[string]*jsonschema.Schema{}}
	schemasByRelease[release] = s
	return s
}

// source is the folder of a module of which no package is imported. Go fetches it, unless it has it, and checks it against the checksum
// database. To require it would not do: the versions that Kubernetes' own go.mod names do not exist.
func source(t *testing.T, module, version string) string {
	t.Helper()
	download := exec.Command("go", "mod", "download", "-json", module+"@"+version)
	download.Dir = t.TempDir() // Outside of this module, whose go.sum would get a line else.
	out, err := download.Output()
	var found struct{ Dir, Error string }
	if json.Unmarshal(out, &found) != nil || err != nil || found.Dir == "" {
		t.Fatalf("%s@%s: %v %s", module, version, err, found.Error)
	}
	return found.Dir
}

// check reads what the chart renders by the schema of its kind.
func (s *schemas) check(rendered map[string]string) error {
	for name, text := range rendered {
		if strings.TrimSpace(text) == "" || path.Ext(name) != ".yaml" {
			continue
		}
		object, err := document([]byte(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		apiVersion, _ := object["apiVersion"].(string)
		kind, _ := object["kind"].(string)
		schema, err := s.of(apiVersion, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := schema.Validate(object); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// of is the schema of a kind. Kubernetes has one document for each version of a group, with all that it refers to.
func (s *schemas) of(apiVersion, kind string) (*jsonschema.Schema, error) {
	id := apiVersion + " " + kind
	if schema, known := s.known[id]; known {
		return schema, nil
	}
	group, version, grouped := strings.Cut(apiVersion, "/")
	file, find := filepath.Join(s.kubernetes, "api/openapi-spec/v3", "apis__"+group+"__"+version+"_openapi.json"), inOpenAPI
	if !grouped {
		group, version = "", apiVersion
		file = filepath.Join(s.kubernetes, "api/openapi-spec/v3", "api__"+version+"_openapi.json")
	}
	if group == "monitoring.coreos.com" {
		file, find = filepath.Join(s.operator, "example/prometheus-operator-crd", group+"_"+strings.ToLower(kind)+"s.yaml"), inDefinition
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s in %s", apiVersion, file)
	} else if err != nil {
		return nil, err
	}
	whole, err := document(text)
	if err != nil {
		return nil, err
	}
	place := find(whole, group, version, kind)
	if place == "" {
		return nil, fmt.Errorf("there is no %s in %s", kind, file)
	}
	closeObjects(whole)
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("file:///schema", whole); err != nil {
		return nil, err
	}
	s.known[id], err = compiler.Compile("file:///schema#" + place)
	return s.known[id], err
}

// inOpenAPI is where a document of Kubernetes' API has the schema of a kind.
func inOpenAPI(whole map[string]any, group, version, kind string) string {
	components, _ := whole["components"].(map[string]any)
	all, _ := components["schemas"].(map[string]any)
	for name, schema := range all {
		kinds, _ := schema.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
		for _, one := range kinds {
			if one := one.(map[string]any); one["group"] == group && one["version"] == version && one["kind"] == kind {
				return "/components/schemas/" + name
			}
		}
	}
	return ""
}

// inDefinition is where a CustomResourceDefinition has the schema of a version.
func inDefinition(whole map[string]any, _, version, _ string) string {
	spec, _ := whole["spec"].(map[string]any)
	versions, _ := spec["versions"].([]any)
	for i, one := range versions {
		if one.(map[string]any)["name"] == version {
			return fmt.Sprintf("/spec/versions/%d/schema/openAPIV3Schema", i)
		}
	}
	return ""
}

// closeObjects refuses the fields that a schema does not name. The API server drops them, and a misspelt field with them.
func closeObjects(schema any) {
	switch schema := schema.(type) {
	case map[string]any:
		_, named := schema["properties"].(map[string]any)
		if named && schema["additionalProperties"] == nil && schema["x-kubernetes-preserve-unknown-fields"] != true {
			schema["additionalProperties"] = false
		}
		for _, part := range schema {
			closeObjects(part)
		}
	case []any:
		for _, part := range schema {
			closeObjects(part)
		}
	}
}

// document reads YAML or JSON, and refuses a field that is there twice.
func document(text []byte) (map[string]any, error) {
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	read, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	object, is := read.(map[string]any)
	if !is {
		return nil, fmt.Errorf("%T is no object", read)
	}
	return object, nil
}

// The oldest release that is tested is the oldest that the chart takes.
func TestOldestRelease(t *testing.T) {
	loaded, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	var minor, patch int
	if _, err := fmt.Sscanf(releases[0], "v1.%d.%d", &minor, &patch); err != nil || patch != 0 {
		t.Fatalf("%s is not the first of its releases: %v", releases[0], err)
	}
	for release, want := range map[string]bool{fmt.Sprintf("v1.%d.99", minor-1): false, releases[0]: true, releases[1]: true} {
		if chartutil.IsCompatibleRange(loaded.Metadata.KubeVersion, release) != want {
			t.Errorf("kubeVersion %s takes %s: %v", loaded.Metadata.KubeVersion, release, !want)
		}
	}
}

// What the chart renders is what each release of Kubernetes knows.
func TestSchemas(t *testing.T) {
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			values := map[string]map[string]any{"TLS": overTLS(t)}
			for _, file := range files {
				values[file] = read(t, file)
			}
			for name, values := range values {
				rendered, err := renderOn(release, values)
				if err == nil {
					err = schemasOf(t, release).check(rendered)
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// What the types do not find: a field that has to be there and is not, and what another release has.
func TestSchemasFindMore(t *testing.T) {
	for name, test := range map[string]struct {
		field, instead string
		found          []bool // by release
	}{
		"required":    {"maxSkew: 1\n", "minDomains: 1\n", []bool{true, true}},
		"newer":       {"enableServiceLinks: false\n", "hostnameOverride: jmpub\n", []bool{true, false}},
		"no such API": {"apiVersion: policy/v1\n", "apiVersion: policy/v1beta1\n", []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			for i, release := range releases {
				rendered, err := renderOn(release, read(t, "many.yaml"))
				if err != nil {
					t.Fatal(err)
				}
				err = schemasOf(t, release).check(replaced(t, rendered, test.field, test.instead))
				if found := err != nil; found != test.found[i] {
					t.Errorf("%s: %v", release, err)
				}
			}
		})
	}
}
