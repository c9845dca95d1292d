//! The table's name, typed once more before a table that is not on this machine is filled or dropped.

use std::io::{BufRead, IsTerminal as _};

use backfill_core::{Error, Result};
use backfill_dynamodb::Connection;
use clap::Args;

use crate::show::print;

/// For commands that need the table's name typed before they go on.
#[derive(Args)]
pub struct ConfirmArgs {
    /// The table's name once more, if it is not on this machine and nobody is there to type it.
    #[arg(long, value_name = "TABLE")]
    confirm: Option<String>,
}

impl ConfirmArgs {
    /// Goes on if the table is on this machine, or its name was given once more; asks for it on a terminal. Nothing has
    /// been sent before.
    ///
    /// Errors: `InvalidInput` if the name is missing or another.
    pub fn check(&self, doing: &str, table: &str, connection: &Connection) -> Result<()> {
        if connection.is_local() {
            return Ok(());
        }
        let place = connection.place();
        let given = match &self.confirm {
            Some(name) => name.clone(),
            None if std::io::stdin().is_terminal() => {
                print::ask(&format!(
                    "{doing} table {table} {place}; type its name to go on: "
                ));
                typed_line(std::io::stdin().lock())
            }
            None => {
                let why = format!(
                    "table {table} {place} is not on this machine; {doing} it needs --confirm {table}"
                );
                return Err(Error::invalid("confirm", why));
            }
        };
        if given == table {
            return Ok(());
        }
        let why = format!("{given:?} is not the table's name, {table}; nothing was done");
        Err(Error::invalid("confirm", why))
    }
}

/// What was typed, without the end of the line.
fn typed_line(mut from: impl BufRead) -> String {
    let mut line = String::new();
    // If nothing can be read, nothing was typed.
    let _ = from.read_line(&mut line);
    line.trim_end_matches(['\r', '\n']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::typed_line;

    #[test]
    fn a_typed_name_ends_with_its_line() {
        assert_eq!(typed_line(&b"orders\r\nmore"[..]), "orders");
        assert_eq!(typed_line(&b" orders"[..]), " orders");
        assert_eq!(typed_line(&b""[..]), "");
    }
}
