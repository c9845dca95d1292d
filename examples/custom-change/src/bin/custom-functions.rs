//! Planner, worker, verifier and guard with this code: whichever of them Lambda has it as.

fn main() -> backfill_lambdas::Ended {
    backfill_lambdas::main_with(custom_change::register)
}
