// The same script in Node.js: read what lacks the attribute into a list, then update item by item.

import { ConditionalCheckFailedException, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { DynamoDBDocumentClient, UpdateCommand, paginateScan } from "@aws-sdk/lib-dynamodb";

const client = DynamoDBDocumentClient.from(new DynamoDBClient({}));

const items = [];
const pages = paginateScan({ client }, { TableName: "stuff", FilterExpression: "attribute_not_exists(test)" });
for await (const page of pages) {
  items.push(...page.Items);
}
console.log(`${items.length} items to update`);

let updated = 0;
for (const item of items) {
  try {
    await client.send(
      new UpdateCommand({
        TableName: "stuff",
        Key: { id: item.id, created: item.created },
        UpdateExpression: "SET test = :test",
        ConditionExpression: "attribute_exists(id) AND attribute_not_exists(test)",
        ExpressionAttributeValues: { ":test": 1 },
      }),
    );
    updated += 1;
  } catch (error) {
    // Somebody else was first, or it is gone.
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}
console.log(`${updated} items updated`);
