# Everything here is a plain command; `make -n TARGET` shows it. The targets that need Apache Kafka start it in containers, from
# the image that JMPUB_TEST_KAFKA_IMAGE names (by default apache/kafka:4.1.0).

FOR ?= 3m
SEED ?= 0
FUZZ ?= 50000x
KEEP ?= $(CURDIR)/dist/soak

on_kafka = go test -tags integration -count=1 -p 1 -v

.PHONY: help test lint race fuzz kafka reliability soak

help: ## list the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14

test: ## all tests that need nothing but Go
	go test ./...

lint: ## golangci-lint, with and without the tests on Apache Kafka
	golangci-lint run ./...
	golangci-lint run --build-tags integration ./...

race: ## the tests with the race detector, in any order
	go test -race -shuffle=on ./...

fuzz: ## every fuzz target, FUZZ=50000x inputs or FUZZ=1m long
	@grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$file" | sed 's/^func //' | while read -r target; do \
			echo "$$(dirname "$$file") $$target"; \
			(cd "$$(dirname "$$file")" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) .) || exit 1; \
		done || exit 1; \
	done

kafka: ## the protocol, the pipeline, and security and rights on Apache Kafka
	$(on_kafka) -timeout 15m -run "TestProtocol|TestOnApacheKafka|TestSecurityOnApacheKafka|TestRightsOnApacheKafka" \
		./checkpoint ./internal/tests/kafkatest ./internal/tests/endtoend ./internal/tests/security

reliability: ## each fault by itself on three brokers, and full disks; about ten minutes
	$(on_kafka) -timeout 30m -parallel 5 -run "TestReliabilityOnApacheKafka|TestFullDiskOnApacheKafka" ./internal/tests/soak -soak.keep="$(KEEP)"

soak: ## faults of all kinds in any order, for FOR=3m or hours, from SEED (0 is another each time)
	$(on_kafka) -timeout 0 -run TestSoakOnApacheKafka ./internal/tests/soak -soak.for=$(FOR) -soak.seed=$(SEED) -soak.keep="$(KEEP)"
