//! A count that somebody has made beside all runs: it is kept on the record of the table's guard, so that the claim goes by it.

use crate::guard::settle::change;
use crate::ports::guard::GuardStore;
use crate::records::Proof;
use crate::{Result, Spec};

/// Keeps a count of what is pending for the change of `spec` on the record of its table's guard, unless that is of another change, or has
/// a count that began later. One that has found items is kept as well: it withdraws the claim.
///
/// Errors: those of the store; `Conflict` if others change the record again and again.
pub async fn keep_count<S: GuardStore>(store: &S, spec: &Spec, proof: &Proof) -> Result<()> {
    let fingerprint = spec.fingerprint();
    // Of the rest the claim needs nothing.
    let brief = proof.brief();
    let keep = change(store, &spec.table, |guard| {
        if guard.wants(&fingerprint, &brief) {
            guard.proof = Some(brief.clone());
        }
    });
    keep.await.map(drop)
}
