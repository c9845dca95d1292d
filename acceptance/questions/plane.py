"""What DynamoDB charges, returns and keeps: questions that need tables and no stack."""

import http.client
import math
import statistics
import threading
import time
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError

from ..asking import Context, Later, question, together
from ..cloud import METRICS_ARE_LATE, code_of, index_by_gk, message_of, with_index_by_gk
from ..money import table_hours
from ..results import DIFFERS, UNDECIDED, Answer, verdict

KB = 1024


def sized(key: dict, kilobytes: float, **more) -> dict:
    """An item whose size is a little below so many KB."""
    return key | more | {"pad": {"S": "p" * max(1, int(kilobytes * KB) - 100)}}


def item_key(n: int) -> dict:
    """A key of the usual schema."""
    return {"id": {"S": f"item-{n:05}"}, "created": {"N": str(n)}}


def statement(table: str, key: dict, where: str = '"test" IS MISSING', values: list | None = None, attribute: str = "test"):
    """A guarded update as the worker batches it."""
    conditions = " AND ".join(f'"{name}" = ?' for name in key)
    return {
        "Statement": f'UPDATE "{table}" SET "{attribute}" = ? WHERE {conditions} AND ({where})',
        "Parameters": [{"N": "1"}, *key.values(), *(values or [])],
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def update(client, table: str, key: dict, **more):
    """The same as an UpdateItem."""
    return client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET #t = :one",
        ConditionExpression="attribute_exists(id) AND (attribute_not_exists(#t))",
        ExpressionAttributeNames={"#t": "test"},
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
        **more,
    )


def units_of(answer: dict) -> float | None:
    """Units that an answer reports, or None."""
    consumed = answer.get("ConsumedCapacity")
    if not consumed:
        return None
    consumed = consumed if isinstance(consumed, list) else [consumed]
    return sum(one["CapacityUnits"] for one in consumed)


# Charges.

SIZES = (1, 4, 100)


@question(
    "failed-statements",
    "What do failed statements and failed updates cost: all of a batch, some, on a missing item, at 1, 4 and 100 KB, with an index?",
    # Items are put, and then charged once more by what fails; twice for the table with an index.
    {"write units": 2 * 25 * (1 + 4 + 100) * 5, "metric requests": 400},
)
def failed_statements(context: Context) -> Later:
    """Every case has a table of its own, so that CloudWatch's sums for it are that case alone."""
    cases = [(kilobytes, case, False) for kilobytes in SIZES for case in _CASES]
    cases += [(4, case, True) for case in _CASES]
    tables = []
    for kilobytes, case, indexed in cases:
        more = with_index_by_gk() if indexed else {}
        suffix = f"charge-{kilobytes}-{case}{'-index' if indexed else ''}"
        tables.append(context.cloud.begin_table(suffix, **more))
    figures, put = {}, {}
    for (kilobytes, case, indexed), table in zip(cases, tables):
        context.cloud.wait_for_table(table)
        items = [sized(item_key(n), kilobytes, test={"N": "0"}, gk={"S": f"g{n}"}) for n in range(25)]
        if case == "mixed":
            for one in items[12:]:
                del one["test"]
        # By single puts, whose units are reported to us: what the case costs is CloudWatch's sum less these.
        spent = 0.0
        if "missing" not in case:
            for one in items if case in ("all", "mixed") else items[:1]:
                spent += units_of(context.cloud.dynamodb.put_item(TableName=table, Item=one))
        put[table] = spent
        figures[table] = _CASES[case](context, table)

    def finish() -> Answer:
        sums = context.cloud.consumed(tables, context.began, ("Write",))
        shown, wrong = {}, 0
        for (kilobytes, case, indexed), table in zip(cases, tables):
            charged = sums[table, "Write"] - put[table]
            fails, expected = figures[table], _expected(kilobytes, case, indexed)
            wrong += abs(charged - expected) > 0.02 * expected + 0.5
            name = f"{case}, {kilobytes} KB{', index' if indexed else ''}"
            shown[name] = f"charged {charged:g} by CloudWatch, expected {expected:g}, the answer reported {fails}"
        return Answer(verdict(not wrong), shown)

    return Later(context.brief(METRICS_ARE_LATE), finish)


