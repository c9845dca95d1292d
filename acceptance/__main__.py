"""The command line of the acceptance run."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from . import guard, leftovers, results
from .asking import REGISTRY, Asking, Context, chosen
from .cloud import PREFIX, Cloud, new_name, session
from .deployed import ROOT, Broken, Workshop
from .money import LIMIT_USD, Estimate, Meter, TooDear, refuse_over
from .settling import settle

from . import questions  # noqa: F401  It fills the registry.

# By which the estimates of questions go.
MOST_ITEMS = questions.runs.MOST_ITEMS

RESULTS = Path(__file__).with_name("RESULTS.md")


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line, parsed."""
    parser = argparse.ArgumentParser(
        prog="acceptance/run",
        description="Asks the real service what no stand-in for it can answer, in a sandbox account. Everything that it"
        f" makes is removed at the end. It costs at most {LIMIT_USD:.2f} USD. acceptance/README.md says more.",
    )
    parser.add_argument(
        "--account", action="append", default=[], metavar="NUMBER", help="a sandbox account in which it may run; repeatable"
    )
    parser.add_argument("--region", help="the region; it is never taken from the environment or a profile")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="ask these questions and no others")
    parser.add_argument("--limit", type=float, default=LIMIT_USD, metavar="USD", help="what it may cost, at most 1.00")
    parser.add_argument("--list", action="store_true", help="print the questions and what each costs; needs no account")
    parser.add_argument("--clean", action="store_true", help="remove what earlier runs have left, and ask nothing")
    parser.add_argument("--items", type=int, default=MOST_ITEMS, help=f"items of the table that runs migrate ({MOST_ITEMS})")
    parser.add_argument("--built", type=Path, metavar="FOLDER", help="folder of sam build; built if it is left out")
    parser.add_argument("--command", type=Path, metavar="FILE", help="the command backfill; built if it is left out")
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="a stand-in on this machine; its answers do not go into RESULTS.md"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="where answers go: RESULTS.md, or a temporary file")
    return parser.parse_args(given)


def say(text: str) -> None:
    """Tells the person who waits. If that person's terminal is closed, the removal goes on."""
    try:
        print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)
    except OSError:
        pass


def who_am_i(endpoint: str | None):
    """A function that asks for the account of the credentials in a region."""

    def ask(region: str) -> str:
        config = Config(retries={"total_max_attempts": 3}, connect_timeout=10, read_timeout=10)
        client = session(region, endpoint is not None).client("sts", endpoint_url=endpoint, config=config)
        return client.get_caller_identity()["Account"]

    return ask


