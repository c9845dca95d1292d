//! A look at the table before a run. Reads only.

use backfill_core::change::Change;
use backfill_core::ports::PageRequest;
use backfill_core::survey::{
    IndexFacts, Plan, Rehearsal, SampledPage, Surroundings, SurveyAccess, TableFacts, Tried,
};
use backfill_core::table::{KeySchema, TableDescription};
use backfill_core::view::cost::Prices;
use backfill_core::{Item, Request, Result, Spec};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use backfill_rehearsal::trial;

use crate::drive::owner;

/// The plan of a run, by so many sampled pages.
pub async fn plan(
    request: &Request,
    description: &TableDescription,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    pages: u32,
) -> Result<Plan> {
    let table = Table {
        access: ReadOnly(connection.clone()),
        spec: &request.spec,
        keys: &description.keys,
    };
    let with = Surroundings {
        access: &table,
        checkpoints,
        rehearsal: &table,
        owner: &owner::this_process(),
        prices,
        pages,
    };
    Plan::make(request, description, &with).await
}

/// The table of a spec, and an embedded copy of it.
struct Table<'a> {
    access: ReadOnly,
    spec: &'a Spec,
    keys: &'a KeySchema,
}

impl SurveyAccess for Table<'_> {
    async fn facts(&self, table: &str, keys: &KeySchema) -> Result<TableFacts> {
        self.access.facts(table, keys).await
    }

    async fn sample_page(
        &self,
        _: &dyn Change,
        request: PageRequest<'_>,
        examples: usize,
    ) -> Result<SampledPage> {
        let (spec, keys) = (self.spec, self.keys);
        self.access.sample_page(spec, keys, request, examples).await
    }
}

impl Rehearsal for Table<'_> {
    fn try_change(
        &self,
        _: &dyn Change,
        indexes: &[IndexFacts],
        items: Vec<Item>,
    ) -> Result<Vec<Tried>> {
        trial::try_update(self.spec, self.keys, indexes, items)
    }
}
