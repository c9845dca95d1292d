//! A table's guard, and what its claim is worth: for people and for programs.

use backfill_core::Key;
use backfill_core::clock::{now_ms, rfc3339};
use backfill_core::guard::Claim;
use backfill_core::records::{GuardFailed, GuardHour, GuardRecord, Loss, Proof, Watcher};
use indicatif::HumanCount;
use serde::Serialize;

use crate::show::words::{duration, items, time};

/// Hours with repairs that a person is shown, the latest.
const MOST_HOURS: usize = 12;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// A guard, as it was seen.
pub struct Guarded {
    pub guard: GuardRecord,
    pub claim: Claim,
    /// The last count for the change, by which the claim goes.
    pub proof: Option<Proof>,
    /// What it has done since it was switched on, and within 30 days, hour by hour.
    pub hours: Vec<GuardHour>,
    /// What is known of records that it has not seen.
    pub unseen: Unseen,
    /// What could not be looked at, and why.
    pub blind: Vec<String>,
}

/// What is known of the records that a guard has not seen.
#[derive(Debug, Default)]
pub struct Unseen {
    /// Age of the oldest one, in seconds: 0 if there is none; `None` if that cannot be told. Of a guard in Lambda it is what Lambda
    /// has handed over late within the last 15 minutes, and what it has given up.
    pub age_seconds: Option<f64>,
    /// What Lambda has given up, and nobody has settled yet, for a person; `None` if that is nothing.
    pub given_up: Option<String>,
    /// The same for a person, in parts of a sentence.
    pub says: Vec<String>,
}

impl Unseen {
    /// By the positions of the shards.
    pub fn of_shards(age_seconds: Option<f64>) -> Unseen {
        let old = age_seconds.filter(|age| *age > 0.0);
        let says = old.map(|age| {
            format!(
                "the oldest record that it has not seen is {} old",
                duration(age)
            )
        });
        Unseen {
            age_seconds,
            says: says.into_iter().collect(),
            ..Unseen::default()
        }
    }
}

impl Guarded {
    /// What it has done in all of these hours.
    pub fn total(&self) -> GuardHour {
        let mut total = GuardHour::default();
        for hour in &self.hours {
            total.add(hour);
        }
        total
    }
}

/// What every command that speaks of the claim says to a program.
#[derive(Debug, Default, Serialize)]
pub struct ClaimFields {
    /// Since when nothing that was written was missed, by RFC 3339; null if nobody watches, or there is no guard for this change.
    guarded_since: Option<String>,
    /// Whether a count of zero began since: *zero at T, and watched since*. False as well if something could not be looked at.
    guarded: bool,
    /// Items that the guard has repaired since it was switched on, at most of 30 days; null without a guard.
    repaired: Option<u64>,
    /// Age of the oldest record that the guard has not seen, in seconds; null without a guard, and if that cannot be told. Of a guard
    /// in Lambda it is the highest age at which Lambda has handed it a record within the last 15 minutes, or that of what Lambda has
    /// given up; null if there was none.
    iterator_age_seconds: Option<f64>,
    /// What could not be looked at: nobody knows whether it withdraws the claim.
    blind: Vec<String>,
}

impl ClaimFields {
    /// Of a guard, if there is one.
    pub fn of(guarded: Option<&Guarded>) -> ClaimFields {
        let guarded = guarded.filter(|guarded| guarded.claim != Claim::Unguarded);
        let Some(guarded) = guarded else {
            return ClaimFields::default();
        };
        ClaimFields {
            guarded_since: guarded.claim.guarded_since_ms().map(rfc3339),
            guarded: matches!(guarded.claim, Claim::Holds { .. }) && guarded.blind.is_empty(),
            repaired: Some(guarded.total().repaired),
            iterator_age_seconds: guarded.unseen.age_seconds,
            blind: guarded.blind.clone(),
        }
    }
}

/// The claim in a sentence, with what is known of records that are not seen yet; `None` if there is no guard for the change.
pub fn claim_text(guarded: &Guarded) -> Option<String> {
    let mut text = guarded.claim.sentence()?;
    for unseen in &guarded.unseen.says {
        text += &format!("; {unseen}");
    }
    for blind in &guarded.blind {
        text += &format!("; not looked at: {blind}");
    }
    Some(text)
}

/// What `guard status --json` prints.
#[derive(Serialize)]
pub struct Status {
    table: String,
    stream_arn: String,
    watcher: Watcher,
    /// The stack whose function watches; null if a process does, or if an earlier version has switched the guard on.
    stack: Option<String>,
    on: bool,
    /// Who has switched it on.
    by: String,
    /// Who has switched it off; null while it is on.
    off_by: Option<String>,
    #[serde(flatten)]
    claim: ClaimFields,
    /// The claim for a person.
    says: Option<String>,
    /// When the last count of zero was complete, milliseconds since 1970; null if there is none.
    zero_ms: Option<u64>,
    since_ms: u64,
    looked_ms: u64,
    /// Stream records seen since it was switched on, at most of 30 days.
    seen: u64,
    raced: u64,
    vanished: u64,
    failed: u64,
    /// Items that could not be repaired since the last count of zero began, some of them.
    failed_items: Vec<GuardFailed>,
    losses: Vec<Loss>,
    /// Hours in which somebody has written the old shape.
    hours: Vec<GuardHour>,
}

