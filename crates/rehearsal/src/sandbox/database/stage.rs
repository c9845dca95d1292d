//! Batches of updates that are made beside the database and then written to it at once.
//!
//! The database makes one call at a time, and most of an update is no work of SQLite: a statement is read, an item is taken out
//! of its JSON, checked, and written as JSON again. So the items of a batch are put on a stage, a small database of the same
//! kind, and the batch is made there, at the same time as other batches. What has become of the items is written behind
//! them, if they are still what they were.
//!
//! Whatever does not go well there has not happened: the batch is made in the database itself, and that is the answer. So nothing
//! here decides what a statement means.

use std::collections::HashMap;

use dynoxide::actions::batch_execute_statement::{
    BatchExecuteStatementRequest, BatchExecuteStatementResponse, execute,
};
use dynoxide::storage::Storage;
use futures_util::FutureExt as _;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params, params_from_iter};

use super::page::Names;
use super::rows::Key;

/// The items that a batch updates, as far as its statements say so.
pub struct Targets<'a> {
    /// The table.
    pub table: &'a str,
    /// Of each statement the attributes by which it finds its item, and the number of the parameter that each has to equal.
    statements: Vec<Vec<(&'a str, usize)>>,
}

impl<'a> Targets<'a> {
    /// Those of a batch of updates of one table, each written with its key first; `None` for any other.
    pub fn of(request: &'a BatchExecuteStatementRequest) -> Option<Targets<'a>> {
        let mut tables = request.statements.iter().map(|one| table(&one.statement));
        let table = tables.next()??;
        if !tables.all(|other| other == Some(table)) {
            return None;
        }
        let statements = request.statements.iter();
        let statements = statements.map(|one| equals(&one.statement)).collect();
        Some(Targets { table, statements })
    }
}

/// The table of an update.
fn table(statement: &str) -> Option<&str> {
    let (table, _) = statement.strip_prefix("UPDATE \"")?.split_once('"')?;
    Some(table)
}

/// What the condition of an update begins with: attributes that equal a parameter.
fn equals(statement: &str) -> Vec<(&str, usize)> {
    let (change, mut condition) = statement.split_once(" WHERE ").unwrap_or_default();
    let mut parameter = change.matches('?').count();
    let mut equals = Vec::new();
    while let Some((name, rest)) = condition
        .strip_prefix('"')
        .and_then(|it| it.split_once('"'))
        && let Some(rest) = rest.strip_prefix(" = ?")
    {
        equals.push((name, parameter));
        parameter += 1;
        condition = rest.strip_prefix(" AND ").unwrap_or_default();
    }
    equals
}

/// A small database of the same kind, and a connection to the one that it stands beside.
pub struct Stage {
    storage: Storage,
    live: Connection,
    /// The tables that it has; `None` for those whose writes are more than that of an item.
    tables: HashMap<String, Option<Names>>,
}

/// What an item was, and what has become of it.
pub struct Change {
    item: Item,
    json: String,
    size: i64,
}

/// An item on the stage: its key, and its JSON as it is stored.
type Item = (Key, String);

impl Stage {
    /// An empty one beside the database of this connection.
    pub fn new(live: Connection) -> dynoxide::Result<Stage> {
        Ok(Stage {
            storage: Storage::memory()?,
            live,
            tables: HashMap::new(),
        })
    }

