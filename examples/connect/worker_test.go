//go:build integration

package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmpub/jmpub/internal/tests/kafkatest"
	"github.com/jmpub/jmpub/internal/tests/soak"
)

// worker is a Kafka Connect worker, as worker.sh runs it.
type worker struct {
	dir, address string
	env          []string
	cmd          *exec.Cmd
	client       http.Client
}

// newWorker starts one. dir keeps its jars and its log.
func newWorker(t *testing.T, dir string, env ...string) *worker {
	t.Helper()
	address := fmt.Sprintf("http://127.0.0.1:%d", kafkatest.FreePorts(t, 1)[0])
	w := &worker{dir: dir, address: address, env: env, client: http.Client{Timeout: time.Minute}}
	w.start(t)
	return w
}

// start starts the worker and waits until it answers.
func (w *worker) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(w.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()                                                            //nolint:errcheck // The process has it.
	w.cmd = exec.Command("./worker.sh", filepath.Join(w.dir, "jars"), w.address) //nolint:noctx,gosec // Ours; it ends by a signal.
	w.cmd.Env = append(os.Environ(), w.env...)                                   //nolint:forbidigo // Java and Maven need theirs.
	w.cmd.Stdout, w.cmd.Stderr = log, log
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	cmd := w.cmd
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // It may have ended before.
	deadline := time.Now().Add(soak.Patience)
	for {
		var plugins []struct{ Class string }
		if err := w.call(t.Context(), http.MethodGet, "/connector-plugins", nil, &plugins); err == nil {
			return
		}
		select {
		case err := <-gone:
			t.Fatalf("the worker ended: %v\n%s", err, w.tail(t))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the worker does not answer\n%s", w.tail(t))
		}
		soak.Wait(t, 200*time.Millisecond)
	}
}

// kill is kill -9.
func (w *worker) kill(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func (w *worker) log() string { return filepath.Join(w.dir, "worker.log") }

func (w *worker) tail(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(w.log())
	if err != nil {
		t.Fatal(err)
	}
	return string(text[max(0, len(text)-5000):])
}

// call asks the worker's REST API.
func (w *worker) call(ctx context.Context, method, path string, body, reply any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, w.address+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // It was only read.
	if text, err = io.ReadAll(res.Body); err != nil {
		return err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(text, reply)
}

// faults has the worker validate a configuration with the connector's own class.
func (w *worker) faults(t *testing.T, name string, config map[string]string) []string {
	t.Helper()
	class := config["connector.class"]
	var reply struct {
		Configs []struct {
			Value struct {
				Name   string
				Errors []string
			}
		}
	}
	config["name"] = name
	path := "/connector-plugins/" + class + "/config/validate"
	if err := w.call(t.Context(), http.MethodPut, path, config, &reply); err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for _, c := range reply.Configs {
		for _, text := range c.Value.Errors {
			faults = append(faults, c.Value.Name+": "+text)
		}
	}
	if len(reply.Configs) < 10 {
		faults = append(faults, fmt.Sprintf("only %d settings are known", len(reply.Configs)))
	}
	return faults
}

// create starts a connector. A worker that has just joined answers that it is not ready for a while.
func (w *worker) create(t *testing.T, name string, config map[string]string) {
	t.Helper()
	deadline := time.Now().Add(soak.Patience)
	for {
		err := w.call(t.Context(), http.MethodPut, "/connectors/"+name+"/config", config, nil)
		if err == nil {
			return
		}
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "409") && !strings.Contains(err.Error(), "404") {
			t.Fatal(err)
		}
		soak.Wait(t, 200*time.Millisecond)
	}
}

// check fails the test if a task of the connector has failed.
func (w *worker) check(t *testing.T, name string) {
	t.Helper()
	var status struct {
		Tasks []struct{ State, Trace string }
	}
	if err := w.call(t.Context(), http.MethodGet, "/connectors/"+name+"/status", nil, &status); err != nil {
		return // It is only being made.
	}
	for _, task := range status.Tasks {
		if task.State == "FAILED" {
			t.Fatalf("%s has failed: %s", name, task.Trace)
		}
	}
}