impl Status {
    pub fn of(guarded: &Guarded, failed_items: Vec<GuardFailed>) -> Status {
        let (guard, total) = (&guarded.guard, guarded.total());
        Status {
            table: guard.table().to_owned(),
            stream_arn: guard.stream_arn.clone(),
            watcher: guard.watcher,
            stack: guard.stack.clone(),
            on: guard.is_on(),
            by: guard.by.clone(),
            off_by: (!guard.is_on()).then(|| guard.last_by().to_owned()),
            claim: ClaimFields::of(Some(guarded)),
            says: claim_text(guarded),
            zero_ms: guarded
                .proof
                .as_ref()
                .filter(|proof| proof.remaining == 0)
                .map(|proof| proof.at_ms),
            since_ms: guard.since_ms,
            looked_ms: guard.looked_ms,
            seen: total.seen,
            raced: total.raced,
            vanished: total.vanished,
            failed: total.failed,
            failed_items,
            losses: guard.losses.clone(),
            hours: with_repairs(guarded).cloned().collect(),
        }
    }
}

/// Hours in which somebody has written the old shape.
fn with_repairs(guarded: &Guarded) -> impl DoubleEndedIterator<Item = &GuardHour> {
    let hours = guarded.hours.iter();
    hours.filter(|hour| hour.repaired + hour.raced + hour.vanished + hour.failed > 0)
}

fn counts(total: &GuardHour) -> String {
    format!(
        "{} records seen, {} repaired, {} raced, {} vanished, {} failed",
        HumanCount(total.seen),
        items(total.repaired),
        HumanCount(total.raced),
        HumanCount(total.vanished),
        HumanCount(total.failed)
    )
}

/// The state for people.
pub fn text(guarded: &Guarded, failed: &[GuardFailed]) -> String {
    let guard = &guarded.guard;
    let who = match guard.watcher {
        Watcher::Function => match &guard.stack {
            Some(stack) => format!("the guard function of stack {stack}"),
            None => "the guard function of a stack".to_owned(),
        },
        Watcher::Process => "backfill guard run".to_owned(),
    };
    let mut lines = vec![
        format!("guard on table {}", guard.table()),
        format!("  spec      {}", guard.spec.describe()),
        format!("  stream    {}, watched by {who}", guard.stream_arn),
        format!(
            "  on        since {}, by {}",
            time(guard.since_ms),
            guard.by
        ),
    ];
    lines.extend(claim_text(guarded).map(|claim| format!("  claim     {claim}")));
    let day_ago = now_ms().saturating_sub(DAY_MS);
    let mut of_day = GuardHour::default();
    for hour in guarded.hours.iter().filter(|hour| hour.start_ms >= day_ago) {
        of_day.add(hour);
    }
    lines.push(format!("  in all    {}", counts(&guarded.total())));
    lines.push(format!("  24 hours  {}", counts(&of_day)));
    let mut hours: Vec<&GuardHour> = with_repairs(guarded).rev().take(MOST_HOURS).collect();
    hours.reverse();
    if !hours.is_empty() {
        lines.push(
            "  who writes the old shape? A stream does not tell; when, and which items:".into(),
        );
    }
    for hour in hours {
        let samples = hour.samples.iter().map(Key::to_string);
        let samples = samples.collect::<Vec<_>>().join(", ");
        let such_as = match samples.is_empty() {
            true => String::new(),
            false => format!(", such as {samples}"),
        };
        let not = match hour.failed {
            0 => String::new(),
            failed => format!(", {} failed", HumanCount(failed)),
        };
        lines.push(format!(
            "    from {}  {} repaired{such_as}{not}",
            rfc3339(hour.start_ms),
            items(hour.repaired)
        ));
    }
    for loss in &guard.losses {
        lines.push(format!("  lost at {}: {}", rfc3339(loss.at_ms), loss.what));
    }
    for item in failed {
        lines.push(format!("  failed    {}: {}", item.key, item.reason));
    }
    lines.join("\n")
}

/// What `guard on --json` and `guard off --json` print.
#[derive(Serialize)]
pub struct Switched {
    table: String,
    stream_arn: String,
    on: bool,
    /// Since when it is on, or was; milliseconds since 1970.
    since_ms: u64,
    /// Since when it is off; null while it is on.
    off_ms: Option<u64>,
}

impl Switched {
    pub fn of(guard: &GuardRecord) -> Switched {
        Switched {
            table: guard.table().to_owned(),
            stream_arn: guard.stream_arn.clone(),
            on: guard.is_on(),
            since_ms: guard.since_ms,
            off_ms: guard.off_ms,
        }
    }

    /// That it is on, for a person. The count that the claim needs is kept in this checkpoint table.
    pub fn is_on(&self, stack: &str, checkpoint_table: &str) -> String {
        format!(
            "the guard of stack {stack} watches table {} since {}; verify the table now, so that the claim holds from then on: backfill \
             verify --table {} --checkpoint-table {checkpoint_table}, with the same change",
            self.table,
            time(self.since_ms),
            self.table
        )
    }

    /// That it is off, for a person.
    pub fn is_off(&self) -> String {
        let since = self.off_ms.unwrap_or(self.since_ms);
        format!(
            "the guard of table {} is off since {}: what is written in the old shape from then on stays",
            self.table,
            time(since)
        )
    }
}