    /// Puts the items of a batch on the stage, and nothing else; `None` if one of them is not found.
    pub fn set(
        &mut self,
        targets: &Targets<'_>,
        request: &BatchExecuteStatementRequest,
    ) -> dynoxide::Result<Option<Vec<Item>>> {
        let table = targets.table;
        if !self.tables.contains_key(table) {
            let names = self.raise(table)?;
            self.tables.insert(table.to_owned(), names);
        }
        let Some(Some(names)) = self.tables.get(table) else {
            return Ok(None);
        };
        let stage = self.storage.conn().unchecked_transaction()?;
        stage.execute(&format!("DELETE FROM \"{table}\""), [])?;
        let mut select = self.live.prepare_cached(&format!(
            "SELECT item_json, item_size, hash_prefix FROM \"{table}\" WHERE pk = ? AND sk = ?"
        ))?;
        let mut insert = stage.prepare_cached(&format!(
            "INSERT OR IGNORE INTO \"{table}\" (pk, sk, item_json, item_size, hash_prefix) VALUES (?, ?, ?, ?, ?)"
        ))?;
        let mut items = Vec::with_capacity(targets.statements.len());
        for (statement, equals) in request.statements.iter().zip(&targets.statements) {
            let parameters = statement.parameters.as_deref().unwrap_or_default();
            let written = |name: &str| {
                let (_, parameter) = equals.iter().find(|(of, _)| *of == name)?;
                parameters.get(*parameter)?.to_key_string()
            };
            let Some(key) = names.written(written) else {
                return Ok(None);
            };
            let row = select.query_row(params![key.0, key.1], |row| {
                let row: (String, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(row)
            });
            let Some((json, size, hash)) = row.optional()? else {
                return Ok(None);
            };
            // One that is there twice is refused with the batch.
            insert.execute(params![key.0, key.1, json, size, hash])?;
            items.push((key, json));
        }
        drop(insert);
        stage.commit()?;
        Ok(Some(items))
    }

    /// Makes a batch with its items on the stage, and says what has become of them; `None` unless each of its statements goes
    /// well.
    pub fn make(
        &self,
        table: &str,
        items: Vec<Item>,
        request: BatchExecuteStatementRequest,
    ) -> dynoxide::Result<Option<(BatchExecuteStatementResponse, Vec<Change>)>> {
        // It never waits: it is written for another database, too, which does.
        let Some(Ok(made)) = execute(&self.storage, request).now_or_never() else {
            return Ok(None);
        };
        if made.responses.iter().any(|one| one.error.is_some()) {
            return Ok(None);
        }
        let mut select = self.storage.conn().prepare_cached(&format!(
            "SELECT item_json, item_size FROM \"{table}\" WHERE pk = ? AND sk = ?"
        ))?;
        let changes = items.into_iter().map(|item| {
            let (pk, sk) = &item.0;
            let (json, size) =
                select.query_row(params![pk, sk], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(Change { item, json, size })
        });
        let changes = changes.collect::<rusqlite::Result<_>>()?;
        Ok(Some((made, changes)))
    }

    /// Sets up a table as it is in the database; `None` unless to write an item there is to write that item alone.
    fn raise(&self, table: &str) -> dynoxide::Result<Option<Names>> {
        let mut select = self
            .live
            .prepare("SELECT * FROM _tables WHERE table_name = ?")?;
        let columns: Vec<String> = select.column_names().iter().map(|&it| it.into()).collect();
        let values = select.query_row([table], |row| {
            let values = (0..columns.len()).map(|column| row.get(column));
            values.collect::<rusqlite::Result<Vec<Value>>>()
        });
        let Some(values) = values.optional()? else {
            return Ok(None);
        };
        let insert = format!(
            "INSERT INTO _tables ({}) VALUES ({})",
            columns.join(", "),
            vec!["?"; columns.len()].join(", ")
        );
        self.storage
            .conn()
            .execute(&insert, params_from_iter(values))?;
        self.storage.create_data_table(table)?;
        let described = self.storage.get_table_metadata(table)?;
        let plain = described.filter(|it| {
            it.gsi_definitions.is_none()
                && it.lsi_definitions.is_none()
                && it.vector_index_definitions.is_none()
                && !it.stream_enabled
        });
        Ok(plain.and_then(|it| Names::of(&it.key_schema)))
    }
}

/// Writes what has become of items if all are what they were, and nothing otherwise.
pub fn write(live: &mut Connection, table: &str, changes: &[Change]) -> rusqlite::Result<bool> {
    let transaction = live.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut update = transaction.prepare_cached(&format!(
            "UPDATE \"{table}\" SET item_json = ?, item_size = ? WHERE pk = ? AND sk = ? AND item_json = ?"
        ))?;
        for Change { item, json, size } in changes {
            let ((pk, sk), before) = item;
            if update.execute(params![json, size, pk, sk, before])? != 1 {
                return Ok(false);
            }
        }
    }
    transaction.commit()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use dynoxide::Database;
    use serde_json::{Value as Json, json};

    use super::super::Embedded;
    use super::*;

    /// A table with items 0 to 5 whose `n` is 0, or the same with an index by `n`.
    fn filled(has_index: bool) -> (Json, Json) {
        let mut table = json!({
            "TableName": "stuff",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            "KeySchema": [
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
        });
        if has_index {
            let attribute = json!({"AttributeName": "a", "AttributeType": "N"});
            let attributes = table["AttributeDefinitions"].as_array_mut();
            attributes.unwrap().push(attribute);
            table["GlobalSecondaryIndexes"] = json!([{
                "IndexName": "by-a",
                "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }]);
        }
        let item = |i: u32| {
            json!({"id": {"S": format!("i{i}")}, "at": {"N": format!("{i}.50")}, "n": {"N": "0"},
                "tags": {"SS": ["b", "a"]}})
        };
        let puts = (0..6).map(|i| json!({"PutRequest": {"Item": item(i)}}));
        (
            table,
            json!({"RequestItems": {"stuff": puts.collect::<Vec<_>>()}}),
        )
    }

    fn of<T: serde::de::DeserializeOwned>(request: &Json) -> T {
        serde_json::from_value(request.clone()).unwrap()
    }

    fn make(database: &Database) {
        let (_, items) = filled(false);
        database.batch_write_item(of(&items)).unwrap();
    }

    /// What the answer is, or how the request is refused.
    fn text<T: serde::Serialize>(answer: dynoxide::Result<T>) -> String {
        match answer {
            // With all names in order.
            Ok(answer) => serde_json::to_value(&answer).unwrap().to_string(),
            Err(error) => error.to_json(),
        }
    }

    fn batch(embedded: &Embedded, request: &Json) -> String {
        text(embedded.batch_execute_statement(of(request), || Ok(of(request))))
    }

    /// Every item, and every one in the index.
    fn all(database: &Database, has_index: bool) -> [String; 2] {
        let mut request = json!({"TableName": "stuff", "ReturnConsumedCapacity": "TOTAL"});
        let table = text(database.scan(of(&request)));
        if has_index {
            request["IndexName"] = json!("by-a");
        }
        [table, text(database.scan(of(&request)))]
    }

    /// A statement about these items with this change and condition, whose parameters stand before and behind the key.
    fn batch_of(items: &[u32], change: &str, condition: &str, before: Json, behind: Json) -> Json {
        let statements = items.iter().map(|i| {
            let key = json!([{"S": format!("i{i}")}, {"N": format!("{i}.5")}]);
            let parts = [&before, &key, &behind].map(|part| part.as_array().unwrap().clone());
            let text = format!(r#"{change} WHERE "id" = ? AND "at" = ?{condition}"#);
            json!({"Statement": text, "Parameters": parts.concat()})
        });
        json!({"Statements": statements.collect::<Vec<_>>(), "ReturnConsumedCapacity": "TOTAL"})
    }

    /// Whatever a batch is, its answer and what has become of the table are those that the database gives by itself.
    #[test]
    fn batches_are_answered_as_the_database_answers() {
        let folder = tempfile::tempdir().unwrap();
        let set = r#"UPDATE "stuff" SET "a" = ?"#;
        let lacks = r#" AND ("a" IS MISSING)"#;
        let one = || json!([{"N": "1"}]);
        let none = || json!([]);
        let mut twice = batch_of(&[0, 1], set, lacks, one(), none());
        twice["Statements"][1] = twice["Statements"][0].clone();
        let mut mixed = batch_of(&[3], set, "", one(), none());
        let insert = json!({"Statement": r#"INSERT INTO "stuff" VALUE {'id': 'x', 'at': 1}"#});
        mixed["Statements"].as_array_mut().unwrap().push(insert);
        let mut unread = batch_of(&[3, 4], set, "", one(), none());
        unread["Statements"][0]["Parameters"][1] = json!({"N": "no number"});
        let batches = [
            batch_of(&[0, 1], set, lacks, one(), none()),
            // The first two have it by now.
            batch_of(&[0, 1, 2], set, lacks, one(), none()),
            batch_of(&[3, 9], set, "", one(), none()),
            batch_of(
                &[4, 5],
                set,
                r#" AND "n" = ?"#,
                one(),
                json!([{"N": "0.0"}]),
            ),
            batch_of(&[4, 5], set, r#" AND "n" = ?"#, one(), json!([{"S": "?"}])),
            batch_of(
                &[3],
                r#"UPDATE "stuff" REMOVE "n" SET "w WHERE ?" = ?"#,
                "",
                one(),
                none(),
            ),
            batch_of(&[3], r#"UPDATE "stuff" SET "a" = 'x?'"#, "", none(), none()),
            batch_of(&[2], r#"UPDATE "stuff" SET "at" = ?"#, "", one(), none()),
            batch_of(&[1, 2], r#"SELECT * FROM "stuff""#, "", none(), none()),
            batch_of(&[1], r#"DELETE FROM "stuff""#, "", none(), none()),
            batch_of(&[2], set, " RETURNING ALL NEW *", one(), none()),
            batch_of(&[0], r#"UPDATE "none" SET "a" = ?"#, "", one(), none()),
            batch_of(&[], set, "", one(), none()),
            twice,
            mixed,
            unread,
        ];
        for has_index in [false, true] {
            let file = folder.path().join(format!("{has_index}.db"));
            for place in [None, Some(file.as_path())] {
                let plain = Database::memory().unwrap();
                let embedded = Embedded::open(place).unwrap();
                let (table, _) = filled(has_index);
                plain.create_table(of(&table)).unwrap();
                embedded.create_table(of(&table)).unwrap();
                make(&plain);
                embedded.call(make);
                for request in &batches {
                    let expected = text(plain.batch_execute_statement(of(request)));
                    assert_eq!(batch(&embedded, request), expected, "{request}");
                    assert_eq!(
                        embedded.call(|database| all(database, has_index)),
                        all(&plain, has_index),
                        "{request}"
                    );
                }
            }
        }
    }

    /// A batch that goes well is made on a stage, unless a write there is more than that of an item.
    #[test]
    fn a_batch_that_goes_well_is_made_on_a_stage() {
        for has_index in [false, true] {
            let embedded = Embedded::open(None).unwrap();
            let (table, _) = filled(has_index);
            embedded.create_table(of(&table)).unwrap();
            embedded.call(make);
            let request: BatchExecuteStatementRequest = of(&batch_of(
                &[0, 1],
                r#"UPDATE "stuff" SET "a" = ?"#,
                "",
                json!([{"N": "1"}]),
                json!([]),
            ));
            let made = embedded.shared.on_stage(request).unwrap();
            assert_eq!(made.is_none(), has_index);
        }
    }

    /// A table that is made anew with an index has its items in the index, whatever was remembered of the one before.
    #[test]
    fn a_stage_forgets_a_table_that_has_changed() {
        let embedded = Embedded::open(None).unwrap();
        let change = batch_of(
            &[0, 1],
            r#"UPDATE "stuff" SET "a" = ?"#,
            "",
            json!([{"N": "1"}]),
            json!([]),
        );
        for has_index in [false, true] {
            let (table, _) = filled(has_index);
            embedded.create_table(of(&table)).unwrap();
            embedded.call(make);
            batch(&embedded, &change);
            if has_index {
                let [_, index] = embedded.call(|database| all(database, true));
                assert!(index.contains(r#""Count":2"#), "{index}");
            }
            let drop = of(&json!({"TableName": "stuff"}));
            embedded
                .alter(|database| database.delete_table(drop))
                .unwrap();
        }
    }

    /// Batches of the same items at the same time: none of them is lost.
    #[test]
    fn no_update_is_lost_beside_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sandbox.db");
        for place in [None, Some(file.as_path())] {
            let embedded = Embedded::open(place).unwrap();
            let (table, _) = filled(false);
            embedded.create_table(of(&table)).unwrap();
            embedded.call(make);
            let count = r#"UPDATE "stuff" SET n = n + ?"#;
            let request = batch_of(&[0, 1, 2, 3], count, "", json!([{"N": "1"}]), json!([]));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..25).for_each(|_| drop(batch(&embedded, &request))));
                }
            });
            let [items, _] = embedded.call(|database| all(database, false));
            assert_eq!(items.matches(r#""n":{"N":"100"}"#).count(), 4, "{items}");
        }
    }
}
