# Everything a change must pass is `make check` and `make test`; CI runs the same
# two. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Nested Go modules, checked and tested like the root one. They are modules of
# their own so that what only a test needs stays out of the root go.mod.
GO_MODULES := internal/workos/sdktest internal/benchpeers internal/stream/receivertest internal/ledger/c2sptest
# Folders with a package-lock.json that tests need installed.
NPM_DIRS := internal/workos/testdata/node internal/web/browsertest/testdata internal/stream/receivertest/node
# Commands that tests need, each with the Debian package that brings it where
# that has another name. The race detector needs a C compiler; PostgreSQL is what
# Stele is measured beside, and Debian keeps it out of the path; pages are tested
# in Chromium; rsyslog and liblognorm receive and read what log streams send.
APT_COMMANDS := gcc postgres=postgresql chromium rsyslogd=rsyslog lognormalizer=liblognorm-utils
# The same for what is no command, by a file of it.
APT_FILES := /usr/lib/*/rsyslog/lmnsd_gtls.so=rsyslog-gnutls
# Programs of others that log streams deliver to in tests. Each is built once, for
# the first time in minutes, out of the module of its name in receivers.
RECEIVERS := otelcol versitygw fake-gcs-server

PKG ?= ./...
COUNT ?= 6
BENCH ?= .
FUZZTIME ?= 20s
EVENTS ?= 1000000
PEERSFLAGS ?=
TESTFLAGS ?=
BROWSERFLAGS ?=

# A listed folder that is not in the tree is no error: it may come or go with a
# package.
modules := $(patsubst %/go.mod,%,$(wildcard $(GO_MODULES:%=%/go.mod)))
receivers := internal/stream/receivertest/receivers
npm_installed := $(patsubst %/package-lock.json,%/node_modules/.installed,\
	$(wildcard $(NPM_DIRS:%=%/package-lock.json)))

# Tools are built once for each version of Go: a linter must not be older than
# the compiler whose packages it reads.
bin := bin/$(shell go env GOVERSION)
golangci_lint := $(bin)/golangci-lint
benchstat := $(bin)/benchstat
govulncheck := $(bin)/govulncheck

# $(call in_modules,COMMAND) runs a command in the root and each nested module, in
# all of them even if one fails: who broke two things hears of both.
in_modules = @failed=; for dir in . $(modules); do echo "$$dir: $(1)"; (cd "$$dir" && $(1)) || failed+=" $$dir"; done; \
	if [[ $$failed ]]; then echo "failed in:$$failed"; exit 1; fi

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# --- check: what needs no test run, in the order that fails fastest

.PHONY: check
check: build layers tidy vet lint ## everything a change must pass beside its tests

.PHONY: build
build: ## compile every package of every module
	$(call in_modules,go build -o /dev/null ./...)

.PHONY: layers
layers: ## which package may import which, and sizes (layers_test.go)
	go test .

.PHONY: tidy
tidy: ## go.mod and go.sum say exactly what is used
	$(call in_modules,go mod tidy -diff)
	cd tools && go mod tidy -diff

.PHONY: vet
vet: ## go vet, tests included
	$(call in_modules,go vet ./...)

.PHONY: lint
lint: $(golangci_lint) ## golangci-lint, formatting included
	$(call in_modules,$(CURDIR)/$(golangci_lint) run ./...)

.PHONY: fmt
fmt: $(golangci_lint) ## rewrite the sources with gofumpt and goimports
	$(call in_modules,$(CURDIR)/$(golangci_lint) fmt ./...)

# --- test

.PHONY: test
test: deps ## every test, shuffled, with the race detector
	$(call in_modules,go test -race -shuffle=on -timeout 20m $(TESTFLAGS) ./...)

.PHONY: browser
browser: deps ## the pages in a real browser; BROWSERFLAGS go to Playwright, STELE_SLOW=400 delays every answer by so many ms
	go test -race -count 1 -v ./internal/web/browsertest -args -- $(BROWSERFLAGS)

.PHONY: deps
deps: apt $(npm_installed) $(RECEIVERS:%=$(bin)/%) $(bin)/litewitness ## install what the tests need

.PHONY: apt
apt:
	@missing=(); PATH="$$PATH:/usr/sbin$$(printf ':%s' /usr/lib/postgresql/*/bin)"; \
	for name in $(APT_COMMANDS); do command -v "$${name%=*}" >/dev/null || missing+=("$${name#*=}"); done; \
	for file in $(foreach f,$(APT_FILES),'$(f)'); do compgen -G "$${file%=*}" >/dev/null || missing+=("$${file#*=}"); done; \
	if (( $${#missing[@]} )); then \
		echo "install $${missing[*]}"; \
		as_root=; if (( EUID )); then as_root=sudo; fi; \
		$$as_root apt-get update -q; \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy "$${missing[@]}"; \
	fi

%/node_modules/.installed: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	mkdir -p $(@D) && touch $@

$(bin)/otelcol: package = .
$(bin)/otelcol: $(receivers)/otelcol/main.go
$(bin)/versitygw: package = github.com/versity/versitygw/cmd/versitygw
$(bin)/fake-gcs-server: package = github.com/fsouza/fake-gcs-server
$(RECEIVERS:%=$(bin)/%): $(bin)/%: $(receivers)/%/go.mod $(receivers)/%/go.sum
	@echo "build $(@F) (once)"
	@cd $(receivers)/$(@F) && go build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ $(package)

# A witness of others, which signs checkpoints in tests.
litewitness := internal/ledger/c2sptest/litewitness
$(bin)/litewitness: $(litewitness)/go.mod $(litewitness)/go.sum
	@echo "build $(@F) (once)"
	@cd $(litewitness) && go build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ filippo.io/torchwood/cmd/litewitness

.PHONY: cover
cover: deps ## statement coverage of all packages together, in cover.out
	go test -coverpkg=./... -coverprofile=cover.out ./...
	go tool cover -func=cover.out | tail -n 1

.PHONY: fuzz
fuzz: ## every fuzz target of PKG for FUZZTIME each
	@targets=$$(go test -list '^Fuzz' $(PKG) | \
		awk '/^Fuzz/ { t[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, t[i]; n = 0 }'); \
	while read -r pkg target; do \
		[[ -n "$$target" ]] || continue; \
		echo "fuzz $$target in $$pkg for $(FUZZTIME)"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
	done <<<"$$targets"

# --- measure

.PHONY: bench
bench: $(benchstat) ## benchmarks matching BENCH in PKG, COUNT times, against bench/base.txt if there is one
	@mkdir -p bench
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG) | tee bench/new.txt
	@if [[ '$(PKG)' == ./... ]]; then $(MAKE) -s bench-streams | tee -a bench/new.txt; fi
	@if [[ -f bench/base.txt ]]; then $(benchstat) bench/base.txt bench/new.txt; fi

.PHONY: bench-streams
bench-streams: ## delivery by destination, what streams cost ingest, memory of 200 that lag
	cd internal/stream/receivertest && go test -run '^$$' -bench '$(BENCH)' -benchtime 3x -count $(COUNT) -timeout 2h .

.PHONY: bench-peers
bench-peers: apt ## Stele and PostgreSQL side by side on EVENTS events (docs/performance.md)
	cd internal/benchpeers && go run . --events $(EVENTS) $(PEERSFLAGS)

# Not part of check: it asks a server, and its answer changes from day to day
# while the code does not.
.PHONY: vuln
vuln: $(govulncheck) ## known vulnerabilities in what is called
	$(call in_modules,$(CURDIR)/$(govulncheck) ./...)

# --- tools, pinned in tools/go.mod

$(golangci_lint): tool = github.com/golangci/golangci-lint/v2/cmd/golangci-lint
$(benchstat): tool = golang.org/x/perf/cmd/benchstat
$(govulncheck): tool = golang.org/x/vuln/cmd/govulncheck
$(golangci_lint) $(benchstat) $(govulncheck): tools/go.mod tools/go.sum
	@echo "build $(@F) (once)"
	@cd tools && go build -o $(CURDIR)/$@ $(tool)

.PHONY: clean
clean: ## remove what make built
	rm -rf bin bench/new.txt cover.out
