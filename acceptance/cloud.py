"""The run's way to AWS: clients that count what they use, names and tags of everything that it makes, and waiting."""

import json
import os
import secrets
import time
from datetime import datetime, timedelta, timezone
from functools import lru_cache

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .guard import Place
from .money import Meter, table_hours

# Everything that a run makes has a name that begins so, and this tag with the run's name.
PREFIX = "backfill-acceptance-"
TAG = "backfill-acceptance"

# Operations that give capacity units back if they are asked.
_READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}
_WRITES = {
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
    "ExecuteTransaction",
}


def index_by_gk(projection: str = "ALL", **more) -> dict:
    """An index by the attribute `gk`."""
    return {
        "IndexName": "by-gk",
        "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": projection},
    } | more


def with_index_by_gk(**more) -> dict:
    """What a table is made with to have an index by the text `gk`, of whole items unless `more` says otherwise, which are
    arguments of `index_by_gk`."""
    return {"attributes": {"gk": "S"}, "GlobalSecondaryIndexes": [index_by_gk(**more)]}


def new_name() -> str:
    """A name for a run that no other has."""
    return PREFIX + secrets.token_hex(4)


def code_of(error: ClientError) -> str:
    """The code of a refusal."""
    return error.response["Error"]["Code"]


def message_of(error: ClientError) -> str:
    """The words of a refusal."""
    return error.response["Error"].get("Message", "")


@lru_cache
def session(region: str, is_stand_in: bool) -> boto3.Session:
    """The one session of the run in a region: whoever asks for the account asks with the credentials that are used then, also
    if somebody signs in elsewhere meanwhile."""
    dummy = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} if is_stand_in else {}
    return boto3.Session(region_name=region, **dummy)


