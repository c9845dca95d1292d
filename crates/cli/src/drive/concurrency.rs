//! The concurrency that Lambda has for the workers of a stack. It is looked at, and what cannot be seen is said; no run is refused for
//! it.

use backfill_core::survey::{Concurrency, Fact, concurrency_warnings};
use backfill_core::{Request, Result};
use backfill_dynamodb::send::{LAMBDA, Sender};
use backfill_dynamodb::{CheckpointTable, Connection, failure};
use serde::Deserialize;

use crate::drive::executions::worker_of;
use crate::drive::records;
use crate::show::print;

/// Answer of GetAccountSettings, as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountSettings {
    account_limit: AccountLimit,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AccountLimit {
    concurrent_executions: u64,
    unreserved_concurrent_executions: u64,
}

/// Answer of GetFunctionConcurrency: empty if nothing is reserved for the function.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionConcurrency {
    reserved_concurrent_executions: Option<u64>,
}

/// The concurrency for the workers of the stack to which a state machine belongs, by the stack's name or the machine's ARN. `None` if
/// the tables are on this machine and nothing says where Lambda is.
pub async fn look(connection: &Connection, machine: &str) -> Option<Fact<Concurrency>> {
    match Sender::to(connection, LAMBDA).await {
        Ok(None) => None,
        Ok(Some(lambda)) => Some(match ask(&lambda, machine).await {
            Ok(concurrency) => Fact::Known(concurrency),
            Err(error) => Fact::Unknown(error.report()),
        }),
        Err(error) => Some(Fact::Unknown(error.report())),
    }
}

async fn ask(lambda: &Sender, machine: &str) -> Result<Concurrency> {
    let worker = worker_of(machine);
    let of_worker = format!("2019-09-30/functions/{worker}/concurrency");
    let (account, function) = tokio::join!(
        lambda.get::<AccountSettings>("2016-08-19/account-settings"),
        lambda.get::<FunctionConcurrency>(&of_worker),
    );
    let account =
        account.map_err(|error| failure("asking Lambda for the account's limits", error))?;
    let doing = format!("asking Lambda what is reserved for function {worker}");
    let function = function.map_err(|error| failure(&doing, error))?;
    Ok(Concurrency {
        account: account.account_limit.concurrent_executions,
        unreserved: account.account_limit.unreserved_concurrent_executions,
        reserved: function.reserved_concurrent_executions,
    })
}

/// Says on stderr if Lambda has too little concurrency for a run that nobody is asked about.
pub async fn warn(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    machine: &str,
) {
    let Some(concurrency) = look(connection, machine).await else {
        return;
    };
    // Whatever keeps it from being read, the start will say.
    let stored = records::stored(request, checkpoints).await.ok().flatten();
    let requested = request
        .settings
        .kept(stored.as_ref().map(|run| &run.settings));
    // Of a table of unknown size, which has as many segments at least.
    print::warnings(&concurrency_warnings(&concurrency, &requested.choose(0)));
}
