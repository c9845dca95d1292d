//! Where this command is at work, for every summary: the region and the account of its tables.

use std::sync::OnceLock;

use backfill_dynamodb::Connection;
use serde::Serialize;

/// Region and account of the tables.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Place {
    /// Null for a database on this machine.
    region: Option<String>,
    /// Null for a database on this machine, and if the credentials do not tell it.
    account: Option<String>,
}

/// A process asks one service, at one place.
static HERE: OnceLock<Place> = OnceLock::new();

/// Says where the tables are. What is said first holds.
pub fn set(region: Option<String>, account: Option<String>) {
    let _ = HERE.set(Place { region, account });
}

/// What `--json` prints, with the place.
#[derive(Serialize)]
pub struct Placed<'a, T> {
    #[serde(flatten)]
    of: &'a T,
    #[serde(flatten)]
    place: Place,
}

/// This, with the place.
pub fn with<T>(of: &T) -> Placed<'_, T> {
    let place = HERE.get().cloned().unwrap_or_default();
    Placed { of, place }
}

/// "region eu-west-1, account 111122223333"; `None` for a database on this machine.
pub fn words() -> Option<String> {
    let Place { region, account } = HERE.get()?;
    let region = region.as_ref()?;
    Some(match account {
        Some(account) => format!("region {region}, account {account}"),
        None => format!("region {region}, account unknown"),
    })
}

/// Where a connection leads, for a sentence, with the account if it is known: "in region eu-west-1, account 111122223333".
pub fn of(connection: &Connection) -> String {
    let place = connection.place();
    match HERE.get().and_then(|here| here.account.as_ref()) {
        Some(account) => format!("{place}, account {account}"),
        None => place.to_owned(),
    }
}
