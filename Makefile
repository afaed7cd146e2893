# Everything here is a plain command; `make -n TARGET` shows it. What is tested how stands here alone: .ci/run calls these targets.
# Those that need Apache Kafka start it in containers, from the image that JMPUB_TEST_KAFKA_IMAGE names (by default
# apache/kafka:4.1.0).

FAULTS ?= 40
KILLS ?= 100
APPS ?= 1000
MEASURE ?= IdleApps
SEED ?= 0
SEEDS ?= 100
FOR ?= 0
MOST ?= 5h
WITH ?=
FUZZ ?= 50000x
# Guided by coverage, unless it is empty: then nothing has to be compiled for it.
GUIDED ?= yes
PICTURES ?= dist/page
KEEP ?= $(CURDIR)/dist/soak
OLDEST ?= apache/kafka:3.7.2
ROWS ?= 1000000
ROWSIZE ?= 446
ROUNDS ?= 5
COMPRESSION ?= zstd
BROKER ?=

lint_version := v2.15.0
export PATH := $(PATH):$(shell go env GOPATH)/bin

# go test's own deadline is for the tests of a package together: ten minutes, if nothing else is said. Here it is short enough that a
# test that hangs fails soon, with the stacks of all goroutines, and it holds for every test without a line in it, also for the
# next one that somebody writes. It is far from what the packages take on a busy machine. A test that waits for another process,
# for Kafka or for a run of the pipeline bounds each wait besides (runWithin in internal/tests/endtoend, soak.Patience), so that it
# says what did not happen, and cleans up; the deadlines of the targets on Apache Kafka only stand behind those.
within := 8m
race_within := 15m

# The race detector makes what computes ten times slower, and finds something only where goroutines meet. So it leaves out the packages
# and the tests in which none do, and what only tests use (race_alone, race_skip). Of the end-to-end tests, which take ten minutes under it,
# a few have every goroutine that there is; of the simulator's, those whose requests come at the same time or are cut off; of the commands',
# those in which several work at once; and of the checkpoints', those that read together (race_few). Tests that try many seeds try few of them (-short).
endtoend := ./internal/tests/endtoend
race_alone := internal/tests/.*|pipeline/event|checkpoint
race_skip := TestAllocations|TestSearchCostsLittleWithoutTotals|TestSearchCostsLittleWhereNothingIsLate|TestBatchesAreReadAsTheyWereWritten|TestCoverageOfARun|TestIdleAppsEndTheHourOneAfterAnother|TestSilentStreamCommitsMoreSeldom|TestCoverageModel|TestOverlapChanges|TestRowsThatShareAMsgID|TestClocksThatLieLoseNothing|TestLargeReplyIsNoEnd|TestResetOfAPositionWithABacklog|TestForeignBatches|TestHostileMetadata|TestLargeGarbage|TestMemoryOfTheWorstReplies|TestMemoryOfTheWorstRepliesAtOnce|TestUncoveredRangeIsPublishedOnceMore|TestRowThatIsTooLargeIsCut
race_commands := TestTwoResetsAtOnce|TestThreeRepairsAtOnce|TestResetAndDeleteAtOnce|TestResetThatIsAnsweredLate|TestASecondRunStandsBy|TestInterrupted|TestReplayThatIsDeletedWhileItRuns|TestDeleteOfAReplayLeavesTheRunAlone|TestListsAndStatistics|TestNothingTells|TestCommandsOnFilesBesideARun|TestReplayThroughTheAPI|TestPausedStreamLeavesTheOthers
race_few := $(race_commands)|TestWholeHistory|TestStreams|TestConcurrency|TestDroppedConnections|TestSlowReplies|TestClientGoesAway|TestQuota|TestChurn|TestPartitionIsReadForAllApps|TestTogetherFromEverywhere
race_few_packages := $(endtoend) ./internal/lab/sim ./cmd/jmpub ./checkpoint

