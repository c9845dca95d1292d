//! Where this command is at work, for every summary: the region and the account of its tables.

use std::sync::OnceLock;

use backfill_dynamodb::Connection;
use serde::Serialize;

/// Region and account of the tables, or the database that is asked in their place.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Place {
    /// Null for a database on this machine.
    region: Option<String>,
    /// Null for a database on this machine, and if the credentials do not tell it.
    account: Option<String>,
    /// Null for AWS's own endpoint of the region.
    endpoint: Option<String>,
    /// For a person.
    #[serde(skip)]
    words: String,
}

/// A process asks one service, at one place.
static HERE: OnceLock<Place> = OnceLock::new();

/// Says where the tables are. What is said first holds.
pub async fn set(connection: &Connection) {
    let (region, endpoint) = (connection.region().to_owned(), connection.endpoint());
    let at = endpoint.as_ref().map(|url| format!("{url}, "));
    let mut place = Place {
        words: format!("{}region {region}", at.unwrap_or_default()),
        endpoint,
        ..Place::default()
    };
    if !connection.is_local() {
        place.account = connection.account().await;
        let account = place.account.as_deref().unwrap_or("unknown");
        place.words.push_str(&format!(", account {account}"));
        place.region = Some(region);
    }
    let _ = HERE.set(place);
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

/// "region eu-west-1, account 111122223333", "http://127.0.0.1:8000, region us-east-1"; `None` if nothing was asked.
pub fn words() -> Option<&'static str> {
    HERE.get().map(|here| here.words.as_str())
}

/// Where a connection leads, for a sentence, with the account if it is known: "in region eu-west-1, account 111122223333".
pub fn of(connection: &Connection) -> String {
    let place = connection.place();
    match HERE.get().and_then(|here| here.account.as_ref()) {
        Some(account) => format!("{place}, account {account}"),
        None => place.to_owned(),
    }
}
