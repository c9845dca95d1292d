//! The event source mapping of a guard function: found, and switched.

use std::time::Duration;

use backfill_core::guard::FoundMapping;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, ErrorKind, Result, printable};
use backfill_dynamodb::calls::{
    EventSourceMapping, found_mapping, function_name, get_event_source_mapping,
    get_function_environment, list_event_source_mappings, stack_of_guard,
    switch_event_source_mapping, unread,
};
use backfill_dynamodb::send::{LAMBDA, ProvideErrorMetadata as _, ReadSender, SdkError, Sender};
use backfill_dynamodb::{Connection, failure};
use tokio::time::{Instant, sleep};

use crate::show::print;

/// How long Lambda may take to switch a mapping: it says "several minutes" of changes (developer guide, How Lambda processes records
/// from stream and queue-based event sources).
const SWITCH_PATIENCE: Duration = Duration::from_secs(300);

/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The event source mapping between a stream and the guard function of this stack. Without one it is that of the only guard function,
/// for a guard that an earlier version has switched on.
///
/// Errors: those of Lambda; `InvalidInput` if nothing says where Lambda is, and, naming `stack-name`, if there are several guard
/// functions and nothing says whose is meant.
pub async fn find(
    stream_arn: &str,
    stack: Option<&str>,
    connection: &Connection,
) -> Result<Option<EventSourceMapping>> {
    let mut of_guards = of_guards(stream_arn, connection).await?;
    let Some(stack) = stack else {
        if of_guards.len() > 1 {
            let functions = of_guards
                .iter()
                .map(|mapping| function_name(&mapping.function_arn));
            let functions = functions.collect::<Vec<_>>().join(" and ");
            return Err(Error::invalid(
                "stack-name",
                format!(
                    "functions {functions} are connected to stream {stream_arn}, and the guard's record does not say which of them \
                     watches; name its stack"
                ),
            ));
        }
        return Ok(of_guards.pop());
    };
    let is_its =
        |mapping: &EventSourceMapping| stack_of_guard(&mapping.function_arn) == Some(stack);
    Ok(of_guards.into_iter().find(is_its))
}

/// The other stacks whose guard functions are connected to a stream, and not switched off.
///
/// Errors: those of [`find`].
pub async fn other_stacks(
    stream_arn: &str,
    stack: &str,
    connection: &Connection,
) -> Result<Vec<String>> {
    let of_guards = of_guards(stream_arn, connection).await?;
    let on = of_guards.iter().filter(|mapping| mapping.is_on());
    let others = on
        .filter_map(|mapping| stack_of_guard(&mapping.function_arn))
        .filter(|other| *other != stack);
    Ok(others.map(str::to_owned).collect())
}

/// The event source mappings between a stream and functions that are called as guard functions are.
async fn of_guards(stream_arn: &str, connection: &Connection) -> Result<Vec<EventSourceMapping>> {
    let lambda = ReadSender::from(&lambda(connection).await?);
    let what = format!("for the event source mappings of stream {stream_arn}");
    let mut mappings = asked(&what, || list_event_source_mappings(&lambda, stream_arn)).await?;
    mappings.retain(|mapping| stack_of_guard(&mapping.function_arn).is_some());
    Ok(mappings)
}

/// Where Lambda is asked.
///
/// Errors: `InvalidInput` if the tables are on this machine and nothing says where Lambda is.
pub async fn lambda(connection: &Connection) -> Result<Sender> {
    Sender::to(connection, LAMBDA).await?.ok_or_else(|| {
        Error::invalid(
            "endpoint-url",
            format!(
                "the tables are {}, where there is no Lambda; watch in a process, with backfill guard run",
                connection.place()
            ),
        )
    })
}

/// The event source mapping between a stream and the guard function of a stack.
///
/// Errors: `InvalidInput`, naming `stack-name`, if there is none, if it may pass over records, or if nobody reads of those that Lambda
/// gives up, with what to do; those of Lambda.
pub async fn of_stack(
    stack: &str,
    stream_arn: &str,
    connection: &Connection,
) -> Result<EventSourceMapping> {
    let found = find(stream_arn, Some(stack), connection).await?;
    let found = found.ok_or_else(|| {
        Error::invalid(
            "stack-name",
            format!(
                "no event source mapping connects function {stack}-guard to the table's stream {stream_arn}; deploy the stack with \
                 Guard=true and GuardStreamArn={stream_arn}"
            ),
        )
    })?;
    if let Some(drops) = found.drops() {
        let uuid = &found.uuid;
        let why = format!(
            "event source mapping {uuid} of function {stack}-guard may pass over records with nobody told: {drops}; set that back \
             with aws lambda update-event-source-mapping --uuid {uuid}, or, if it is the starting position, which stays as it was \
             made, deploy the stack with Guard=false, and then with Guard=true"
        );
        return Err(Error::invalid("stack-name", why));
    }
    let lambda = ReadSender::from(&lambda(connection).await?);
    let unread = asked("who reads of the records that it gives up", || {
        unread(&lambda, &found)
    });
    match unread.await? {
        Some(why) => Err(Error::invalid("stack-name", why)),
        None => Ok(found),
    }
}