soak := ./internal/tests/soak
protocol := TestProtocol|TestOnApacheKafka|TestGroupOnApacheKafka
protocol_packages := $(endtoend) ./internal/tests/kafkatest ./checkpoint ./internal/kafka
kafka := $(protocol)|TestEfficiencyOfAMillionRows|Test[A-Za-z]+OnApacheKafka
# The longest first: they are started in this order.
kafka_packages := ./internal/tests/compat ./internal/tests/operator ./internal/tests/scale $(protocol_packages)

scripts := .ci/run examples/test.sh $(wildcard scripts/*.sh deploy/kafka-image/*.sh)

waiting := TestWrongPort|TestProxyWantsLogin|TestFolderThatCannotBeWritten|TestFirstStartRaisesNoAlarm|TestTopicGoesAway|TestLostCheckpoints|TestUnreachable|TestPoisonedPosition|TestLogIsGone|TestOutputIsGone|TestRelativeReplayIsFixedOnce

.PHONY: help tools lint documents page alerts supply sbom helm test race fuzz world mutants examples container waiting security kafka scale oldest faults reliability soak bench allocations collector platforms

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14

tools: ## install golangci-lint, in the release that the project is checked with
	@golangci-lint version 2>/dev/null | grep -q "$(lint_version:v%=%)" || \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(lint_version)

lint: tools ## golangci-lint, of all files: the tests on Apache Kafka stand behind a tag
	golangci-lint run --allow-parallel-runners --build-tags integration ./...
	go mod verify
	go mod tidy -diff

# The SDK for Java needs Maven and a JDK, but no Apache Kafka, so its test stands here and not among those of `make kafka`.
documents: ## AsyncAPI, OpenAPI, the CloudEvents SDK, JMessage's SDK for Java, licences, known vulnerabilities
	scripts/asyncapi.sh
	scripts/openapi.sh
	cd internal/tests/contract/cloudevents && go mod tidy -diff && go vet ./... && go test -timeout $(within) ./...
	go test -tags integration -count=1 -timeout 8m ./internal/tests/sdk
	scripts/licenses.sh
	scripts/vulnerabilities.sh || [ $$? = 75 ] # 75: the database cannot be reached from here; it has said so.

page: ## the page at JMPUB_LISTEN in Chromium, with axe-core; pictures of it in PICTURES=dist/page
	scripts/page.sh $(PICTURES)

alerts: ## the alert rules by promtool and in a real Prometheus, and the dashboard
	scripts/alerts.sh

supply: sbom ## the scripts, the systemd unit, a reproducible binary, and its bill of materials
	shellcheck $(scripts)
	systemd-analyze security --offline=true --threshold=15 --no-pager deploy/jmpub.service >/dev/null
	scripts/reproducible.sh

sbom: ## what is linked into the binary, as CycloneDX, in dist/jmpub.cdx.json
	scripts/sbom.sh

helm: ## the Helm chart: lint, bad values, and what it renders, read as Kubernetes' own types and by its schemas
	cd deploy/helm/tests && go mod tidy -diff && go vet ./... && go test -timeout $(within) ./...

test: ## all tests that need nothing but Go
	go test -timeout $(within) ./...

race: ## the tests with the race detector, in any order
	CGO_ENABLED=1 go test -race -short -vet=off -shuffle=on -timeout $(race_within) -skip '^($(race_skip))$$' \
		$$(go list ./... | grep -vE '/($(race_alone)|internal/lab/sim|cmd/jmpub)$$')
	CGO_ENABLED=1 go test -race -short -vet=off -shuffle=on -timeout $(race_within) -run '^($(race_few))$$' $(race_few_packages)

fuzz: ## every fuzz target, FUZZ=50000x inputs or FUZZ=1m long
	GUIDED=$(GUIDED) scripts/fuzz.sh $(FUZZ)

world: ## SEEDS=100 simulated worlds, from SEED on (0 draws it), in which things happen for MOST=5h, and more of them FOR=8h; WITH= a part of their descriptions
	GOGC=800 go test -count=1 -timeout 0 -run TestSeeds ./internal/tests/world -world.seed=$(SEED) -world.seeds=$(SEEDS) -world.most=$(MOST) -world.for=$(FOR) -world.with="$(WITH)"

mutants: ## plausible mistakes, one at a time, and which test finds each; MUTANTS= part of a name, SEEDS of the world for the others
	go test -v -timeout 0 -run 'TestMutants/$(MUTANTS)' ./internal/tests/mutants -mutants.try -mutants.world=$(SEEDS)

bench: ## jmpub beside the least that its work takes: ROWS=1000000 of ROWSIZE=446, ROUNDS=5, COMPRESSION=zstd or lz4, BROKER=embedded or apache (both if empty)
	go run ./bench -rows $(ROWS) -rowsize $(ROWSIZE) -rounds $(ROUNDS) -compression $(COMPRESSION) -broker "$(BROKER)" \
		-image "$${JMPUB_TEST_KAFKA_IMAGE:-apache/kafka:4.1.0}"

collector: ## traces, sent to the receiver of the OpenTelemetry Collector; by hand and not in .ci/run, because compiling the collector takes minutes
	cd internal/tests/collector && go mod tidy -diff && go vet ./... && go test -count=1 -timeout $(within) ./...

allocations: ## write down what the hot path allocates now, with which the tests compare it
	go test -count=1 -run '^TestAllocations$$' $$(grep -rl --include='*_test.go' 'allocations\.Check(' . | xargs -n1 dirname | sort -u) -allocations.renew
	git diff --stat -- internal/tests/allocations/baseline.txt

examples: ## the examples, each by itself and on Apache Kafka
	examples/test.sh

container: ## the container image, and the compose file with it
	scripts/container.sh

platforms: ## the container image for amd64 and arm64, in dist/jmpub-image.tar, and jmpub at work in each
	scripts/platforms.sh

waiting: ## the tests of commands that wait, or begin the binary again and again; they need nothing but Go
	scripts/kafka.sh '$(waiting)' ./cmd/jmpub -- -timeout 10m

security: ## logins, TLS and rights, records' times, and a schema registry, on Apache Kafka
	scripts/kafka.sh 'TestOnApicurioRegistry|Test[A-Za-z]+OnApacheKafka' ./internal/tests/security ./sink ./internal/registry -- -p 2 -parallel 5 -timeout 15m

kafka: ## the protocol, the pipeline, clients and operators on Apache Kafka
	scripts/kafka.sh '$(kafka)' $(kafka_packages) -- -p 2 -parallel 5 -timeout 25m

scale: ## what APPS=1000 take: MEASURE=IdleApps, Rebalance, Rolling, RollingKilled or Fairness
	scripts/kafka.sh 'TestMeasure$(MEASURE)$$' ./internal/tests/scale -- -scale.apps=$(APPS) -timeout 60m

oldest: ## the protocol and the pipeline on the oldest release that is supported; the newest one is killed at each step
	JMPUB_TEST_KAFKA_IMAGE=$(OLDEST) scripts/kafka.sh '$(protocol)' $(protocol_packages) -- -p 2 -parallel 5 -timeout 20m \
		-skip TestOnApacheKafka/killed_at_each_step

faults: ## each fault of jmpub's process by itself, and full disks; jmpub is killed KILLS=100 times at any time, and in a transaction
	scripts/kafka.sh 'TestFullDiskOnApacheKafka|TestReliabilityOnApacheKafka/side_by_side/^[a-z]' $(soak) -- -parallel 5 -timeout 20m -soak.kills=$(KILLS) -soak.keep="$(KEEP)"

reliability: ## each fault by itself on three brokers, and full disks; about ten minutes
	scripts/kafka.sh 'TestFullDiskOnApacheKafka|TestReliabilityOnApacheKafka' $(soak) -- -parallel 5 -timeout 40m -soak.keep="$(KEEP)"

soak: ## FAULTS=40 faults of all kinds in any order, from SEED (0 is another each time)
	scripts/kafka.sh TestSoakOnApacheKafka $(soak) -- -timeout 0 -soak.faults=$(FAULTS) -soak.seed=$(SEED) -soak.keep="$(KEEP)"
