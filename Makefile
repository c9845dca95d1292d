# make check   the quick loop: format, lints, documentation, unit and property tests, the layers of the tree, the state machine's definition,
#              the safety of workflows and templates (zizmor, checkov), and of the packages that the program is made of their licences,
#              sources and duplicates (deny.toml)
# make test    everything, with the end-to-end tests and the fuzz targets; what CI runs. Deployed tests deploy what make dist has made
# make dist    what can be deployed without Rust, in the folder dist: the command, the functions and the template for arm64 and for
#              x86_64, with checksums and what they are made of (docs/deploy.md). Rust's targets for it are fetched by rustup;
#              MISSING_TARGETS=say leaves out what needs one that cannot be fetched, and says so
# make quick   the tests of check alone; tests/README.md has shorter ones for a change of one module
# make fuzz    each fuzz target for FUZZ_SECONDS (15) over its committed corpus and changes of it; the first build takes
#              most of a minute. Fails on any crash and says which input it was and how to see it again
# make advisories   known security holes in those packages, and yanked versions. Not part of check, since the list of them
#              is on GitHub, which a test must not depend on; the deployment and a daily workflow run it
# make soak    ten minutes (SOAK_SECONDS) of faults, live traffic, kills and resumes at the highest rate that the machine gives; memory
#              and open files of a process that works all the time. Its figures are in docs/RELIABILITY.md
# make bench   measures against other ways to do it, into bench/RESULTS.md (25 minutes; see bench/README.md)
# make tools   installs the pinned tools into .tools (check and test do so when they need to)
# make clean   removes everything that the other targets have made

CARGO ?= cargo
# Where the end-to-end tests find what `sam deploy` is to put into the stand-in for AWS, and the functions for arm64.
SAM_BUILD_DIR := target/sam
SAM_BUILD_DIR_ARM64 := target/sam-arm64
SAM_BUILD_DIR_CUSTOM := target/sam-custom

# sam and cargo find cargo-lambda and cargo-zigbuild by the PATH, and sam asks for a region even if it needs none.
WITH_SAM := env PATH="$(CURDIR)/.tools/sam/bin:$$PATH" AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0
SAM := $(WITH_SAM) sam

# Links and compiles C for other machines, and against musl, by the zig that cargo-lambda brings along.
ZIGBUILD = $(WITH_SAM) $(CARGO) zigbuild --profile $(COMMAND_PROFILE) --locked --package backfill-cli --target

# What make dist makes, and how the command in it is built. make test packs commands that are built quickly, into another folder.
DIST := dist
COMMAND_PROFILE := release

CYCLONEDX := .tools/cargo-cyclonedx/bin/cargo-cyclonedx

# Seconds of each fuzz target.
FUZZ_SECONDS ?= 15
# Seconds of the soak.
SOAK_SECONDS ?= 600

CARGO_DENY := .tools/cargo-deny/bin/cargo-deny --locked

.PHONY: check test bench tools clean lint quick definition-check deny safety advisories template-check lambdas lambdas-arm64 \
	lambdas-custom commands bills dist acceptance-units bench-units all-tests fuzz soak

check: lint quick definition-check safety deny

# Rust's targets for other machines come from where a machine for tests may not reach. What is not built for want of one is said
# in a frame; MISSING_TARGETS=fail makes it an error, as it is for dist.
test: export MISSING_TARGETS ?= say
test: lint definition-check safety deny template-check acceptance-units bench-units fuzz all-tests

tools:
	tools/install

# The whole workspace each time, here and below, so that every step finds the dependencies built with the same features.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

# The tests that need no other process. The list of all test programs is Cargo's; whatever is not here runs in all-tests.
quick: acceptance-units bench-units
	$(CARGO) test --workspace --lib --bins --test house --test promises --locked

# Those of the program that asks the real service.
acceptance-units:
	tools/install acceptance
	.tools/acceptance/bin/python -B -m unittest discover --quiet --top-level-directory . --start-directory acceptance/tests

# The definition still has its ${...} placeholders where a deployment puts in ARNs.
definition-check:
	tools/install npm
	.tools/npm/node_modules/.bin/asl-validator --no-arn-check --json-path statemachine/backfill.asl.json

# Skips that are no longer needed fail, too.
deny:
	tools/install cargo-deny
	$(CARGO_DENY) check -D unmatched-skip -D unnecessary-skip bans licenses sources
	$(CARGO_DENY) --manifest-path fuzz/Cargo.toml check bans licenses sources
	@echo "deny: advisories were NOT checked, their list has to be fetched from GitHub; make advisories does that"