class Cloud:
    """One account and region, or its stand-in."""

    def __init__(self, place: Place, name: str, meter: Meter):
        self.place = place
        self.name = name
        self.meter = meter
        self._clients = {}
        # Those that are gone already, too.
        self.tables: list[str] = []
        self._session = session(place.region, place.is_stand_in)

    def client(self, service: str, **settings):
        """A client that counts. `settings` are botocore's, such as retries or timeouts."""
        key = (service, json.dumps(settings, sort_keys=True))
        if key not in self._clients:
            config = Config(**{"retries": {"mode": "standard", "total_max_attempts": 8}, "max_pool_connections": 64} | settings)
            client = self._session.client(service, endpoint_url=self.place.endpoint, config=config)
            if service == "dynamodb":
                client.meta.events.register("provide-client-params.dynamodb", self._ask_for_units)
                client.meta.events.register("after-call.dynamodb", self._count_units)
            client.meta.events.register("after-call", self._count_request)
            self._clients[key] = client
        return self._clients[key]

    @property
    def dynamodb(self):
        """The usual client of DynamoDB."""
        return self.client("dynamodb")

    def impatient(self):
        """A client of DynamoDB that tries nothing again, so that every refusal is seen."""
        return self.client("dynamodb", retries={"total_max_attempts": 1})

    def environment(self) -> dict[str, str]:
        """What programs are started with: the region and the very credentials of this run, whatever the machine has by now."""
        kept = ("AWS_CA_BUNDLE", "AWS_CONFIG_FILE")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") or name in kept}
        credentials = self._session.get_credentials().get_frozen_credentials()
        environment |= {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
        if credentials.token:
            environment["AWS_SESSION_TOKEN"] = credentials.token
        if self.place.is_stand_in:
            environment |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": self.place.endpoint}
        region = {"AWS_REGION": self.place.region, "AWS_DEFAULT_REGION": self.place.region}
        return environment | region | {"SAM_CLI_TELEMETRY": "0"}

    def tags(self) -> list[dict[str, str]]:
        """The tag, as most services want it."""
        return [{"Key": TAG, "Value": self.name}]

    def _ask_for_units(self, params, model, **_):
        if model.name in _READS | _WRITES:
            params.setdefault("ReturnConsumedCapacity", "INDEXES")
        return params

    def _count_units(self, parsed, model, **_):
        consumed = parsed.get("ConsumedCapacity") or []
        consumed = consumed if isinstance(consumed, list) else [consumed]
        units = sum(one.get("CapacityUnits", 0) for one in consumed)
        self.meter.add("read units" if model.name in _READS else "write units", units)

    def _count_request(self, model, **_):
        kinds = {"SNS": "messages", "SQS": "messages", "KMS": "key requests", "S3": "bucket requests"}
        service = model.service_model.service_id
        if service == "CloudWatch":
            self.meter.add("metric requests", 5)
        elif service in kinds:
            self.meter.add(kinds[service], 1)

    # Tables.

    def table(self, suffix: str, keys: dict[str, str] | None = None, **more) -> str:
        """Makes a table on demand and waits for it; returns its name. `keys` are names and types, hash key first."""
        name = self.begin_table(suffix, keys, **more)
        self.wait_for_table(name)
        return name

    def begin_table(self, suffix: str, keys: dict[str, str] | None = None, attributes: dict | None = None, **more) -> str:
        """Asks for a table and does not wait. `attributes` are those that only indexes have as keys."""
        keys = keys or {"id": "S", "created": "N"}
        name = f"{self.name}-{suffix}"
        schema = [{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"))]
        defined = keys | (attributes or {})
        self.dynamodb.create_table(
            **{"BillingMode": "PAY_PER_REQUEST"}
            | {
                "TableName": name,
                "KeySchema": schema,
                "AttributeDefinitions": [{"AttributeName": key, "AttributeType": kind} for key, kind in defined.items()],
                "Tags": self.tags(),
            }
            | more
        )
        self.tables.append(name)
        # Hours are billed from the first second on.
        for one in (more, *more.get("GlobalSecondaryIndexes", [])):
            if provisioned := one.get("ProvisionedThroughput"):
                self.meter.add_all(table_hours(provisioned["WriteCapacityUnits"], provisioned["ReadCapacityUnits"]))
        return name

    def drop(self, name: str) -> None:
        """Removes a table that costs something by the hour as soon as it is no longer needed."""
        self.dynamodb.delete_table(TableName=name)

    def wait_for_table(self, name: str, minutes: float = 30) -> dict:
        """Waits until a table and all its indexes are active, and returns the description."""

        def active():
            table = self.dynamodb.describe_table(TableName=name)["Table"]
            states = [table["TableStatus"], *(one["IndexStatus"] for one in table.get("GlobalSecondaryIndexes", []))]
            return table if set(states) == {"ACTIVE"} else None

        return eventually(f"table {name} to be active", active, minutes * 60)

    def put_all(self, table: str, items: list[dict]) -> None:
        """Puts items, and tries again those that the table does not take at once."""
        for start in range(0, len(items), 25):
            left = {table: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
            while left:
                left = self.dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems")
                time.sleep(0.2 if left else 0)

    def all_items(self, table: str, **scan) -> list[dict]:
        """Every item of a table, strongly consistent."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **scan)
        return [item for page in pages for item in page["Items"]]

    # What CloudWatch has counted.

    def consumed(self, tables: list[str], since: datetime, kinds=("Write", "Read")) -> dict[tuple[str, str], float]:
        """Units that CloudWatch has counted for each table, indexes included, by table and kind: sums of minutes."""
        wanted = {}
        for table in tables:
            dimensions = [[{"Name": "TableName", "Value": table}]]
            for index in self._indexes_of(table):
                dimensions.append(dimensions[0] + [{"Name": "GlobalSecondaryIndexName", "Value": index}])
            for kind in kinds:
                wanted |= {(table, kind, n): dims for n, dims in enumerate(dimensions)}
        queries = [
            {
                "Id": f"q{n}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/DynamoDB",
                        "MetricName": f"Consumed{kind}CapacityUnits",
                        "Dimensions": dimensions,
                    },
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
            for n, ((_, kind, _), dimensions) in enumerate(wanted.items())
        ]
        self.meter.add("metric requests", len(queries))
        sums = dict.fromkeys(((table, kind) for table, kind, _ in wanted), 0.0)
        keys = list(wanted)
        for start in range(0, len(queries), 500):
            pages = self.client("cloudwatch").get_paginator("get_metric_data").paginate(
                MetricDataQueries=queries[start : start + 500],
                StartTime=since - timedelta(minutes=2),
                EndTime=datetime.now(timezone.utc) + timedelta(minutes=2),
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    table, kind, _ = keys[int(result["Id"][1:])]
                    sums[table, kind] += sum(result["Values"])
        return sums

    def _indexes_of(self, table: str) -> list[str]:
        try:
            described = self.dynamodb.describe_table(TableName=table)["Table"]
        except ClientError:
            return []
        return [index["IndexName"] for index in described.get("GlobalSecondaryIndexes", [])]


# How long the answers of CloudWatch may be late, in seconds.
METRICS_ARE_LATE = 300


def eventually(what: str, ask, seconds: float, pause: float = 1.0):
    """Asks until there is an answer that is not None."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)
