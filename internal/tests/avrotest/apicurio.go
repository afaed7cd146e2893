package avrotest

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	// apicurio is a release that runs on Java 17.
	apicurio = "2.6.13.Final"
	// loadWithin is long, because the first time on a machine Maven loads 140 MB.
	loadWithin = 10 * time.Minute
)

// project is the least that Maven takes for one.
const project = `<project><modelVersion>4.0.0</modelVersion><groupId>jmpub</groupId><artifactId>apicurio</artifactId><version>1</version>
<packaging>pom</packaging></project>`

// StartApicurio runs Apicurio Registry, loaded by Maven, for the length of the test, and returns the address of its Confluent API.
// Java 17 or later and Maven are needed; without them the test fails. What is registered is kept in memory.
func StartApicurio(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	ctx, cancel := context.WithTimeout(tb.Context(), loadWithin)
	defer cancel()
	// Without a project, Maven's dependency plugin takes the name of its folder as it stands, and puts its markers into
	// "${project.basedir}" wherever it is called.
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(project), 0o600); err != nil {
		tb.Fatal(err)
	}
	load := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:unpack", //nolint:gosec // Ours.
		"-Dartifact=io.apicurio:apicurio-registry-app:"+apicurio+":tar.gz:all", "-DoutputDirectory="+dir)
	load.Dir = dir
	if out, err := load.CombinedOutput(); err != nil {
		tb.Fatalf("load Apicurio Registry: %v (Maven and Java 17 or later are needed)\n%s", err, out)
	}
	// One collector and one compiler: it starts soon, and tests share few processors.
	run := exec.CommandContext(tb.Context(), "java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", //nolint:gosec // Ours.
		filepath.Join(dir, "apicurio-registry-app-"+apicurio+"-runner.jar"))
	run.Dir = dir
	run.Env = append(run.Environ(), "QUARKUS_HTTP_HOST=127.0.0.1", "QUARKUS_HTTP_PORT=0")
	run.Stderr = os.Stderr
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		tb.Fatalf("start Apicurio Registry: %v", err)
	}
	tb.Cleanup(func() {
		_ = run.Process.Kill() // It may have ended with the test's context.
		_ = run.Wait()         // It was killed, which is no success.
	})
	return listening(tb, out)
}

// listening waits for the line with which the registry tells its address, and lets it write on.
func listening(tb testing.TB, out io.Reader) string {
	tb.Helper()
	address := regexp.MustCompile(`Listening on: (http://127\.0\.0\.1:[0-9]+)`)
	var said strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // It ends with the process.
			return m[1] + "/apis/ccompat/v7"
		}
		said.WriteString(lines.Text() + "\n")
	}
	tb.Fatalf("Apicurio Registry ended: %v\n%s", lines.Err(), said.String())
	return ""
}
