"""The worker function in the shape of AWS's published sample for bulk updates with Step Functions: one invocation
for each segment of the table, pages of 100 items, read whole and strongly consistent, and an update_item for each
that needs it.

Shape after functions/scan-and-update-table.py of
https://github.com/aws-samples/bulk-update-amazon-dynamodb-tables-with-aws-step-functions (2024), described in
https://aws.amazon.com/blogs/database/bulk-update-amazon-dynamodb-tables-with-aws-step-functions/. Its rate limiter,
off by default, is left out. Its example of an update has no condition; ours has, as every contender here.
"""

import os
import sys

import boto3


def process_item(table, item):
    if "test" in item:
        return
    try:
        table.update_item(
            Key={"id": item["id"], "created": item["created"]},
            UpdateExpression="SET test = :test",
            ConditionExpression="attribute_exists(id) AND attribute_not_exists(test)",
            ExpressionAttributeValues={":test": 1},
        )
    except table.meta.client.exceptions.ConditionalCheckFailedException:
        pass  # somebody else was first, or it is gone


def lambda_handler(event, context):
    segments = event["Items"]
    table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
    start_keys = dict.fromkeys(segments)
    items = 0
    while start_keys:
        for segment in segments:
            if segment not in start_keys:
                continue
            request = {
                "Segment": segment,
                "TotalSegments": int(os.environ["TOTAL_SEGMENTS"]),
                "Limit": int(os.environ["PAGE_SIZE"]),
                "ConsistentRead": True,
            }
            if start_keys[segment]:
                request["ExclusiveStartKey"] = start_keys[segment]
            response = table.scan(**request)
            for item in response["Items"]:
                process_item(table, item)
                items += 1
            if "LastEvaluatedKey" in response:
                start_keys[segment] = response["LastEvaluatedKey"]
            else:
                del start_keys[segment]
    print(f"processed {items} items in segments {segments}")
    return {"segments": segments, "processed": items}


if __name__ == "__main__":
    lambda_handler({"Items": [int(segment) for segment in sys.argv[1:]]}, None)
