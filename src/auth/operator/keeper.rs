//! The thread that watches the clock: accounts whose claims hold no more, files whose time is over.
//!
//! It ends when nobody has the registry any more: after a reload there is another.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::registry::{Change, Known, Registry};
use super::resolver::{Mode, Resolver};
use crate::auth::jwt::claims::now;

/// The clock may be set meanwhile: it is looked at so often at least.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Starts to watch.
///
/// # Errors
/// If the system has no thread to give.
pub fn start(registry: &Arc<Registry>) -> io::Result<()> {
    let (wake, woken) = bounded(1);
    registry.wake_with(wake);
    let registry = Arc::downgrade(registry);
    thread::Builder::new().name("accounts".to_owned()).spawn(move || keep(&registry, &woken))?;
    Ok(())
}

fn keep(registry: &Weak<Registry>, woken: &Receiver<()>) {
    let mut over = HashMap::new();
    loop {
        let Some(rest) = registry.upgrade().map(|registry| look(&registry, &mut over)) else {
            return;
        };
        if woken.recv_timeout(rest) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// Does what is due, and says when to look again. `over` are the accounts of which that was told,
/// with the second since which it is so.
fn look(registry: &Registry, over: &mut HashMap<String, i64>) -> Duration {
    let now = now();
    let mut rest = LOOK_EVERY;
    if let Resolver::Directory(folder) = &**registry.resolver() {
        folder.expire(now);
        if let Mode::Cache(ttl) = folder.mode()
            && !ttl.is_zero()
        {
            rest = rest.min((ttl / 2).max(Duration::from_millis(500)));
        }
    }
    for known in registry.all() {
        let Known { account, claims, .. } = &*known;
        if claims.expires <= 0 {
            continue;
        }
        let left = u64::try_from(claims.expires - now).unwrap_or(0);
        if left > 0 {
            rest = rest.min(Duration::from_secs(left));
        } else if over.insert(claims.subject.clone(), claims.expires) != Some(claims.expires) {
            registry.publish();
            registry.tell(Change::Changed(account));
        }
    }
    // Tokens of imports.
    if registry.next_change().is_some_and(|next| next <= now) {
        registry.publish();
    }
    if let Some(next) = registry.next_change() {
        rest = rest.min(Duration::from_secs(u64::try_from(next - now).unwrap_or(0).max(1)));
    }
    rest
}
