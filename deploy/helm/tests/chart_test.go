// Package tests renders the chart as Helm does, and reads what it makes as Kubernetes' own types and by its own schemas, strictly: a field
// that does not exist, or that has another type, is an error.
package tests

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const (
	chart     = "../jmpub"
	installed = "history" // the release's name
	namespace = "chat"
)

// objects are what the chart can make; a pointer is nil where it did not.
type objects struct {
	Deployment     *appsv1.Deployment
	Service        *corev1.Service
	Budget         *policyv1.PodDisruptionBudget
	NetworkPolicy  *networkingv1.NetworkPolicy
	ServiceMonitor *monitoringv1.ServiceMonitor
	Notes          string
}

// render is what `helm template` makes of values, by file name.
func render(values map[string]any) (map[string]string, error) {
	return renderOn(chartutil.DefaultCapabilities.KubeVersion.Version, values)
}

// renderOn is what `helm template --kube-version` makes.
func renderOn(release string, values map[string]any) (map[string]string, error) {
	return renderAs(installed, release, values)
}

func renderAs(name, release string, values map[string]any) (map[string]string, error) {
	loaded, err := loader.Load(chart)
	if err != nil {
		return nil, err
	}
	version, err := chartutil.ParseKubeVersion(release)
	if err != nil {
		return nil, err
	}
	cluster := chartutil.DefaultCapabilities.Copy()
	cluster.KubeVersion = *version
	all, err := chartutil.ToRenderValues(loaded, values,
		chartutil.ReleaseOptions{Name: name, Namespace: namespace, IsInstall: true, Revision: 1}, cluster)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, all)
}

