"""How the service throttles: small tables, so that it does so soon and cheaply."""

import json
import random
import threading
import time

from botocore.exceptions import ClientError

from ..asking import Context, question, together
from ..cloud import code_of, with_index_by_gk
from ..money import Usage, table_hours
from ..results import UNDECIDED, Answer, verdict
from .plane import item_key, sized, statement, units_of

# Write units a second of tables that are to throttle.
FEW = 5


class Bodies:
    """Errors as they come over the wire: the SDK would show only what its model knows."""

    def __init__(self, client):
        self.seen: list[tuple[int, dict]] = []
        client.meta.events.register("after-call.dynamodb", self._keep, unique_id="bodies")

    def _keep(self, http_response, **_):
        if http_response.status_code >= 400:
            self.seen.append((http_response.status_code, json.loads(http_response.content or b"{}")))

    def reasons(self) -> set[str]:
        """Each way in which a call was refused: status, error, name of the field of reasons, reasons, resource."""
        told = set()
        for status, body in self.seen:
            error = body.get("__type", "").split("#")[-1]
            if error == "ConditionalCheckFailedException":
                continue
            field = next((name for name in body if name.lower() == "throttlingreasons"), None)
            listed = [
                f"{one.get('reason', one.get('Reason'))} of {_kind_of(one.get('resource', one.get('Resource', '')))}"
                for one in body.get(field, [])
            ]
            told.add(f"{status} {error}, {field or 'no reasons'}: {', '.join(listed) or body.get('message', '')}")
        return told


def _kind_of(resource: str) -> str:
    """An ARN holds what RESULTS.md must not."""
    return "an index" if "/index/" in resource else "the table" if ":table/" in resource else "the account"


def press(work, is_enough, seconds: float, at_most: int) -> None:
    """Does the work in threads until it is enough, and not much more often than so many times."""
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline and done < at_most and not is_enough():
        together([work] * 32)
        done += 32


def provisioned(write: int, read: int) -> dict:
    """Arguments of a table with this capacity."""
    return {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": read, "WriteCapacityUnits": write},
    }


def on_demand_at_most(write: int, read: int) -> dict:
    """Arguments of a table on demand with this limit of its own."""
    return {"OnDemandThroughput": {"MaxReadRequestUnits": read, "MaxWriteRequestUnits": write}}


