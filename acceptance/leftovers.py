"""Removes what runs have made: at the end of each, after a failure, and with --clean.

Everything has a name that begins with the prefix, and what can bear a tag bears the run's. --clean removes by both: a thing
of somebody else that only has such a name stays. What has no tag that can be asked for has to have the whole form of a name that
a run makes.
"""

import re
import time
from dataclasses import dataclass
from typing import Callable

from botocore.exceptions import ClientError

from .cloud import PREFIX, TAG, Cloud, code_of, eventually

# What new_name() makes, wherever a name has it: a log group's has it behind a folder.
OF_A_RUN = re.compile(re.escape(PREFIX) + "[0-9a-f]{8}(?![0-9a-z])")

# Days until a key is gone. It costs nothing meanwhile, and AWS knows no shorter time.
KEY_DAYS = 7

# What says that a thing is gone already.
_GONE = {
    "ResourceNotFoundException",
    "ResourceNotFound",
    "NoSuchEntity",
    "NoSuchBucket",
    "NotFound",
    "NotFoundException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "StateMachineDoesNotExist",
    "DashboardNotFoundError",
}


@dataclass(frozen=True)
class Kind:
    """A kind of thing: how those with a prefix are found (name and handle), by which tags, and how one is removed."""

    name: str
    find: Callable[[Cloud, str], list[tuple[str, str]]]
    remove: Callable[[Cloud, str], None]
    # None if this kind cannot bear tags, or the whole form of its name is proof enough.
    tags: Callable[[Cloud, str], dict[str, str]] | None
    # Whether stand-ins know this kind.
    stand_in: bool = True


@dataclass(frozen=True)
class Thing:
    """Something that a run has made."""

    kind: Kind
    name: str
    handle: str

    def __str__(self):
        return f"{self.kind.name} {self.name}"


def find(cloud: Cloud, prefix: str) -> tuple[list[Thing], list[str]]:
    """Everything of runs whose name begins so, in the order in which it is to be removed; and of which kinds it cannot be
    said, and why not."""
    found, unknown = [], []
    for kind in _kinds(cloud, prefix):
        try:
            found += _find(cloud, kind, prefix)
        except Exception as error:
            unknown.append(f"{kind.name}: cannot be looked for: {error}")
    return found, unknown


def _kinds(cloud: Cloud, prefix: str) -> list["Kind"]:
    if not prefix.startswith(PREFIX):
        raise ValueError(f"{prefix} would find what no run has made")
    return [kind for kind in KINDS if kind.stand_in or not cloud.place.is_stand_in]


def _find(cloud: Cloud, kind: Kind, prefix: str) -> list[Thing]:
    things = [Thing(kind, name, handle) for name, handle in kind.find(cloud, prefix)]
    if kind.tags is None:
        return [thing for thing in things if OF_A_RUN.search(thing.name)]
    tags = {thing: _tag_of(cloud, kind, thing.handle) for thing in things}
    # The name of one run is that of nobody else. The stand-in does not hand the tags of a stack on to all that is in it.
    is_enough = prefix != PREFIX or cloud.place.is_stand_in
    return [thing for thing, tag in tags.items() if tag.startswith(prefix) or (is_enough and not tag)]


def _tag_of(cloud: Cloud, kind: Kind, handle: str) -> str:
    try:
        return kind.tags(cloud, handle).get(TAG, "")
    except ClientError as error:
        if code_of(error) in _GONE:
            return ""
        raise


def remove(cloud: Cloud, prefix: str, say: Callable[[str], None]) -> list[str]:
    """Removes everything of runs whose name begins so. Returns what could not be removed, and why."""
    failed = {}
    # What a stack has retained is found after it, and what was refused at first by the next look.
    for attempt in range(4):
        done = True
        for kind in _kinds(cloud, prefix):
            try:
                for thing in _find(cloud, kind, prefix):
                    done = False
                    say(f"removing {thing}")
                    _remove(cloud, thing, failed)
            except Exception as error:
                # Whatever it is, the other kinds are still to be removed.
                done = False
                say(f"{kind.name}: cannot be looked for: {error}")
        if done:
            return []
        time.sleep(0 if cloud.place.is_stand_in else 10 * attempt)
    things, unknown = find(cloud, prefix)
    return [f"{thing}: {failed.get(thing, 'is still there')}" for thing in things] + unknown


def _remove(cloud: Cloud, thing: Thing, failed: dict[Thing, str]) -> None:
    failed.pop(thing, None)
    try:
        thing.kind.remove(cloud, thing.handle)
    except Exception as error:
        if not isinstance(error, ClientError) or code_of(error) not in _GONE:
            failed[thing] = str(error)


# Each kind, found by its prefix.


def _paged(cloud: Cloud, service: str, operation: str, field: str, **arguments):
    for page in cloud.client(service).get_paginator(operation).paginate(**arguments):
        yield from page.get(field, [])


def _pairs(tags: list[dict]) -> dict[str, str]:
    return {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in tags}


