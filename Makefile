# Everything here is a plain command; `make -n TARGET` shows it. What is tested how stands here alone: .ci/run calls these targets.
# Those that need Apache Kafka start it in containers, from the image that JMPUB_TEST_KAFKA_IMAGE names (by default
# apache/kafka:4.1.0).

FAULTS ?= 40
SEED ?= 0
FUZZ ?= 50000x
KEEP ?= $(CURDIR)/dist/soak
OLDEST ?= apache/kafka:3.7.2

lint_version := v2.15.0
export PATH := $(PATH):$(shell go env GOPATH)/bin

# go test's own deadline is for the tests of a package together: ten minutes, if nothing else is said. Here it is short enough that a
# test that hangs fails soon, with the stacks of all goroutines, and it holds for every test without a line in it, also for the
# next one that somebody writes. It is far from what the packages take on a busy machine. A test that waits for another process,
# for Kafka or for a run of the pipeline bounds each wait besides (runWithin in internal/tests/endtoend, soak.Patience), so that it
# says what did not happen, and cleans up; the deadlines of the targets on Apache Kafka only stand behind those.
within := 8m
race_within := 15m

# The end-to-end tests take ten minutes under the race detector; these have every goroutine that there is.
endtoend := ./internal/tests/endtoend
endtoend_race := TestWholeHistory|TestStreams|TestFileCheckpoints

soak := ./internal/tests/soak
protocol := TestProtocol|TestOnApacheKafka
protocol_packages := $(endtoend) ./internal/tests/kafkatest ./checkpoint
kafka := $(protocol)|TestOnApicurioRegistry|TestEfficiencyOfAMillionRows|Test[A-Za-z]+OnApacheKafka
# The longest first: they are started in this order.
kafka_packages := ./internal/tests/compat ./internal/tests/operator $(protocol_packages) ./sink ./internal/tests/security ./internal/registry

waiting := TestWrongPort|TestProxyWantsLogin|TestFolderThatCannotBeWritten|TestFirstStartRaisesNoAlarm|TestTopicGoesAway|TestLostCheckpoints

.PHONY: help tools lint documents test race fuzz examples container waiting kafka oldest faults reliability soak

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14

tools: ## install golangci-lint, in the release that the project is checked with
	@golangci-lint version 2>/dev/null | grep -q "$(lint_version:v%=%)" || \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(lint_version)

lint: tools ## golangci-lint, with and without the tests on Apache Kafka
	golangci-lint run ./...
	golangci-lint run --build-tags integration ./...
	go mod verify
	go mod tidy -diff

# The SDK for Java needs Maven and a JDK, but no Apache Kafka, so its test stands here and not among those of `make kafka`.
documents: ## AsyncAPI, the CloudEvents SDK, JMessage's SDK for Java, licences, known vulnerabilities
	scripts/asyncapi.sh
	cd internal/tests/contract/cloudevents && go mod tidy -diff && go vet ./... && go test -timeout $(within) ./...
	go test -tags integration -count=1 -timeout 8m ./internal/tests/sdk
	scripts/licenses.sh
	scripts/vulnerabilities.sh || [ $$? = 75 ] # 75: the database cannot be reached from here; it has said so.

test: ## all tests that need nothing but Go
	go test -timeout $(within) ./...

race: ## the tests with the race detector, in any order
	go test -race -shuffle=on -timeout $(race_within) $$(go list ./... | grep -v $(endtoend:.%=%))
	go test -race -shuffle=on -timeout $(race_within) -run '$(endtoend_race)' $(endtoend)

fuzz: ## every fuzz target, FUZZ=50000x inputs or FUZZ=1m long
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | sed 's/^func //' | while read -r target; do \
			echo "$$(dirname "$$file") $$target"; \
			out=$$(cd "$$(dirname "$$file")" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) . 2>&1) || { echo "$$out"; exit 1; }; \
		done || exit 1; \
	done

examples: ## the examples, each by itself and on Apache Kafka
	examples/test.sh

container: ## the container image, and the compose file with it
	scripts/container.sh

waiting: ## the tests of commands that wait for ports and topics to be given up; they need nothing but Go
	scripts/kafka.sh '$(waiting)' ./cmd/jmpub -- -timeout 10m

kafka: ## the protocol, the pipeline, registries, clients, security, rights and operators on Apache Kafka
	scripts/kafka.sh '$(kafka)' $(kafka_packages) -- -p 2 -parallel 5 -timeout 25m

oldest: ## the protocol and the pipeline on the oldest release that is supported; the newest one is killed at each step
	JMPUB_TEST_KAFKA_IMAGE=$(OLDEST) scripts/kafka.sh '$(protocol)' $(protocol_packages) -- -p 2 -parallel 5 -timeout 20m \
		-skip TestOnApacheKafka/killed_at_each_step

faults: ## each fault by itself that leaves the brokers alone, and full disks; five minutes
	scripts/kafka.sh 'TestFullDiskOnApacheKafka|TestReliabilityOnApacheKafka/side_by_side' $(soak) -- -parallel 5 -timeout 20m -soak.keep="$(KEEP)"

reliability: ## each fault by itself on three brokers, and full disks; about ten minutes
	scripts/kafka.sh 'TestFullDiskOnApacheKafka|TestReliabilityOnApacheKafka' $(soak) -- -parallel 5 -timeout 40m -soak.keep="$(KEEP)"

soak: ## FAULTS=40 faults of all kinds in any order, from SEED (0 is another each time)
	scripts/kafka.sh TestSoakOnApacheKafka $(soak) -- -timeout 0 -soak.faults=$(FAULTS) -soak.seed=$(SEED) -soak.keep="$(KEEP)"
