# make check   the quick loop: format, lints, unit and property tests, the state machine's definition
# make test    everything, with the end-to-end tests; what CI runs
# make bench   measures against other ways to do it, into bench/RESULTS.md (20 minutes; see bench/README.md)
# make tools   installs the pinned tools into .tools (check and test do so when they need to)
# make clean   removes everything that the other targets have made

CARGO ?= cargo
# Where the end-to-end tests find what `sam deploy` is to put into the stand-in for AWS.
SAM_BUILD_DIR := target/sam

# sam finds cargo-lambda by the PATH, and asks for a region even where it needs none.
SAM := PATH="$(CURDIR)/.tools/sam/bin:$$PATH" AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 sam

.PHONY: check test bench tools clean rust-check definition-check template-check lambdas e2e

check: rust-check definition-check

test: check template-check e2e

tools:
	tools/install

# The whole workspace each time, so that every step finds the dependencies built with the same features.
rust-check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) test --workspace --lib --bins --test promises --test simulation --locked

# The definition still has its ${...} placeholders where a deployment puts in ARNs.
definition-check:
	tools/install npm
	.tools/npm/node_modules/.bin/asl-validator --no-arn-check --json-path statemachine/backfill.asl.json

template-check:
	tools/install sam
	$(SAM) validate --lint

# For x86_64, because the stand-in for AWS runs the functions as processes of this machine.
lambdas:
	tools/install sam
	$(SAM) build --build-dir $(SAM_BUILD_DIR) --parameter-overrides Architecture=x86_64

e2e: lambdas
	$${PYTHON:-python3} bench/lambda_start.py --sizes-only --check $(SAM_BUILD_DIR)
	tools/install ministack moto
	$(CARGO) build --workspace --all-targets --locked
	$(CARGO) test --workspace --test adapter --test engine --test faults --test local --test deployed --locked

# For a trial: make bench BENCH='--items 5000 --rounds 1 --sizes= --out target/bench/trial.md'
bench:
	tools/install bench
	$(CARGO) build --release --package backfill-cli --package backfill-bench --locked
	.tools/bench/bin/python bench/run.py $(BENCH)

clean:
	$(CARGO) clean
	rm -rf target .aws-sam .tools bench/contenders/node_modules