def _expected(kilobytes: int, case: str, indexed: bool) -> float:
    """What the code counts: a failed condition costs the size of the item that is there, a missing item 1."""
    each = math.ceil(kilobytes)
    succeeded = 13 * each * (2 if indexed else 1)
    return {
        "all": 25 * each,
        "mixed": 12 * each + succeeded,
        "missing": 25,
        "update": each,
        "update-missing": 1,
    }[case]


def _batch(context: Context, table: str) -> str:
    answer = context.cloud.impatient().batch_execute_statement(Statements=[statement(table, item_key(n)) for n in range(25)])
    failed = sum("Error" in one for one in answer["Responses"])
    return f"{units_of(answer)} units for {failed} failed of 25"


def _update(context: Context, table: str) -> str:
    try:
        update(context.cloud.impatient(), table, item_key(0))
        return "no failure"
    except ClientError as error:
        return f"{code_of(error)}, {units_of(error.response)} units"


_CASES = {"all": _batch, "mixed": _batch, "missing": _batch, "update": _update, "update-missing": _update}


@question(
    "lone-check",
    "What does a lone ConditionCheck cost at 1, 4 and 100 KB, and does it conflict with live writers?",
    {"write units": 3 * (105 + 210) + 3_000},
    stand_in=True,
)
def lone_check(context: Context) -> Answer:
    """The trial of a run asks so whether the update extinguishes the predicate."""
    table = context.cloud.table("check")
    client = context.cloud.impatient()

    def check(key):
        return client.transact_write_items(
            TransactItems=[
                {
                    "ConditionCheck": {
                        "TableName": table,
                        "Key": key,
                        "ConditionExpression": "attribute_exists(id)",
                        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    }
                }
            ]
        )

    figures, charges = {}, {}
    for n, kilobytes in enumerate(SIZES):
        client.put_item(TableName=table, Item=sized(item_key(n), kilobytes))
        charges[kilobytes] = units_of(check(item_key(n)))
        figures[f"{kilobytes} KB"] = f"{charges[kilobytes]} write units, expected {2 * kilobytes}"
    client.put_item(TableName=table, Item=sized(item_key(9), 1))
    stop, outcomes = threading.Event(), {"written": 0, "conflicts of the writer": 0}

    def write():
        while not stop.is_set():
            try:
                client.update_item(
                    TableName=table,
                    Key=item_key(9),
                    UpdateExpression="ADD hits :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
                outcomes["written"] += 1
            except ClientError as error:
                outcomes["conflicts of the writer"] += code_of(error) == "TransactionConflictException"

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    checks, conflicts = 0, 0
    deadline = time.monotonic() + context.brief(5)
    while time.monotonic() < deadline:
        try:
            check(item_key(9))
            checks += 1
        except ClientError as error:
            conflicts += "TransactionConflict" in str(error)
    stop.set()
    writer.join()
    figures |= {"checks beside a writer": f"{checks} passed, {conflicts} conflicts"} | outcomes
    is_expected = all(charges[kilobytes] == 2 * kilobytes for kilobytes in SIZES) and checks > 0
    return Answer(verdict(is_expected), figures)


# Items that do not fit an index.

_VIOLATIONS = {
    "a number": {"N": "1"},
    "null": {"NULL": True},
    "an empty text": {"S": ""},
    "2,049 bytes": {"S": "k" * 2049},
    "a set": {"SS": ["a"]},
}

# So many that do fit: a run in which nothing at all was accepted ends otherwise.
_FITTING = 20


@question(
    "index-violations",
    "With which words is an update refused if the item does not fit an index's key, alone and in a batch?",
    {"write units": 400, "read units": 200},
)
def index_violations(context: Context) -> Later:
    """The index is made after the items, as only then can they violate it. That takes DynamoDB minutes."""
    table = context.cloud.table("violations")
    for n, value in enumerate([*_VIOLATIONS.values(), *[{"S": "fits"}] * _FITTING]):
        context.cloud.dynamodb.put_item(TableName=table, Item=item_key(n) | {"gk": value})
    context.cloud.dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "created", "AttributeType": "N"},
            {"AttributeName": "gk", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexUpdates=[{"Create": index_by_gk("KEYS_ONLY")}],
    )

    def finish() -> Answer:
        context.cloud.wait_for_table(table, minutes=45)
        client = context.cloud.impatient()
        figures, refused = {}, 0
        keys = {name: item_key(n) for n, name in enumerate([*_VIOLATIONS, "fits"])}
        # A batch has no effect on what it is refused for, so it can go first.
        batch = client.batch_execute_statement(Statements=[statement(table, keys[name]) for name in _VIOLATIONS])
        for name, answer in zip(_VIOLATIONS, batch["Responses"]):
            error = answer.get("Error", {})
            refused += error.get("Code") == "ValidationError"
            figures[f"{name}, in a batch"] = f"{error.get('Code', 'updated')}: {error.get('Message', '')}"
        for name in keys:
            try:
                update(client, table, keys[name])
                figures[f"{name}, alone"] = "updated"
            except ClientError as error:
                refused += code_of(error) == "ValidationException"
                figures[f"{name}, alone"] = f"{code_of(error)}: {message_of(error)}"
        # Its trial on copies is refused for the items that do not fit, which is what 3 stands for.
        plan = context.workshop.backfill("plan", "--table", table, "--set", "later=1", "--json").expect(3).json()
        told_of = sum(one["items"] for one in plan["sample"].get("misfits", []))
        figures["our plan"] = f"{told_of} of {len(_VIOLATIONS) + _FITTING} items do not fit"
        ended = context.workshop.backfill(
            *("run", "--table", table, "--set", "later=1", "--yes", "--json", "--max-passes", "1"),
            *("--checkpoint-table", context.checkpoints("violations")),
        )
        told = ended.json()
        figures["our run"] = f"exit code {ended.code}, {told.get('updated')} updated, {told.get('rejected')} rejected"
        outcome = (ended.code, told.get("updated"), told.get("rejected"), told_of)
        is_expected = refused == 2 * len(_VIOLATIONS) and outcome == (3, _FITTING, len(_VIOLATIONS), len(_VIOLATIONS))
        return Answer(verdict(is_expected), figures)

    return Later(context.brief(240), finish)


