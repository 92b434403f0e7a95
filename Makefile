# Everything there is to run, one word each. A fresh machine needs Rust, Python 3 and make; `make interop` also
# needs Go and Node, `make fuzz` a C++ compiler. Foreign programs go into .tools/ and nowhere else.

MAKEFLAGS += --no-print-directory
CARGO ?= cargo
# A change of dependencies may settle in Cargo.lock while one works; a check of what was committed must not change it.
LOCKED := $(if $(CI),--locked)

# What `comms` and the tests look for. Asked for when a target needs it, so that `make help` installs nothing.
nats_server = COMMS_NATS_SERVER="$$(tools/nats-server)" || exit 1; export COMMS_NATS_SERVER
python      = COMMS_PYTHON="$$(tools/install.py python)" || exit 1; export COMMS_PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo test interop lint fuzz bench build clean-tools

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## The main scene on a real nats-server and a real PDF; FILE=x.pdf takes yours
	@$(nats_server); $(CARGO) build $(LOCKED) --package comms-cli && \
	"$$(tools/built comms)" demo $(if $(FILE),--file '$(FILE)') $(ARGS)

test: ## All tests but those against foreign programs; ARGS go to the test runner
	@$(nats_server); $(python); $(CARGO) test $(LOCKED) --workspace -- $(ARGS)

interop: ## Build pinned foreign programs (Go, Node) into .tools/ and test against them
	@$(nats_server); $(python); tools/install.py npm nats bento ipfs >/dev/null && \
	$(CARGO) test $(LOCKED) --workspace --test interop -- $(ARGS)

lint: ## Format, clippy, documentation, licences and sources of dependencies, scripts
	@tools/lint

fuzz: ## Every decoder, and whole requests, on mutated input; FUZZ_SECONDS=30 each, TARGET=x for one
	@tools/fuzz run $(TARGET)

bench: ## Figures beside raw async-nats and, where it is built, `nats bench`; ARGS='--json'
	@$(nats_server); PATH="$(CURDIR)/.tools/bin:$$PATH"; $(CARGO) build $(LOCKED) --release --package comms-cli && \
	"$$(tools/built --release comms)" bench $(ARGS)

build: ## The binary for use: target/release/comms
	@$(CARGO) build $(LOCKED) --release --package comms-cli && tools/built --release comms

clean-tools: ## Remove the foreign programs in .tools/
	rm -rf .tools
