//! A doorbell: how a shard that goes to sleep is woken, and nobody pays while it is awake.
//!
//! The owner announces that it sleeps and then looks at its lanes once more; a sender publishes
//! and then looks for the announcement. Each side writes before it reads, and a sequentially
//! consistent fence stands between the two on either side. So at least one of them sees what the
//! other wrote: either the owner finds the work, or the sender finds the announcement.
//!
//! The flag is only ever exchanged, so its changes stand in one line, each behind the one that it
//! replaced: a sender that takes an old announcement back cannot take back the next one with it.
//!
//! How the owner is woken (an eventfd, a flag of the simulator) is the caller's business: this is
//! atomics only, so that loom can try every interleaving.

use super::sync::{AtomicBool, Ordering, fence};

/// Whether its owner sleeps. Has a pair of cache lines to itself: the owner writes it twice per
/// sleep, and senders only read it as long as the owner is awake.
#[repr(align(128))]
pub struct Doorbell {
    asleep: AtomicBool,
}

impl Doorbell {
    /// The doorbell of somebody who is awake.
    #[must_use]
    pub fn new() -> Self {
        Self { asleep: AtomicBool::new(false) }
    }

    /// The owner is about to sleep. It must look at everything it waits for once more after this,
    /// and sleep only if it finds nothing.
    pub fn announce_sleep(&self) {
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The owner does not sleep (any more). A wake-up that was already on its way may still
    /// arrive, and makes the next sleep a short one.
    pub fn awake(&self) {
        self.asleep.swap(false, Ordering::Relaxed);
    }

    /// To be called after something was published for the owner, once per batch. True if this
    /// caller must wake it: exactly one caller is told so per announcement.
    #[must_use = "if true, the owner sleeps until the caller wakes it"]
    #[inline]
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed)
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}