def _stacks(cloud, prefix):
    gone = "DELETE_COMPLETE"
    for stack in _paged(cloud, "cloudformation", "describe_stacks", "Stacks"):
        if stack["StackName"].startswith(prefix) and stack["StackStatus"] != gone:
            yield stack["StackName"], stack["StackName"]


def _stack_tags(cloud, name):
    return _pairs(cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0].get("Tags", []))


def delete_stack(cloud: Cloud, name: str) -> None:
    """Deletes a stack and waits until it is gone."""
    client = cloud.client("cloudformation")

    def begun():
        try:
            client.delete_stack(StackName=name)
            return True
        except ClientError as error:
            # A deployment that was interrupted goes on by itself, and is waited for.
            if "cannot be" not in str(error):
                raise
            return None

    def gone():
        try:
            status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        except ClientError as error:
            if "does not exist" in str(error):
                return "DELETE_COMPLETE"
            raise
        return status if status in ("DELETE_COMPLETE", "DELETE_FAILED") else None

    eventually(f"stack {name} to be deletable", begun, 1200, 5)
    status = eventually(f"stack {name} to be gone", gone, 1200)
    if status != "DELETE_COMPLETE":
        raise TimeoutError(f"stack {name}: {status}")


def _machines(cloud, prefix):
    for machine in _paged(cloud, "stepfunctions", "list_state_machines", "stateMachines"):
        if machine["name"].startswith(prefix) and machine.get("status") != "DELETING":
            yield machine["name"], machine["stateMachineArn"]


def stop_executions(cloud: Cloud, prefix: str) -> None:
    """Stops what still runs, so that nothing writes to tables that are being deleted."""
    client = cloud.client("stepfunctions")
    for _, arn in list(_machines(cloud, prefix)):
        running = _paged(
            cloud, "stepfunctions", "list_executions", "executions", stateMachineArn=arn, statusFilter="RUNNING"
        )
        for execution in list(running):
            try:
                client.stop_execution(executionArn=execution["executionArn"], cause="end of the acceptance run")
            except ClientError:
                # It has ended by itself, or is the child of a Map, which ends with its parent.
                pass


def _functions(cloud, prefix):
    for function in _paged(cloud, "lambda", "list_functions", "Functions"):
        if function["FunctionName"].startswith(prefix):
            yield function["FunctionName"], function["FunctionArn"]


def _tables(cloud, prefix):
    for name in _paged(cloud, "dynamodb", "list_tables", "TableNames"):
        if name.startswith(prefix):
            if cloud.dynamodb.describe_table(TableName=name)["Table"]["TableStatus"] != "DELETING":
                yield name, name


def _table_tags(cloud, name):
    arn = cloud.dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    return _pairs(cloud.dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"])


def _delete_table(cloud, name):
    if cloud.dynamodb.describe_table(TableName=name)["Table"].get("DeletionProtectionEnabled"):
        cloud.dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)

    def deleted():
        try:
            cloud.dynamodb.delete_table(TableName=name)
            return True
        except ClientError as error:
            # An index or a change of capacity is still at work on it.
            if code_of(error) != "ResourceInUseException":
                raise
            return None

    eventually(f"table {name} to be deletable", deleted, 1200, 5)


