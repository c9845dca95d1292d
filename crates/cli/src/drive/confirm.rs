//! The question before the first write.

use std::io::IsTerminal as _;

use backfill_core::survey::{Concurrency, DEFAULT_PAGES, Fact};
use backfill_core::table::TableDescription;
use backfill_core::view::cost::Prices;
use backfill_core::{Error, ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection};

use crate::drive::survey;
use crate::place;
use crate::show::lines;
use crate::show::plan::Shown;
use crate::show::print;

/// Shows what a run of a table that is so described would do and asks for a yes. False if the operator does not give it.
/// `concurrency` is set if it is to be a deployed run.
///
/// Errors: `InvalidInput` if there is no terminal to ask on ([`require_terminal`]), or, if the update is to be rehearsed, if it left
/// copies pending; whatever the plan meets with.
pub async fn confirm(
    request: &Request,
    description: &TableDescription,
    is_rehearsed: bool,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    concurrency: Option<Fact<Concurrency>>,
) -> Result<bool> {
    require_terminal()?;
    let plan = survey::plan(
        request,
        description,
        connection,
        checkpoints,
        prices,
        DEFAULT_PAGES,
        concurrency,
    );
    let plan = plan.await?;
    if is_rehearsed {
        survey::refuse_in_vain(&request.spec, plan.tried.iter().chain(&plan.also_tried))?;
    }
    let shown = Shown {
        plan: &plan,
        place: &place::of(connection),
        prices,
        width: lines::width(print::is_terminal()),
    };
    print::say_coloured(&shown.essentials());
    print::ask(&format!(
        "Migrate table {}? Only \"yes\" goes on: ",
        request.spec.table
    ));
    let cannot = |error| Error::new(ErrorKind::Internal, "cannot ask").with_source(error);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(cannot)?;
    let yes = answer.trim() == "yes";
    if !yes {
        say!("nothing was touched");
    }
    Ok(yes)
}

/// Refuses to go on if nobody can be asked.
pub fn require_terminal() -> Result<()> {
    if std::io::stdin().is_terminal() && print::is_terminal() {
        return Ok(());
    }
    Err(Error::invalid(
        "yes",
        "there is no terminal to ask on; see what it would do with backfill plan and the same flags, then add --yes",
    ))
}