/// What Lambda answers; asked again for as long as that may help.
async fn asked<T, F: Future<Output = std::result::Result<T, SdkError>>>(
    what: &str,
    ask: impl Fn() -> F,
) -> Result<T> {
    let doing = format!("asking Lambda {what}");
    let ask = || async { ask().await.map_err(|error| failure(&doing, error)) };
    retry(&Until::after(PATIENCE), ask).await
}

/// What a guard has to know of its mapping, and of what brings it word of the records that Lambda has given up.
///
/// Errors: those of Lambda.
pub async fn found(mapping: &EventSourceMapping, connection: &Connection) -> Result<FoundMapping> {
    let lambda = ReadSender::from(&lambda(connection).await?);
    asked("who reads of the records that it gives up", || {
        found_mapping(&lambda, mapping)
    })
    .await
}

/// A table that a function reads in place of another.
pub struct OtherTable {
    /// What the operator has named it by.
    pub field: &'static str,
    /// Which it is, for a person.
    pub why: String,
}

/// Whether the function of this mapping guards another table than the first of these, or looks for its guard in another checkpoint table
/// than the second: then it passes the records of this guard. `None` if it does not.
///
/// Errors: those of Lambda; `AccessDenied` also if Lambda does not tell the function's environment.
pub async fn other_tables(
    mapping: &EventSourceMapping,
    (table, checkpoints): (&str, &str),
    connection: &Connection,
) -> Result<Option<OtherTable>> {
    let function = function_name(&mapping.function_arn);
    let lambda = ReadSender::from(&lambda(connection).await?);
    let what = format!("for the environment of function {function}");
    let environment = asked(&what, || {
        get_function_environment(&lambda, &mapping.function_arn)
    });
    let environment = environment.await?.ok_or_else(|| {
        let why = format!("Lambda does not tell the environment of function {function}");
        Error::new(ErrorKind::AccessDenied, why)
    })?;
    let expected = [
        ("stack-name", "TABLE_NAME", table),
        ("checkpoint-table", "CHECKPOINT_TABLE", checkpoints),
    ];
    Ok(expected.into_iter().find_map(|(field, variable, expected)| {
        let is = environment.get(variable).map_or("", String::as_str);
        (is != expected).then(|| OtherTable {
            field,
            why: format!(
                "function {function} does not see the guard of table {table} in checkpoint table {checkpoints}: its {variable} is {:?}",
                printable(is)
            ),
        })
    }))
}

/// Refuses to switch on a function that reads other tables. Who may not see its environment is told so.
///
/// Errors: `InvalidInput`, naming `stack-name` or `checkpoint-table`; those of Lambda.
pub async fn refuse_other_tables(
    mapping: &EventSourceMapping,
    tables: (&str, &str),
    connection: &Connection,
) -> Result<()> {
    match other_tables(mapping, tables, connection).await {
        Ok(None) => Ok(()),
        Ok(Some(OtherTable { field, why })) => Err(Error::invalid(field, why)),
        Err(error) if error.kind() == ErrorKind::AccessDenied => {
            let (function, (table, checkpoints)) = (function_name(&mapping.function_arn), tables);
            say!(
                "warning: whether function {function} guards table {table} by checkpoint table {checkpoints} cannot be seen: {}",
                print::report(&error)
            );
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Switches a mapping on or off, and waits until it is.
///
/// Errors: those of Lambda; `Unavailable` if it is not switched after five minutes.
pub async fn switch(
    mapping: &EventSourceMapping,
    enabled: bool,
    connection: &Connection,
) -> Result<()> {
    let uuid = &mapping.uuid;
    let (doing, goal) = match enabled {
        true => (format!("enabling event source mapping {uuid}"), "Enabled"),
        false => (format!("disabling event source mapping {uuid}"), "Disabled"),
    };
    let lambda = lambda(connection).await?;
    let reader = ReadSender::from(&lambda);
    let deadline = Instant::now() + SWITCH_PATIENCE;
    let mut is_asked = false;
    loop {
        let look = asked("how the event source mapping is now", || {
            get_event_source_mapping(&reader, uuid)
        });
        let state = match look.await? {
            Some(now) if now.state == goal => return Ok(()),
            Some(now) => now.state,
            None => {
                let why = format!(
                    "{doing}: it is gone; deploy the stack with Guard=false, and then with Guard=true"
                );
                return Err(Error::invalid("stack-name", why));
            }
        };
        // While it changes, Lambda refuses another change.
        if !is_asked && matches!(state.as_str(), "Enabled" | "Disabled") {
            match switch_event_source_mapping(&lambda, uuid, enabled).await {
                Ok(_) => is_asked = true,
                Err(error) if error.code() == Some("ResourceInUseException") => {}
                Err(error) => return Err(failure(&doing, error)),
            }
        }
        if Instant::now() > deadline {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{doing}: it is {state} after {} s; see it with backfill guard status",
                    SWITCH_PATIENCE.as_secs()
                ),
            ));
        }
        sleep(LOOK_EVERY).await;
    }
}