@question(
    "throttle-reasons",
    "Which reasons does throttling carry, on demand and provisioned?",
    {"write units": 40_000, "read units": 8_000} | table_hours(FEW + 21, FEW + 21),
)
def throttle_reasons(context: Context) -> Answer:
    """Tables that are provisioned, that have a limit on demand, whose index has too little, and one hot key."""
    cloud = context.cloud
    index = with_index_by_gk(ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    cases = {
        "provisioned": (cloud.begin_table("tight", **provisioned(FEW, FEW)), 8, True),
        "on demand with a limit": (cloud.begin_table("limited", **on_demand_at_most(FEW, FEW)), 8, True),
        "index of a provisioned table": (cloud.begin_table("tight-index", **(index | provisioned(20, 20))), 1, False),
        "one key on demand": (cloud.begin_table("hot"), 350, False),
    }
    expected = {
        "provisioned": "ProvisionedThroughputExceeded",
        "on demand with a limit": "MaxOnDemandThroughputExceeded",
        "index of a provisioned table": "IndexWriteProvisionedThroughputExceeded",
        "one key on demand": "KeyRangeThroughputExceeded",
    }
    figures, right = {}, 0
    for n, (name, (table, kilobytes, reads)) in enumerate(cases.items()):
        cloud.wait_for_table(table)
        client = cloud.client("dynamodb", retries={"total_max_attempts": 1}, read_timeout=50 + n)
        bodies = Bodies(client)
        one = sized(item_key(0), kilobytes, gk={"S": "g"})

        def write(client=client, table=table, one=one):
            client.put_item(TableName=table, Item=one)

        def read(client=client, table=table):
            client.get_item(TableName=table, Key=item_key(0), ConsistentRead=True)

        for what, work in (("writes", write), ("reads", read))[: 2 if reads else 1]:
            bodies.seen.clear()
            # A partition takes 1,000 units a second, and what it did not use in the last minutes.
            at_most = 100 if kilobytes > 100 else 1_000

            def is_enough(bodies=bodies, reason=expected[name]):
                return any(reason in one for one in bodies.reasons())

            press(work, is_enough, context.brief(120), at_most)
            figures[f"{name}, {what}"] = "; ".join(sorted(bodies.reasons())) or "was not throttled"
            right += is_enough()
        cloud.drop(table)
    return Answer(verdict(right == 6), figures)


@question(
    "batch-throttling",
    "How is a throttled statement of a batch answered, and is it in the batch's consumed capacity?",
    {"write units": 2_000} | table_hours(2 * FEW, FEW),
)
def batch_throttling(context: Context) -> Answer:
    """Batches of 25 items of 4 KB on tables of a few units, until some of a batch are throttled and some are not."""
    cloud, figures, outcomes = context.cloud, {}, []
    tables = {
        "provisioned": cloud.begin_table("batch-tight", **provisioned(FEW, FEW)),
        "on demand with a limit": cloud.begin_table("batch-limited", **on_demand_at_most(FEW, FEW)),
    }
    for name, table in tables.items():
        cloud.wait_for_table(table)
        cloud.put_all(table, [sized(item_key(n), 4) for n in range(25)])
        client, codes, mixed = cloud.impatient(), set(), None
        for turn in range(10 if context.is_stand_in else 200):
            batch = [statement(table, item_key(n), '"none" IS MISSING', attribute="turn") for n in range(25)]
            for one in batch:
                one["Parameters"][0] = {"N": str(turn)}
            try:
                answer = client.batch_execute_statement(Statements=batch)
            except ClientError as error:
                codes.add(f"the whole request: {code_of(error)}")
                continue
            failed = [one["Error"] for one in answer["Responses"] if "Error" in one]
            throttled = [one for one in failed if one.get("Code") != "ConditionalCheckFailed"]
            codes |= {f"{one.get('Code')}: {one.get('Message', '')[:80]}" for one in throttled}
            if 0 < len(throttled) < 25:
                mixed = (25 - len(failed), len(throttled), units_of(answer))
                break
        figures[f"{name}: codes"] = "; ".join(sorted(codes)) or "was not throttled"
        if mixed is None:
            figures[f"{name}: capacity"] = "no batch was throttled in part"
            outcomes.append(None)
            continue
        succeeded, throttled, units = mixed
        figures[f"{name}: capacity"] = f"{units} units reported for {succeeded} updated and {throttled} throttled, of 4 units each"
        known = all(code.split(":")[0] in ("ThrottlingError", "ProvisionedThroughputExceeded") for code in codes)
        outcomes.append(known and abs((units or 0) - 4 * succeeded) <= 0.02 * 4 * succeeded)
    for table in tables.values():
        cloud.drop(table)
    if None in outcomes and False not in outcomes:
        return Answer(UNDECIDED, figures)
    return Answer(verdict(all(outcomes)), figures)


# Write units a second of the table on which an application and a run compete.
SHARED = 60


@question(
    "live-throttles",
    "How many writes of an application at 75, 90 and 98 % of a table's capacity are throttled beside a run without a budget?",
    {"read units": 4_000} | Usage(table_hours(SHARED, SHARED)),
)
def live_throttles(context: Context) -> Answer:
    """The application tries nothing again, so that every throttle counts. The unused capacity of the last minutes, which
    a table may still use, is used up before."""
    cloud = context.cloud
    table = cloud.table("shared", **provisioned(SHARED, SHARED))
    client = cloud.impatient()
    items = 1_500
    cloud.put_all(table, [item_key(n) for n in range(items)])
    checkpoints = context.checkpoints("shared")
    figures, worst = {}, 0.0
    _live(client, table, SHARED * 3, context.brief(30), items)
    for load in (75, 90, 98):
        alone, refused_alone = _live(client, table, SHARED * load / 100, context.brief(30), items)
        command = context.workshop.begin(
            *("run", "--table", table, "--set", f"at{load}=1", "--yes", "--json", "--concurrency", "4"),
            *("--checkpoint-table", checkpoints),
        )
        # Until the run has planned and tried its update.
        time.sleep(context.brief(5))
        beside, refused = _live(client, table, SHARED * load / 100, context.brief(60), items)
        command.interrupt()
        told = command.end()
        share = refused / max(1, beside)
        worst = max(worst, share - refused_alone / max(1, alone))
        figures[f"{load} %"] = (
            f"{refused} of {beside} throttled beside the run, {refused_alone} of {alone} alone;"
            f" the run updated {told.json().get('updated') if told.stdout else 'an unknown number of'} items"
        )
    cloud.drop(table)
    return Answer(verdict(worst <= 0.05), figures)


def _live(client, table: str, rate: float, seconds: float, items: int) -> tuple[int, int]:
    """Writes at a rate, evenly; returns how many were sent and how many were throttled."""
    count = int(rate * seconds)
    started, lock, sent = time.monotonic(), threading.Lock(), iter(range(count))
    throttled = []

    def some():
        dice = random.Random()
        while True:
            with lock:
                n = next(sent, None)
            if n is None:
                return
            time.sleep(max(0, started + n / rate - time.monotonic()))
            try:
                client.update_item(
                    TableName=table,
                    Key=item_key(dice.randrange(items)),
                    UpdateExpression="SET live = :n",
                    ExpressionAttributeValues={":n": {"N": str(n)}},
                )
            except ClientError as error:
                throttled.append(code_of(error))

    together([some] * 16)
    return count, len(throttled)


