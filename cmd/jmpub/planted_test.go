package main

import (
	"context"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/jmpub/jmpub/internal/lab/broker"
	"github.com/jmpub/jmpub/internal/tests/hostile"
)

// echo is an API that shows the credentials which it gets wherever it can, and works all the same: what it is asked for it answers in
// the end, with rows that are rejected.
type echo struct {
	texts []string
	asked atomic.Int32
}

func (e *echo) answer(request string) string {
	n := int(e.asked.Add(1))
	text := e.texts[n%len(e.texts)]
	list := strings.Contains(request, "/users/") || strings.Contains(request, "/statistic/")
	failures := []string{
		"HTTP/1.1 200 OK\r\nAuthorization " + text + "\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + text + "\r\n\r\n",
		hostile.Answer(500, text), hostile.Answer(200, `{"`+text+`":`),
	}
	switch {
	case n%2 == 0 && n/2 <= len(failures): // Between good ones, so that no wait is long.
		return failures[n/2-1]
	case list:
		return hostile.Answer(200, `{"total":1,"users":[{"username":"`+text+`"}]}`)
	default:
		return hostile.Answer(200, `{"total":2,"count":2,"messages":[{"msgid":"`+text+`"},{"msgid":1,"`+text+`":1,"`+text+`":2}]}`)
	}
}

// TestNothingTells runs against others that show the credentials which they get, and looks for them in all that comes out.
func TestNothingTells(t *testing.T) {
	t.Parallel()
	const appKey, secret, password, proxy = "4f7aef34fb361292c566a1cd", "Zq7kW2nX8Lm-master", "registry-Qy7rT2-pass", "proxy-Hs6vB1-pass"
	forms := make(map[string]string)
	var texts []string
	for user, password := range map[string]string{appKey: secret, "registry": password, "proxy": proxy} {
		for name, form := range hostile.Forms(user, password) {
			forms[user+" "+name] = form
			if name == "plain" || name == "token" {
				texts = append(texts, form)
			}
		}
	}
	const token = "Vb4xJ9sR-admin-token"
	for name, form := range hostile.Forms("admin", token) {
		forms["admin "+name] = form
	}
	throughProxy := "http://proxy:" + proxy + "@127.0.0.1:1"
	for _, format := range []string{"text", "json"} {
		brokers, err := broker.Start(broker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = brokers.Close() })
		api := &echo{texts: texts}
		var registered atomic.Bool
		schemas := hostile.Serve(t, func(string) string {
			if registered.Swap(true) {
				return hostile.Answer(200, `{"id":1,"schema":"`+texts[0]+`"}`)
			}
			return hostile.Answer(500, strings.Join(texts, " "))
		})
		address := "http://" + hostile.Serve(t, api.answer)
		env := map[string]string{
			"JMPUB_APP_KEY": appKey, "JMPUB_MASTER_SECRET": secret, "JMPUB_API_URL": address + "/v2", "JMPUB_IM_URL": address + "/v1",
			"JMPUB_KAFKA_BROKERS": brokers.Addrs()[0], "JMPUB_LISTEN": "127.0.0.1:0", "JMPUB_START": "10m", "JMPUB_API_RATE": "100000/m",
			"JMPUB_STREAMS": "groups/1,users/*,statistics/users", "JMPUB_POLL": "100ms", "JMPUB_LOG": "debug", "JMPUB_LOG_FORMAT": format,
			"JMPUB_EVENT_FORMAT": "avro", "JMPUB_SCHEMA_REGISTRY_URL": "http://" + schemas, "JMPUB_SCHEMA_REGISTRY_USERNAME": "registry",
			"JMPUB_SCHEMA_REGISTRY_PASSWORD": password, "JMPUB_SCHEMA_REGISTRY_REGISTER": "true", "JMPUB_RECHECK": "off",
			"JMPUB_ADMIN_TOKEN": token, "HTTPS_PROXY": throughProxy,
		}
		ctx, end := context.WithCancel(t.Context())
		var said journal
		left := make(chan int, 1)
		go func() { left <- command(ctx, env, io.Discard, &said, "run") }()
		shown := map[string]string{}
		rejected, status := regexp.MustCompile(`"rejected": [1-9]`), regexp.MustCompile(`status"?[=:]"?(http://127[^"\s]+)`)
		for began := time.Now(); !rejected.MatchString(shown["/readyz"]) || api.asked.Load() < 9; {
			for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/api/v1/apps"} {
				if at := status.FindStringSubmatch(said.String()); at != nil {
					shown[path] = get(t, at[1]+path)
				}
			}
			if time.Since(began) > 30*time.Second {
				t.Fatalf("it came to %v; it said:\n%s", shown, said.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
		address = status.FindStringSubmatch(said.String())[1]
		for _, path := range []string{"overview", "history?minutes=1", "openapi.json"} {
			shown[path] = get(t, address+"/api/v1/"+path)
		}
		for _, path := range []string{"", "/coverage?stream=groups/1&from=1h", "/windows", "/checkpoints", "/replays", "/notices"} {
			shown["app"+path] = get(t, address+"/api/v1/apps/"+appKey+path)
		}
		for path, body := range map[string]string{
			"reset": `{"stream":"groups/1","to":"5m","dry_run":true}`, "replays": `{"from":"5m","to":"3m","dry_run":true}`,
			"audits": `{"from":"5m","to":"3m"}`, "pause": `{"stream":"groups/1"}`,
		} {
			shown["POST "+path] = change(t, address+"/api/v1/apps/"+appKey+"/"+path, token, body)
		}
		end()
		if code := <-left; code != exitDone {
			t.Errorf("exit code %d", code)
		}
		shown["log"] = said.String()
		maps.Copy(shown, records(t, brokers))
		config := try(t, map[string]string{"JMPUB_APP_KEY": appKey, "JMPUB_MASTER_SECRET": secret, "HTTPS_PROXY": throughProxy}, "config")
		shown["config"] = config.stdout + config.stderr
		for name, text := range shown {
			if told := hostile.Shown(text, forms); told != "" {
				t.Errorf("%s: %s tells %s:\n%.3000s", format, name, told, text)
			}
			if text == "" {
				t.Errorf("%s: %s is empty", format, name)
			}
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // It was read.
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// change is the answer of a call that changes something.
func change(t *testing.T, url, token, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Jmpub-Request", "1")
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // It was read.
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusUnauthorized {
		t.Fatalf("%s: %d, %v", url, res.StatusCode, err)
	}
	return string(text)
}

// records are what stands in the topics, but for the rows themselves, which are the API's as it sent them.
func records(t *testing.T, brokers *broker.Broker) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers.Addrs()...), kgo.ConsumeRegex(), kgo.ConsumeTopics(`jmessage\..*`))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	all := make(map[string]string)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for all["windows"] == "" || all["rejected"] == "" || all["checkpoints"] == "" {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			topic := strings.TrimPrefix(r.Topic, "jmessage.")
			all[topic] += string(r.Key) + " "
			if topic != "rejected" {
				all[topic] += string(r.Value)
			}
			for _, h := range r.Headers {
				if h.Key != "jmpub_detail" { // It quotes the row, which the record has.
					all[topic] += " " + h.Key + "=" + string(h.Value)
				}
			}
		})
	}
	return all
}