// decode reads rendered files strictly.
func decode(files map[string]string) (*objects, error) {
	o := &objects{}
	for name, text := range files {
		if strings.TrimSpace(text) == "" || strings.HasSuffix(name, ".tpl") {
			continue
		}
		var into any
		switch filepath.Base(name) {
		case "deployment.yaml":
			o.Deployment = &appsv1.Deployment{}
			into = o.Deployment
		case "service.yaml":
			o.Service = &corev1.Service{}
			into = o.Service
		case "poddisruptionbudget.yaml":
			o.Budget = &policyv1.PodDisruptionBudget{}
			into = o.Budget
		case "networkpolicy.yaml":
			o.NetworkPolicy = &networkingv1.NetworkPolicy{}
			into = o.NetworkPolicy
		case "servicemonitor.yaml":
			o.ServiceMonitor = &monitoringv1.ServiceMonitor{}
			into = o.ServiceMonitor
		case "NOTES.txt":
			o.Notes = text
			continue
		default:
			return nil, fmt.Errorf("%s: nobody looks at what it makes", name)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return o, nil
}

func read(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	values, err := chartutil.ReadValues(text)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func made(t *testing.T, file string) *objects {
	t.Helper()
	files, err := render(read(t, file))
	if err != nil {
		t.Fatal(err)
	}
	o, err := decode(files)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var files = []string{"one.yaml", "many.yaml", "single.yaml"}

func TestLint(t *testing.T) {
	for _, file := range files {
		lint := action.NewLint()
		lint.Strict, lint.Namespace = true, namespace
		result := lint.Run([]string{chart}, read(t, file))
		for _, err := range result.Errors {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Whatever the values are, a pod has no rights, and everything that selects pods selects these.
func TestPods(t *testing.T) {
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			o := made(t, file)
			template := o.Deployment.Spec.Template
			pod, container := template.Spec, template.Spec.Containers[0]
			if s := pod.SecurityContext; !*s.RunAsNonRoot || *s.RunAsUser != 65532 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("security context of the pod: %+v", s)
			}
			s := container.SecurityContext
			if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
				s.Privileged != nil || s.Capabilities.Add != nil {
				t.Errorf("security context of the container: %+v", s)
			}
			if *pod.AutomountServiceAccountToken || pod.HostNetwork || pod.HostPID || pod.HostIPC {
				t.Error("the pod has the cluster's API or a namespace of its host")
			}
			if got := *pod.TerminationGracePeriodSeconds; got <= 8+2 {
				t.Errorf("%d s to end in, and jmpub takes up to 8 s for its window", got)
			}
			if got := container.LivenessProbe.HTTPGet.Path; got != "/healthz" {
				t.Errorf("a pod would be killed because of %s", got)
			}
			if u := o.Deployment.Spec.Strategy.RollingUpdate; u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() != 1 {
				t.Errorf("rolling update: %+v", u)
			}

			selectors := map[string]map[string]string{
				"Deployment": o.Deployment.Spec.Selector.MatchLabels,
				"Service":    o.Service.Spec.Selector,
				"spread":     pod.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
			}
			if o.Budget != nil {
				selectors["PodDisruptionBudget"] = o.Budget.Spec.Selector.MatchLabels
			}
			if o.NetworkPolicy != nil {
				selectors["NetworkPolicy"] = o.NetworkPolicy.Spec.PodSelector.MatchLabels
			}
			for kind, labels := range selectors {
				if len(labels) == 0 {
					t.Errorf("%s selects every pod", kind)
				}
				for key, value := range labels {
					if template.Labels[key] != value {
						t.Errorf("%s selects %s=%s, the pods have %q", kind, key, value, template.Labels[key])
					}
				}
			}
			mounted := map[string]bool{}
			for _, volume := range pod.Volumes {
				mounted[volume.Name] = false
			}
			for _, mount := range container.VolumeMounts {
				if _, there := mounted[mount.Name]; !there || !mount.ReadOnly {
					t.Errorf("mount %+v", mount)
				}
				mounted[mount.Name] = true
			}
			for name, used := range mounted {
				if !used {
					t.Errorf("the volume %s is not mounted", name)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	o := made(t, "one.yaml")
	container := o.Deployment.Spec.Template.Spec.Containers[0]
	if *o.Deployment.Spec.Replicas != 2 || o.Budget.Spec.MaxUnavailable.IntValue() != 1 ||
		*o.Budget.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Error("one process goes, the other one stays, and nodes can be drained while the API is away")
	}
	if got := container.ReadinessProbe.HTTPGet.Path; got != "/readyz" {
		t.Errorf("ready by %s", got)
	}
	if got := env(container)["GOMEMLIMIT"]; got != "435MiB" || container.Resources.Limits.Memory().String() != "512Mi" {
		t.Errorf("GOMEMLIMIT is %s", got)
	}
	if p := o.NetworkPolicy.Spec; !slices.Equal(p.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}) || len(p.Ingress) != 0 {
		t.Errorf("network policy: %+v", p)
	}
	if o.ServiceMonitor != nil {
		t.Error("a ServiceMonitor, where perhaps no operator is")
	}
	if !o.Service.Spec.PublishNotReadyAddresses {
		t.Error("who is not ready cannot be asked why")
	}
}

func TestChoices(t *testing.T) {
	o := made(t, "many.yaml")
	container := o.Deployment.Spec.Template.Spec.Containers[0]
	if container.Image != "registry.example/jmpub:1.2.3" || env(container)["GOMEMLIMIT"] != "1740MiB" ||
		env(container)["JMPUB_LISTEN_HOSTS"] != "jmpub.example" || container.ReadinessProbe.HTTPGet.Path != "/healthz" {
		t.Errorf("container: %+v", container)
	}
	if len(o.NetworkPolicy.Spec.PolicyTypes) != 2 || len(o.NetworkPolicy.Spec.Ingress[0].From) != 1 {
		t.Errorf("network policy: %+v", o.NetworkPolicy.Spec)
	}
	if o.ServiceMonitor.Labels["release"] != "prometheus" || o.ServiceMonitor.Spec.Endpoints[0].Port != o.Service.Spec.Ports[0].Name {
		t.Errorf("service monitor: %+v", o.ServiceMonitor)
	}
	files, err := render(overTLS(t))
	if err != nil {
		t.Fatal(err)
	}
	if o, err = decode(files); err != nil {
		t.Fatal(err)
	}
	container = o.Deployment.Spec.Template.Spec.Containers[0]
	if container.LivenessProbe.HTTPGet.Scheme != corev1.URISchemeHTTPS || container.ReadinessProbe.HTTPGet.Scheme != corev1.URISchemeHTTPS ||
		o.ServiceMonitor.Spec.Endpoints[0].Scheme != "https" || *o.ServiceMonitor.Spec.Endpoints[0].TLSConfig.ServerName != "jmpub.example" {
		t.Errorf("over TLS, the probes or Prometheus ask without, or by another name")
	}
	o = made(t, "single.yaml")
	if o.Budget != nil || o.NetworkPolicy != nil || !strings.Contains(o.Notes, "No NetworkPolicy") {
		t.Error("what is switched off is there")
	}
}

// overTLS are values with which the page, and so the probes and Prometheus, use TLS.
func overTLS(t *testing.T) map[string]any {
	type object = map[string]any
	return chartutil.CoalesceTables(object{
		"secretFiles": object{
			"JMPUB_LISTEN_TLS_CERT_FILE": object{"secret": "tls", "key": "tls.crt"},
			"JMPUB_LISTEN_TLS_KEY_FILE":  object{"secret": "tls", "key": "tls.key"},
		},
		"serviceMonitor": object{"tlsConfig": object{
			"ca":         object{"secret": object{"name": "tls", "key": "ca.crt"}},
			"serverName": "jmpub.example",
		}},
	}, read(t, "many.yaml"))
}

// jmpub itself takes the environment that its container has.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "jmpub")
	build := exec.Command("go", "build", "-o", binary, "./cmd/jmpub")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const etc = "/etc/jmpub"
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			dir := t.TempDir()
			put := func(name, text string) {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
					t.Fatal(err)
				}
			}
			pod := made(t, file).Deployment.Spec.Template.Spec
			for _, volume := range pod.Volumes {
				if volume.Projected == nil {
					put("apps/apps.yaml", "apps: [{app_key: 4f7aef34fb361292c566a1cd, master_secret_file: first}]")
					put("apps/first", "SimulatedMasterSecret001")
					continue
				}
				for _, source := range volume.Projected.Sources {
					put("secrets/"+source.Secret.Items[0].Path, "SimulatedMasterSecret001")
				}
			}
			config := exec.Command(binary, "config")
			for name, value := range env(pod.Containers[0]) {
				config.Env = append(config.Env, name+"="+strings.ReplaceAll(value, etc, dir))
			}
			out, err := config.CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// env is a container's environment; what a Secret would give is made up.
func env(container corev1.Container) map[string]string {
	all := map[string]string{}
	for _, variable := range container.Env {
		all[variable.Name] = variable.Value
		if variable.ValueFrom != nil {
			all[variable.Name] = "4f7aef34fb361292c566a1cd"
		}
	}
	return all
}

func TestBadValues(t *testing.T) {
	type object = map[string]any
	for name, test := range map[string]struct {
		change object
		want   string
	}{
		"no such value":       {object{"replicaCount": 2}, "replicaCount"},
		"none":                {object{"replicas": 0}, "replicas"},
		"many as text":        {object{"replicas": "two"}, "replicas"},
		"not jmpub's":         {object{"settings": object{"KAFKA_BROKERS": "kafka:9092"}}, "KAFKA_BROKERS"},
		"a number":            {object{"settings": object{"JMPUB_TOPICS_PARTITIONS": 6}}, "JMPUB_TOPICS_PARTITIONS"},
		"a secret":            {object{"settings": object{"JMPUB_KAFKA_SASL_PASSWORD": "hidden"}}, "secretFiles.JMPUB_KAFKA_SASL_PASSWORD_FILE"},
		"the chart's own":     {object{"settings": object{"JMPUB_LISTEN": ":1"}}, "settings.JMPUB_LISTEN"},
		"files":               {object{"settings": object{"JMPUB_CHECKPOINT": "file:/x"}}, "settings.JMPUB_CHECKPOINT"},
		"no group":            {object{"settings": object{"JMPUB_GROUP": "off"}}, "settings.JMPUB_GROUP"},
		"no key":              {object{"secretFiles": object{"JMPUB_KAFKA_TLS_CA_FILE": object{"secret": "kafka"}}}, "key"},
		"not a file":          {object{"secretFiles": object{"JMPUB_MASTER_SECRET": object{"secret": "a", "key": "b"}}}, "JMPUB_MASTER_SECRET"},
		"no app":              {object{"secretFiles": object{"JMPUB_MASTER_SECRET_FILE": nil}}, "no app"},
		"no broker":           {object{"settings": object{"JMPUB_KAFKA_BROKERS": nil}}, "settings.JMPUB_KAFKA_BROKERS"},
		"two files of apps":   {object{"appsFile": object{"secret": "a", "configMap": "b"}}, "not both"},
		"memory":              {object{"resources": object{"limits": object{"memory": "512M"}}}, "memory"},
		"probe":               {object{"readinessPath": "/ready"}, "readinessPath"},
		"in two places":       {object{"secretEnv": object{"JMPUB_APP_KEY": object{"secret": "a", "key": "b"}}}, "secretEnv.JMPUB_APP_KEY"},
		"value and file":      {object{"settings": object{"JMPUB_MASTER_SECRET_FILE": "/x"}}, "settings.JMPUB_MASTER_SECRET_FILE"},
		"monitor is kept out": {object{"serviceMonitor": object{"enabled": true}}, "networkPolicy.ingressFrom"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(chartutil.CoalesceTables(test.change, read(t, "one.yaml")))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden") {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
}

// Helm takes names of releases that Kubernetes does not take for a Service.
func TestReleaseNames(t *testing.T) {
	for name, good := range map[string]bool{"jmpub": true, "chat-2": true, "2nd": false, "chat.history": false} {
		_, err := renderAs(name, releases[0], read(t, "one.yaml"))
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "release "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A misspelt or misplaced field in a template is found by the other tests, because none of them reads what it does not know.
func TestTyposAreFound(t *testing.T) {
	good, err := render(read(t, "many.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	readers := map[string]func(map[string]string) error{"the types": func(files map[string]string) error {
		_, err := decode(files)
		return err
	}}
	for _, release := range releases {
		readers["the schemas of "+release] = schemasOf(t, release).check
	}
	for field, typo := range map[string]string{
		"terminationGracePeriodSeconds:": "terminationGraceSeconds:",
		"unhealthyPodEvictionPolicy:":    "unhealthyPodsEvictionPolicy:",
		"publishNotReadyAddresses: true": "publishNotReadyAddresses: [always]",
		"policyTypes:":                   "policyType:",
		"endpoints:":                     "endpoint:",
		"replicas: 3":                    "replicas: three",
	} {
		bad := replaced(t, good, field, typo)
		for name, reader := range readers {
			if reader(bad) == nil {
				t.Errorf("%s for %s is not found by %s", typo, field, name)
			}
		}
	}
}

// replaced are rendered files in which some text, which has to be there, is another.
func replaced(t *testing.T, files map[string]string, old, by string) map[string]string {
	t.Helper()
	found := false
	changed := maps.Clone(files)
	for name, text := range files {
		if strings.Contains(text, old) && strings.HasSuffix(name, ".yaml") {
			changed[name] = strings.Replace(text, old, by, 1)
			found = true
		}
	}
	if !found {
		t.Errorf("nothing has %s", old)
	}
	return changed
}