# Segments.

SEGMENTS = 16


@question(
    "stable-segments",
    "Do segments cover the same keys after the table has split, and does a start key work whose item is gone?",
    {"write units": 0, "read units": 4_000} | table_hours(50, 25),
    stand_in=True,
)
def stable_segments(context: Context) -> Later:
    """A provisioned table has one partition. On demand it takes 4,000 write units a second, so it has to split, and that
    costs nothing. Shards of its stream show that it did."""
    count = 200 if context.is_stand_in else 2_000
    table = context.cloud.table(
        "segments",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 25, "WriteCapacityUnits": 50},
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    context.cloud.put_all(table, [item_key(n) for n in range(count)])
    before, shards = _segments(context, table), _shards(context, table)
    # A page that ends within a segment, and the item at its end deleted.
    page = context.cloud.dynamodb.scan(TableName=table, Segment=3, TotalSegments=SEGMENTS, Limit=5, ConsistentRead=True)
    cursor = page["LastEvaluatedKey"]
    seen = {_id(one) for one in page["Items"]}
    context.cloud.dynamodb.delete_item(TableName=table, Key=cursor)
    before[3].discard(_id(cursor))
    seen.discard(_id(cursor))
    context.cloud.dynamodb.update_table(TableName=table, BillingMode="PAY_PER_REQUEST")

    def finish() -> Answer:
        context.cloud.wait_for_table(table, minutes=60)
        after, shards_after = _segments(context, table), _shards(context, table)
        moved = sum(len(old ^ new) for old, new in zip(before, after))
        rest = _scan(context, table, 3, cursor)
        lost = before[3] - seen - rest
        figures = {
            "items": count,
            "segments": SEGMENTS,
            "open shards of the stream": f"{shards} before, {shards_after} after",
            "keys in another segment than before": moved,
            "keys lost after a start key whose item is gone": len(lost),
            "keys seen twice after it": len(seen & rest),
        }
        if moved or lost or seen & rest:
            return Answer(DIFFERS, figures)
        did_split = context.is_stand_in or shards_after > shards
        return Answer(verdict(True) if did_split else UNDECIDED, figures)

    return Later(context.brief(900), finish)