def commit() -> str:
    """The commit of the tree, with a + if something is changed in it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "no commit"


def results_path(asked: Path | None, place: guard.Place) -> Path:
    """Where answers go. Those of a stand-in never get into RESULTS.md."""
    if not place.is_stand_in:
        return asked or RESULTS
    if asked and asked.resolve() == RESULTS.resolve():
        raise guard.Refused("results: the answers of a stand-in do not go into RESULTS.md")
    return asked or Path(tempfile.mkdtemp(prefix=PREFIX)) / "RESULTS.md"


def print_list(region: str) -> None:
    """The questions with their costs."""
    for one in REGISTRY.values():
        print(f"{one.cost.usd(region):7.4f} USD  {one.name:20} {one.asked}")
    estimate = Estimate(region, {one.name: one.cost for one in REGISTRY.values()})
    print(f"{estimate.usd():7.4f} USD  in all, at the most in {region}")


class Interrupts:
    """Turns SIGTERM and a closed terminal into the same as ctrl-C, and holds them back while everything is being removed."""

    def __init__(self):
        self._is_held = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_):
        if self._is_held:
            say("everything is being removed; please wait")
        else:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """From now on they only say that it takes a while."""
        self._is_held = True


def run(options: argparse.Namespace, place: guard.Place, interrupts: Interrupts) -> int:
    """Asks, writes, removes, counts. Returns the exit code."""
    only = [name for name in options.only.split(",") if name]
    asked = chosen(only, place.is_stand_in)
    if not 50 <= options.items <= MOST_ITEMS:
        raise ValueError(f"items: expected 50 to {MOST_ITEMS}, by which the estimate goes, not {options.items}")
    estimate = Estimate(place.region, {one.name: one.cost for one in asked})
    path = results_path(options.results, place)
    document = results.read(path if path.exists() else RESULTS)
    for one in REGISTRY.values():
        document.ask(one.name, one.asked)
    say("what it will cost at the most, at list prices:")
    for line in estimate.lines():
        say(line)
    refuse_over(options.limit, estimate.usd(), "the estimate is")

    name = new_name()
    meter = Meter(place.region, options.limit)
    cloud = Cloud(place, name, meter)
    folder = ROOT / "target/acceptance" / name
    workshop = Workshop(cloud, folder, options.built and options.built.resolve(), options.command, say)
    workshop.prepare()
    secrets = {name: "(stack)", place.account: "(account)", str(ROOT): "(checkout)"}
    when = results.Circumstances(datetime.now(timezone.utc).strftime("%Y-%m-%d"), place.region, commit())
    verdicts = {}

    def keep(one, answer):
        verdicts[one.name] = answer.verdict
        document.answer(one.name, answer, when, secrets)
        path.write_text(document.render())

    say(f"run {name}; its logs are in {folder}")
    context = Context(cloud, workshop, meter, say, options.items)
    was_interrupted, left = False, []
    try:
        Asking(context, asked, keep).run()
    except KeyboardInterrupt:
        was_interrupted = True
        say("interrupted")
    finally:
        # Nothing may come between the answers and the removal.
        interrupts.hold()
        workshop.end_all()
        left = remove_all(cloud, name, lambda: settle(context))
    used = meter.usage()
    say("what it has used, at list prices:")
    for line in used.lines(place.region):
        say(line)
    say(f"{used.usd(place.region):.4f} USD in all, of {options.limit:.2f}")
    told = {
        "run": name,
        "results": str(path),
        "verdicts": verdicts,
        "estimated_usd": round(estimate.usd(), 6),
        "counted_usd": round(used.usd(place.region), 6),
        "left": left,
        "interrupted": was_interrupted,
    }
    print(json.dumps(told))
    return 130 if was_interrupted else int(bool(left) or set(verdicts.values()) != {results.AS_EXPECTED})


def remove_all(cloud: Cloud, name: str, count) -> list[str]:
    """Removes everything of this run, whatever fails on the way, and counts before the counters are gone."""
    try:
        leftovers.stop_executions(cloud, name)
        count()
    except Exception as error:
        # The bill is less than what is left behind.
        say(f"not everything could be counted: {type(error).__name__}: {error}")
    left = leftovers.remove(cloud, name, say)
    for thing in left:
        say(f"NOT REMOVED: {thing}")
    if left:
        say("run acceptance/run --clean with the same account and region, until it says that nothing is left")
    else:
        say("everything is removed")
    return left


def main() -> int:
    """The program."""
    options = arguments(sys.argv[1:])
    interrupts = Interrupts()
    if options.list:
        print_list(options.region or "us-east-1")
        return 0
    try:
        allowed = guard.allowed_accounts(options.account)
        place = guard.place(allowed, options.region, options.endpoint_url, who_am_i(options.endpoint_url))
        if options.clean:
            cloud = Cloud(place, PREFIX, Meter(place.region, LIMIT_USD))
            return int(bool(remove_all(cloud, PREFIX, lambda: None)))
        return run(options, place, interrupts)
    except (guard.Refused, TooDear, ValueError, Broken) as error:
        print(f"acceptance/run: {error}", file=sys.stderr)
        return 2
    except (ClientError, BotoCoreError) as error:
        print(f"acceptance/run: AWS refuses: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("acceptance/run: interrupted before anything was made", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
