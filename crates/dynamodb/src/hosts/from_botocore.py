#!/usr/bin/env python3
"""Prints the table beside this file: which host each service has, by the rules that AWS publishes for its SDKs.

Run it with a Python that has botocore: `.tools/moto/bin/python crates/dynamodb/src/hosts/from_botocore.py`.
"""

import itertools

import botocore
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError
from botocore.loaders import Loader

ACCOUNT = "111122223333"
# A region or two of each partition, and one that no list has.
REGIONS = [
    "us-east-1",
    "eu-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "us-gov-west-1",
    "us-gov-east-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
    "eusc-de-east-1",
    "us-new-7",
]
# Of these only DynamoDB and its streams have hosts by account.
SERVICES = [
    ("dynamodb", True),
    ("dynamodbstreams", True),
    ("cloudwatch", False),
    ("lambda", False),
    ("sqs", False),
]

loader = Loader()
partitions = loader.load_data("partitions")
print(f"# By from_botocore.py, with botocore {botocore.__version__}.")
print("# service region fips dual-stack account mode -> host, or refused")
for name, by_account in SERVICES:
    rules = loader.load_service_model(name, "endpoint-rule-set-1")
    provider = EndpointProvider(rules, partitions)
    accounts = [("-", "-")]
    if by_account:
        accounts += [(ACCOUNT, mode) for mode in ("preferred", "disabled", "required")]
        accounts += [("-", "required")]
    flags = [False, True]
    for region, fips, dual, (account, mode) in itertools.product(REGIONS, flags, flags, accounts):
        asked = {"Region": region, "UseFIPS": fips, "UseDualStack": dual}
        if account != "-":
            asked["AccountId"] = account
        if mode != "-":
            asked["AccountIdEndpointMode"] = mode
        try:
            host = provider.resolve_endpoint(**asked).url.removeprefix("https://")
        except EndpointProviderError:
            host = "refused"
        words = ["yes" if flag else "no" for flag in (fips, dual)]
        print(name, region, *words, account, mode, host)
