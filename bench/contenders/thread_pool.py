"""The script after the first complaint that it is slow: a parallel scan, each segment in a thread of a pool, which
updates what it reads page by page."""

import os
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

SEGMENTS = int(os.environ.get("SEGMENTS", "8"))

# A client may be used by several threads, a resource may not. Its pool holds 10 connections by default.
client = boto3.client("dynamodb", config=Config(max_pool_connections=SEGMENTS))


def update_segment(segment):
    updated = 0
    pages = client.get_paginator("scan").paginate(
        TableName="stuff",
        Segment=segment,
        TotalSegments=SEGMENTS,
        FilterExpression="attribute_not_exists(test)",
        ProjectionExpression="id, created",
    )
    for page in pages:
        for key in page["Items"]:
            try:
                client.update_item(
                    TableName="stuff",
                    Key=key,
                    UpdateExpression="SET test = :test",
                    ConditionExpression="attribute_exists(id) AND attribute_not_exists(test)",
                    ExpressionAttributeValues={":test": {"N": "1"}},
                )
                updated += 1
            except client.exceptions.ConditionalCheckFailedException:
                pass  # somebody else was first, or it is gone
    return updated


def main():
    with ThreadPoolExecutor(max_workers=SEGMENTS) as pool:
        updated = sum(pool.map(update_segment, range(SEGMENTS)))
    print(f"{updated} items updated")


if __name__ == "__main__":
    main()