def _log_groups(cloud, prefix):
    for folder in ("/aws/lambda/", "/aws/vendedlogs/states/", "/aws/vendedlogs/", ""):
        for group in _paged(cloud, "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=folder + prefix):
            yield group["logGroupName"], group["logGroupName"]


def _queries(cloud, prefix):
    found = cloud.client("logs").describe_query_definitions(queryDefinitionNamePrefix=prefix)
    for query in found.get("queryDefinitions", []):
        yield query["name"], query["queryDefinitionId"]


def _topics(cloud, prefix):
    for topic in _paged(cloud, "sns", "list_topics", "Topics"):
        if topic["TopicArn"].rsplit(":", 1)[1].startswith(prefix):
            yield topic["TopicArn"].rsplit(":", 1)[1], topic["TopicArn"]


def _queues(cloud, prefix):
    for url in cloud.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", []):
        yield url.rsplit("/", 1)[1], url


def _delete_queue(cloud, url):
    cloud.client("sqs").delete_queue(QueueUrl=url)
    # A queue is listed for up to a minute after its deletion (API reference, DeleteQueue).
    name = url.rsplit("/", 1)[1]
    eventually(f"queue {name} to be gone", lambda: True if not list(_queues(cloud, name)) else None, 120, 2)


def _buckets(cloud, prefix):
    # By the whole form of the name, since a bucket has its tags only a moment after its name.
    ours = re.compile(re.escape(PREFIX) + "[0-9a-f]{8}-artefacts")
    for bucket in cloud.client("s3").list_buckets()["Buckets"]:
        if bucket["Name"].startswith(prefix) and ours.fullmatch(bucket["Name"]):
            yield bucket["Name"], bucket["Name"]


def _delete_bucket(cloud, name):
    client = cloud.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
            client.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
    for entry in _paged(cloud, "s3", "list_objects_v2", "Contents", Bucket=name):
        client.delete_object(Bucket=name, Key=entry["Key"])
    client.delete_bucket(Bucket=name)


def _aliases(cloud, prefix):
    for alias in _paged(cloud, "kms", "list_aliases", "Aliases"):
        if alias["AliasName"].startswith(f"alias/{prefix}"):
            yield alias["AliasName"], alias["AliasName"]


def _keys(cloud, prefix):
    client = cloud.client("kms")
    for key in _paged(cloud, "kms", "list_keys", "Keys"):
        described = client.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        # Other keys of the account may not let us see their tags, and are none of ours.
        if described["KeyManager"] == "CUSTOMER" and described["KeyState"] in ("Enabled", "Disabled"):
            try:
                name = _key_tags(cloud, key["KeyId"]).get(TAG, "")
            except ClientError:
                continue
            if name.startswith(prefix):
                yield f"of {name}", key["KeyId"]


def _key_tags(cloud, key):
    tags = cloud.client("kms").list_resource_tags(KeyId=key)["Tags"]
    return {tag["TagKey"]: tag["TagValue"] for tag in tags}


def _alarms(cloud, prefix):
    for alarm in _paged(cloud, "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix):
        yield alarm["AlarmName"], alarm["AlarmName"]


def _dashboards(cloud, prefix):
    for board in cloud.client("cloudwatch").list_dashboards(DashboardNamePrefix=prefix).get("DashboardEntries", []):
        yield board["DashboardName"], board["DashboardName"]


def _rules(cloud, prefix):
    for rule in cloud.client("events").list_rules(NamePrefix=prefix).get("Rules", []):
        yield rule["Name"], rule["Name"]


def _delete_rule(cloud, name):
    client = cloud.client("events")
    targets = client.list_targets_by_rule(Rule=name)["Targets"]
    if targets:
        client.remove_targets(Rule=name, Ids=[target["Id"] for target in targets])
    client.delete_rule(Name=name)


def _roles(cloud, prefix):
    for role in _paged(cloud, "iam", "list_roles", "Roles"):
        if role["RoleName"].startswith(prefix):
            yield role["RoleName"], role["RoleName"]


def _delete_role(cloud, name):
    client = cloud.client("iam")
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        client.delete_role_policy(RoleName=name, PolicyName=policy)
    for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    client.delete_role(RoleName=name)


def _policies(cloud, prefix):
    for policy in _paged(cloud, "iam", "list_policies", "Policies", Scope="Local"):
        if policy["PolicyName"].startswith(prefix):
            yield policy["PolicyName"], policy["Arn"]


# In the order of removal: a stack takes most of it along, and logs go last, since functions may still write them.
KINDS = [
    Kind("stack", _stacks, delete_stack, _stack_tags),
    Kind(
        "state machine",
        _machines,
        lambda cloud, arn: cloud.client("stepfunctions").delete_state_machine(stateMachineArn=arn),
        lambda cloud, arn: _pairs(cloud.client("stepfunctions").list_tags_for_resource(resourceArn=arn)["tags"]),
    ),
    Kind(
        "function",
        _functions,
        lambda cloud, arn: cloud.client("lambda").delete_function(FunctionName=arn),
        lambda cloud, arn: cloud.client("lambda").list_tags(Resource=arn).get("Tags", {}),
    ),
    Kind("table", _tables, _delete_table, _table_tags),
    Kind("rule", _rules, _delete_rule, None),
    Kind(
        "alarm",
        _alarms,
        lambda cloud, name: cloud.client("cloudwatch").delete_alarms(AlarmNames=[name]),
        None,
    ),
    Kind(
        "dashboard",
        _dashboards,
        lambda cloud, name: cloud.client("cloudwatch").delete_dashboards(DashboardNames=[name]),
        None,
    ),
    Kind("topic", _topics, lambda cloud, arn: cloud.client("sns").delete_topic(TopicArn=arn), None),
    Kind(
        "queue",
        _queues,
        _delete_queue,
        lambda cloud, url: cloud.client("sqs").list_queue_tags(QueueUrl=url).get("Tags", {}),
    ),
    Kind("bucket", _buckets, _delete_bucket, None),
    Kind("alias", _aliases, lambda cloud, name: cloud.client("kms").delete_alias(AliasName=name), None),
    Kind(
        "key",
        _keys,
        lambda cloud, key: cloud.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=KEY_DAYS),
        _key_tags,
    ),
    Kind(
        "role",
        _roles,
        _delete_role,
        lambda cloud, name: _pairs(cloud.client("iam").list_role_tags(RoleName=name)["Tags"]),
    ),
    Kind("policy", _policies, lambda cloud, arn: cloud.client("iam").delete_policy(PolicyArn=arn), None),
    Kind(
        "query",
        _queries,
        lambda cloud, one: cloud.client("logs").delete_query_definition(queryDefinitionId=one),
        None,
        stand_in=False,
    ),
    Kind("log group", _log_groups, lambda cloud, name: cloud.client("logs").delete_log_group(logGroupName=name), None),
]
