"""The script everybody starts with: read what lacks the attribute into a list, then update item by item."""

import boto3
from boto3.dynamodb.conditions import Attr

dynamodb = boto3.resource("dynamodb")
table = dynamodb.Table("stuff")


def items_without_test():
    response = table.scan(FilterExpression=Attr("test").not_exists())
    items = response["Items"]
    while "LastEvaluatedKey" in response:
        response = table.scan(
            FilterExpression=Attr("test").not_exists(),
            ExclusiveStartKey=response["LastEvaluatedKey"],
        )
        items.extend(response["Items"])
    return items


def main():
    items = items_without_test()
    print(f"{len(items)} items to update")
    updated = 0
    for item in items:
        try:
            table.update_item(
                Key={"id": item["id"], "created": item["created"]},
                UpdateExpression="SET test = :test",
                ConditionExpression="attribute_exists(id) AND attribute_not_exists(test)",
                ExpressionAttributeValues={":test": 1},
            )
            updated += 1
        except dynamodb.meta.client.exceptions.ConditionalCheckFailedException:
            pass  # somebody else was first, or it is gone
    print(f"{updated} items updated")


if __name__ == "__main__":
    main()
