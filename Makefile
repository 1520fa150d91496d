# `make help` lists the targets.

PORT ?= 90100
N ?= 100
CARGO ?= cargo

# What grid may stand on, and what nothing here may stand on.
CORE = clap crossbeam-channel ctrlc parking_lot
SYSTEMS = grid command chat charging tasks
# What some tests need; without them these tests say so and do nothing, but in CI they fail.
PARTNERS = chromium chromium-driver mosquitto mosquitto-clients python3-paho-mqtt iproute2
RUNTIMES = tokio async-std smol async-io async-executor futures-executor mio glommio monoio

.DEFAULT_GOAL := build
.PHONY: build paho demo run-servers run-client partners test check fmt lint doc deps bench flaky clean help

build: ## build, and put ./server and ./client here
	$(CARGO) build --release --locked
	@ln -sf target/release/server server
	@ln -sf target/release/client client

# The suite is in a checkout of Eclipse Paho's tests, and none of it is here. It only knows
# localhost:1883. One of its tests has a name that keeps it from being collected.
paho: build ## the Paho interoperability suite against our broker (SUITE=DIR with client_test.py)
	@test -f "$(SUITE)/client_test.py" || { echo "SUITE=DIR: where client_test.py is"; exit 2; }
	@: > target/paho.log; \
	./target/release/malha charging broker --deny-subscribe test/nosubscribe \
		> target/paho.log & broker=$$!; trap 'kill $$broker && wait $$broker' EXIT; \
	until grep -q listening target/paho.log; do kill -0 $$broker || exit 1; sleep 0.1; done; \
	cd "$(SUITE)" && python3 client_test.py && python3 client_test.py Test.will_message_test

demo: build ## two servers, all six questions from both sides, and the end of it
	@./target/release/malha grid demo

run-servers: build ## both servers in one terminal; Ctrl-C ends them
	@./target/release/malha grid servers

run-client: build ## a client of the first server (PORT=90200: of the second)
	@./client 127.0.0.1 $(PORT)

partners: ## install what some tests need: a browser, MQTT programs, `ip` (Debian; asks for root)
	@dpkg -s $(PARTNERS) > /dev/null 2>&1 || { \
		sudo=$$(test "$$(id -u)" = 0 || echo sudo); $$sudo apt-get update -q && \
		$$sudo apt-get install -y -q --no-install-recommends $(PARTNERS); }

test: ## every test
	$(CARGO) test --locked

check: fmt lint doc deps test ## everything that CI checks

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings
	for system in $(SYSTEMS); do $(CARGO) clippy --locked --no-default-features --features $$system \
		--lib --bins -- -D warnings || exit 1; done

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deps:
	@found=$$($(CARGO) tree --locked --no-default-features --features grid --edges normal \
		--depth 1 --prefix none | tail -n +2 | cut -d' ' -f1 | sort | tr '\n' ' '); \
	test "$$found" = "$(CORE) " || { echo "grid stands on: $$found, and not on: $(CORE)"; exit 1; }
	@for name in $(RUNTIMES); do \
		! grep -q "^name = \"$$name\"$$" Cargo.lock || { echo "$$name is in Cargo.lock"; exit 1; }; \
	done
	$(CARGO) build --locked --no-default-features --features grid

bench: build ## ratios to a bare server in the same run
	@./target/release/malha bench grid
	@ulimit -n $$(ulimit -H -n) && ./target/release/malha bench grid --scale
	@./target/release/malha bench command
	@./target/release/malha bench chat
	@./target/release/malha bench charging
	@./target/release/malha bench tasks

flaky: ## repeat the tests N times (N=100)
	@$(CARGO) test --locked --no-run
	@i=1; while [ $$i -le $(N) ]; do \
		$(CARGO) test --locked --quiet > target/flaky.log 2>&1 || { cat target/flaky.log; \
		echo "failed in run $$i of $(N)"; exit 1; }; i=$$((i + 1)); done; echo "$(N) runs passed"

clean: ## remove what was built
	$(CARGO) clean
	rm -f server client

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 22