def _id(one: dict) -> str:
    return one["id"]["S"]


def _scan(context: Context, table: str, segment: int, start: dict | None = None) -> set[str]:
    found = set()
    more = {"ExclusiveStartKey": start} if start else {}
    while True:
        page = context.cloud.dynamodb.scan(
            TableName=table, Segment=segment, TotalSegments=SEGMENTS, ConsistentRead=True, Limit=500, **more
        )
        found |= {_id(one) for one in page["Items"]}
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _segments(context: Context, table: str) -> list[set[str]]:
    return [_scan(context, table, segment) for segment in range(SEGMENTS)]


def _shards(context: Context, table: str) -> int:
    """Open shards of the table's stream: one a partition."""
    arn = context.cloud.dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    client, found, more = context.cloud.client("dynamodbstreams"), 0, {}
    while True:
        stream = client.describe_stream(StreamArn=arn, **more)["StreamDescription"]
        found += sum("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in stream["Shards"])
        if "LastEvaluatedShardId" not in stream:
            return found
        more = {"ExclusiveStartShardId": stream["LastEvaluatedShardId"]}


# Latency and sizes.


@question(
    "batch-latency",
    "How long do 25 statements of one request take, against 25 updates?",
    {"write units": 2 * 40 * 25 * 4 + 100},
    stand_in=True,
)
def batch_latency(context: Context) -> Answer:
    """Once with all 25 items under one partition key, once under 25."""
    table = context.cloud.table("latency")
    client = context.cloud.dynamodb
    rounds = 5 if context.is_stand_in else 40
    figures, shares = {}, []
    for name, key in (
        ("one partition key", lambda n: {"id": {"S": "one"}, "created": {"N": str(n)}}),
        ("25 partition keys", item_key),
    ):
        keys = [key(n) for n in range(25)]
        context.cloud.put_all(table, [sized(one, 0.5) for one in keys])
        times = {"batch of 25": [], "one update": [], "25 updates at once": []}

        def setting(attribute):
            return lambda one: client.update_item(
                TableName=table,
                Key=one,
                UpdateExpression="SET #a = :one",
                ConditionExpression="attribute_exists(id) AND attribute_not_exists(#a)",
                ExpressionAttributeNames={"#a": attribute},
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

        for turn in range(rounds):
            times["batch of 25"].append(
                _timed(
                    lambda turn=turn: client.batch_execute_statement(
                        Statements=[statement(table, one, f'"b{turn}" IS MISSING', attribute=f"b{turn}") for one in keys]
                    )
                )
            )
            single, each = setting(f"s{turn}"), setting(f"e{turn}")
            times["one update"].append(_timed(lambda: single(keys[0])))
            times["25 updates at once"].append(
                _timed(lambda: together([lambda one=one: each(one) for one in keys], 25))
            )
        medians = {what: statistics.median(values) for what, values in times.items()}
        figures |= {f"{what}, {name}": f"median {ms:.1f} ms" for what, ms in medians.items()}
        shares.append(medians["batch of 25"] / (25 * medians["one update"]))
    figures["a batch against 25 updates one by one"] = " and ".join(f"{share:.0%}" for share in shares)
    return Answer(verdict(max(shares) < 1), figures)


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


@question(
    "large-batches",
    "Are 25 statements with 300 KB of parameters each, or 25 old items of 400 KB, taken and returned?",
    {"write units": 25 * 300 + 2 * 25 * 400, "GB to the internet": 0.02},
    stand_in=True,
)
def large_batches(context: Context) -> Answer:
    """Requests of 7.5 MB and answers of 10 MB."""
    table = context.cloud.table("large")
    client = context.cloud.client("dynamodb", read_timeout=120)
    keys = [item_key(n) for n in range(25)]
    together([lambda key=key: client.put_item(TableName=table, Item=key) for key in keys], 8)
    statements = [statement(table, key) for key in keys]
    for one in statements:
        one["Parameters"][0] = {"S": "v" * (300 * KB)}
    figures = {}
    figures["25 parameters of 300 KB"] = written = _outcome(client, statements, "Error")
    together(
        [
            lambda key=key: client.put_item(TableName=table, Item=sized(key, 399.5, test={"N": "0"}))
            for key in keys
        ],
        8,
    )
    figures["25 old items of 400 KB"] = returned = _outcome(client, [statement(table, key) for key in keys], "Item")
    is_expected = written == "25 answers, 0 with Error" and returned == "25 answers, 25 with Item"
    return Answer(verdict(is_expected), figures)


def _outcome(client, statements: list, field: str) -> str:
    try:
        answers = client.batch_execute_statement(Statements=statements)["Responses"]
    except ClientError as error:
        return f"{code_of(error)}: {message_of(error)}"
    found = sum(field in answer or field in answer.get("Error", {}) for answer in answers)
    codes = sorted({answer["Error"].get("Code", "") for answer in answers if "Error" in answer} - {"ConditionalCheckFailed"})
    return f"{len(answers)} answers, {found} with {field}" + (f" ({', '.join(codes)})" if codes else "")


# Connections.


@question(
    "connections",
    "When does the service close an idle connection, after how many requests one in use, and how many break with 128 requests in flight?",
    {"read units": 20_000},
)
def connections(context: Context) -> Later:
    """Past the SDK, by plain connections, so that nothing is tried again unseen."""
    table = context.cloud.table("connections")
    context.cloud.dynamodb.put_item(TableName=table, Item=item_key(0))
    requests, figures = 2_000, {}
    line = _Line(context, table)
    done = next((n for n in range(requests) if not line.get()), requests)
    figures["requests on one connection"] = f"{done}, then closed" if done < requests else f"{done}, still open"

    def many(_):
        mine, broken = _Line(context, table), 0
        for _ in range(100):
            if not mine.get():
                broken += 1
                mine = _Line(context, table)
        return broken

    broken = [one for one in together([lambda n=n: many(n) for n in range(128)], 128)]
    errors = [one for one in broken if isinstance(one, Exception)]
    figures["128 connections, 100 requests each"] = (
        f"{sum(one for one in broken if not isinstance(one, Exception))} broken, {len(errors)} could not be opened"
    )
    # Each waits its own time at the same time as the others.
    waits = (1,) if context.is_stand_in else (5, 15, 30, 60, 120, 240)
    lines = {seconds: _Line(context, table) for seconds in waits}
    opened = time.monotonic()
    for one in lines.values():
        one.get()

    def finish() -> Answer:
        return Answer(verdict(not errors), figures | {"idle connections": "; ".join(lived)})

    lived = []

    def watch():
        for seconds, one in lines.items():
            time.sleep(max(0, opened + seconds - time.monotonic()))
            lived.append(f"after {seconds} s {'open' if one.get() else 'closed'}")

    threading.Thread(target=watch, daemon=True).start()
    return Later(waits[-1] + context.brief(15), finish)


class _Line:
    """One connection, signed by hand."""

    def __init__(self, context: Context, table: str):
        client = context.cloud.dynamodb
        self._url = client.meta.endpoint_url
        self._table = table
        self._meter = context.meter
        self._signer = SigV4Auth(
            context.cloud._session.get_credentials().get_frozen_credentials(), "dynamodb", context.cloud.place.region
        )
        at = urlsplit(self._url)
        kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(at.hostname, at.port, timeout=30)
        self._connection.connect()
        # http.client would open a new connection by itself.
        self._connection.auto_open = 0

    def get(self) -> bool:
        """Reads the item; whether the connection is still open after it."""
        body = f'{{"TableName":"{self._table}","Key":{{"id":{{"S":"item-00000"}},"created":{{"N":"0"}}}}}}'
        headers = {"X-Amz-Target": "DynamoDB_20120810.GetItem", "Content-Type": "application/x-amz-json-1.0"}
        request = AWSRequest("POST", self._url + "/", data=body, headers=headers)
        self._signer.add_auth(request)
        try:
            self._connection.request("POST", "/", body, dict(request.headers))
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        self._meter.add("read units", 0.5)
        return not answer.will_close
