//! Mutexes that outlive a panic.

use std::sync::{Mutex, MutexGuard};

/// A case that panicked must not take the others with it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