# Workflows that could be misused, and templates that leave something open. Without network. An exception stands where it is
# made, with its reason.
safety:
	tools/install zizmor checkov
	.tools/zizmor/bin/zizmor --offline --quiet --persona=pedantic .github
	.tools/checkov/bin/checkov --config-file tools/checkov.yaml --file template.yaml deploy/bootstrap.yaml examples/orders/template.yaml \
		.github/workflows/*.yml

advisories:
	tools/install cargo-deny
	$(CARGO_DENY) check advisories
	$(CARGO_DENY) --manifest-path fuzz/Cargo.toml check advisories

template-check:
	tools/install sam
	$(SAM) validate --lint
	$(SAM) validate --lint --template examples/orders/template.yaml
	.tools/sam/bin/cfn-lint deploy/bootstrap.yaml
	.tools/sam/bin/python tools/bootstrap-check

# For x86_64, because the stand-in for AWS runs the functions as processes of this machine.
lambdas:
	tools/install sam
	$(SAM) build --build-dir $(SAM_BUILD_DIR) --parameter-overrides Architecture=x86_64
	tools/elf x86_64 dynamic $(SAM_BUILD_DIR)/*/bootstrap

# The other architecture, the stack's default.
lambdas-arm64:
	tools/install sam
	tools/for-target aarch64-unknown-linux-gnu sh -c '$(SAM) build --build-dir $(SAM_BUILD_DIR_ARM64) && \
		tools/elf arm64 dynamic $(SAM_BUILD_DIR_ARM64)/*/bootstrap && \
		$${PYTHON:-python3} bench/lambda_start.py --sizes-only --check $(SAM_BUILD_DIR_ARM64)'

# The functions of examples/custom-change, for tests: built quickly, since nobody measures them, and without what a debugger needs, which
# is most of such a program.
lambdas-custom:
	tools/install sam
	SAM_BUILD_MODE=debug CARGO_PROFILE_DEV_DEBUG=0 $(SAM) build --build-dir $(SAM_BUILD_DIR_CUSTOM) \
		--parameter-overrides Architecture=x86_64 FunctionsFolder=examples/custom-change FunctionsBinary=custom-functions
	tools/elf x86_64 dynamic $(SAM_BUILD_DIR_CUSTOM)/*/bootstrap

# The command as a static program, for every Linux of a machine.
commands:
	tools/install sam
	tools/for-target x86_64-unknown-linux-musl $(ZIGBUILD) x86_64-unknown-linux-musl
	tools/for-target aarch64-unknown-linux-musl $(ZIGBUILD) aarch64-unknown-linux-musl

# What the programs are made of, as CycloneDX. The tool writes beside each Cargo.toml.
bills:
	tools/install cargo-cyclonedx
	tools/bills $(CYCLONEDX) target

dist: lambdas lambdas-arm64 commands bills
	tools/pack target $(COMMAND_PROFILE) $(DIST)

# Every program is built before the first test starts one of them.
all-tests:
	$(MAKE) dist DIST=target/dist COMMAND_PROFILE=trial
	$(MAKE) lambdas-custom
	$${PYTHON:-python3} bench/lambda_start.py --sizes-only --check $(SAM_BUILD_DIR)
	tools/install ministack moto aws acceptance browser
	# The table of hosts is what AWS publishes; if this differs, botocore was renewed: write it anew, and look at the difference.
	.tools/moto/bin/python crates/dynamodb/src/hosts/from_botocore.py | diff crates/dynamodb/src/hosts/table.txt -
	$(CARGO) build --workspace --all-targets --locked
	DIST=$(CURDIR)/target/dist $(CARGO) test --workspace --locked --no-fail-fast

fuzz:
	CARGO="$(CARGO)" fuzz/run $(FUZZ_SECONDS)

soak:
	$(CARGO) build --workspace --all-targets --locked
	TORTURE_SECONDS=$(SOAK_SECONDS) $(CARGO) test --workspace --test faults --locked -- \
		--include-ignored --nocapture a_long_run_through_faults under_torture

# For a trial: make bench BENCH=--trial
bench:
	tools/install bench
	$(CARGO) build --release --package backfill-cli --package backfill-bench --package backfill-simulation --bins --example matrix --locked
	.tools/bench/bin/python -B bench/run.py $(BENCH)

# What of it needs nothing but Python: that its page names its parts, and that results are made of what they measure.
bench-units:
	$${PYTHON:-python3} -B -m unittest discover --quiet --top-level-directory bench --start-directory bench/tests

clean:
	$(CARGO) clean
	rm -rf target dist .aws-sam .tools bench/contenders/node_modules
