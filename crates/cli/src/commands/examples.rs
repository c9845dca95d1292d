//! What stands below the help of each command.

pub const PLAN: &str = r"Examples:
  backfill plan --table stuff --set test=1
  backfill plan --table stuff --set test=1 --max-wcu 500 --pages 100
  backfill plan --stack-name backfill --table stuff --set test=1
  backfill plan --table orders --compute 'gsi1pk=${tenant}#${status|lower}'
  backfill plan --table stuff --set test=1 --max-wcu 500 --out plan.json
  backfill plan --spec orders.json --profile prod --json";

pub const INIT: &str = r"Examples:
  backfill init
  backfill init --out orders.json";

pub const RUN: &str = r"Examples:
  backfill run --table stuff --set test=1 --dry-run
  backfill run --table stuff --set test=1 --only-segments 0
  backfill run --table stuff --set test=1 --max-wcu 500
  backfill run --plan plan.json
  backfill run --table orders --pending 'attribute_not_exists(gross)' \
      --update 'SET gross = price + :tax' --value ':tax=5'
  backfill run --table orders --compute 'gsi1pk=${tenant}#${status|lower}' --dry-run
  backfill run --spec orders.json --profile prod --json";

pub const VERIFY: &str = r"Examples:
  backfill verify --table stuff --set test=1
  backfill verify --table stuff --set test=1 --sample 2%
  backfill verify --spec orders.json --json";

pub const GUARD: &str = r"Examples:
  backfill guard run --table stuff --set test=1";

pub const GUARD_RUN: &str = r"Exit codes: 0 stopped, and nothing was missed; 3 stopped, and an item could not be repaired, or
records were gone before they were seen; 4 the guard was switched off; 1 anything else.

Examples:
  backfill guard run --table stuff --set test=1
  backfill guard run --run-id stuff-0b4b8a0e
  backfill guard run --spec orders.json --profile prod --json";

pub const GUARD_ON: &str = r"Examples:
  backfill guard on --stack-name backfill --run-id stuff-0b4b8a0e
  backfill guard on --stack-name backfill --table stuff --set test=1
  backfill guard on --stack-name backfill --spec orders.json";

pub const GUARD_STATUS: &str = r"Exit codes: 0 zero, and watched since; 3 not watched, or not counted since something may have been
missed; 1 anything else.

Examples:
  backfill guard status --table stuff --stack-name backfill
  backfill guard status --table stuff --json";

pub const START: &str = r"Examples:
  backfill start --stack-name backfill --table stuff --set test=1 --dry-run
  backfill start --stack-name backfill --spec orders.json --max-wcu 2000
  backfill start --stack-name backfill --plan plan.json";

pub const RUNS: &str = r"Done is the part of the current pass that is swept, and the last sign is the last write to the run's
records. A run is dead if its holder has ended without saying so: start it again, which takes it
over. On a terminal the list stays and is kept fresh: arrows choose, enter watches, q quits.

Examples:
  backfill runs
  backfill runs --checkpoint-table backfill-checkpoints --json";

pub const STATUS: &str = r"Examples:
  backfill status
  backfill status --run-id stuff-0b4b8a0e --json";

pub const WATCH: &str = r"Keys: p pauses, r resumes, w and e change the write and read budget, c cancels, q leaves, ?
explains them. Without a terminal it prints plain lines, and ends with the run and its exit
code.

Examples:
  backfill watch
  backfill watch --run-id stuff-0b4b8a0e
  backfill run --table stuff --set test=1 --watch";

pub const RATE: &str = r"Examples:
  backfill rate --run-id stuff-0b4b8a0e --max-wcu 1500
  backfill rate --run-id stuff-0b4b8a0e --max-wcu none --max-rcu 300";

pub const PAUSE: &str = r"Examples:
  backfill pause --run-id stuff-0b4b8a0e
  backfill resume --run-id stuff-0b4b8a0e";

pub const RESUME: &str = r"Examples:
  backfill resume --run-id stuff-0b4b8a0e
  backfill resume --run-id stuff-0b4b8a0e --local";

pub const CANCEL: &str = r"Example:
  backfill cancel --run-id stuff-0b4b8a0e";

pub const REJECTED: &str = r"Examples:
  backfill rejected --run-id stuff-0b4b8a0e
  backfill rejected --run-id stuff-0b4b8a0e --retry --json";

pub const REPORT: &str = r"Examples:
  backfill report
  backfill report --follow
  backfill report --run-id stuff-0b4b8a0e --format markdown --out -";

pub const SIMULATE: &str = r"Examples:
  backfill simulate --items 5000000 --partitions 10 --max-wcu 8000
  backfill simulate --items 5000000 --partitions 10 --segments 40 --concurrency 10";

pub const DEMO: &str = r"Examples:
  backfill demo
  backfill demo --items 20000 --json";

pub const SANDBOX: &str = r"It has indexes, streams, TTL settings and tags. It has no point-in-time recovery
and no alarms, never throttles, and deletes nothing by TTL. Ctrl-C ends it.

Examples:
  backfill sandbox
  backfill sandbox --port 9000 --file data.db";

pub const TABLE: &str = r"Examples:
  backfill table create --file examples/orders/table.json
  backfill table seed --table orders --file examples/orders/seed.jsonl
  backfill table scan --table orders --limit 5
  backfill table check --expect examples/orders/table.json --min-items 14

Without --endpoint-url, --region, --profile and AWS_ENDPOINT_URL: the sandbox at http://127.0.0.1:8000.";

pub const ITEM: &str = r#"Examples:
  backfill item get --table stuff --key '{"id":"a","created":1}' --consistent
  backfill item update --table stuff --key '{"id":"a","created":1}' \
      --update 'SET test = :v' --value ':v=2' --condition 'attribute_exists(id)'

Without --endpoint-url, --region, --profile and AWS_ENDPOINT_URL: the sandbox at http://127.0.0.1:8000."#;

pub const COMPLETIONS: &str = r"Examples:
  echo 'source <(backfill completions bash)' >>~/.bashrc
  echo 'source <(backfill completions zsh)' >>~/.zshrc
  echo 'backfill completions fish | source' >>~/.config/fish/config.fish";

pub const MAN: &str = r"Examples:
  backfill man | man -l -
  backfill man --out ~/.local/share/man/man1";

pub const SCHEMA: &str = r"Examples:
  backfill schema spec >spec.schema.json
  backfill schema result
  backfill schema plan
  backfill schema kept-plan";
