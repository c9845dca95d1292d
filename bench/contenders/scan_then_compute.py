"""The script for a value that is made of the item's own: a parallel scan of what it is made of, each segment in a thread of a pool,
which updates what it reads page by page. Nothing guards what somebody else writes meanwhile."""

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
        ProjectionExpression="id, created, tenant, #status",
        ExpressionAttributeNames={"#status": "status"},
    )
    for page in pages:
        for item in page["Items"]:
            value = f"{item['tenant']['S']}#{item['status']['S'].lower()}"
            client.update_item(
                TableName="stuff",
                Key={"id": item["id"], "created": item["created"]},
                UpdateExpression="SET test = :test",
                ExpressionAttributeValues={":test": {"S": value}},
            )
            updated += 1
    return updated


def main():
    with ThreadPoolExecutor(max_workers=SEGMENTS) as pool:
        updated = sum(pool.map(update_segment, range(SEGMENTS)))
    print(f"{updated} items updated")


if __name__ == "__main__":
    main()
