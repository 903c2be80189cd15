//! What a shard is told when it starts, and again when that changes: who the server is, what it
//! allows, whom it lets in.

use std::sync::Arc;

use crate::account::Accounts;
use crate::ids::AccountId;
use crate::limits::Limits;
use crate::wire::connect::ConnectOptions;
use crate::wire::info::Info;

/// The same for every shard of a process.
#[derive(Clone)]
pub struct Options {
    /// INFO as every client gets it; what differs by connection is filled in on a copy.
    pub info: Info,
    /// Bounds.
    pub limits: Limits,
    /// Who may connect.
    pub authenticator: Arc<dyn Authenticator>,
    /// What holds in each subject space.
    pub accounts: Arc<Accounts>,
    /// Report every operation as an event. Costs an allocation per operation.
    pub trace: bool,
    /// Bytes of a payload that such an event shows.
    pub traced_payload_max: usize,
}

/// Decides who may connect. Asked on every CONNECT, on the shard: it must not block.
pub trait Authenticator: Send + Sync {
    /// Whether a client must say who it is before anything else.
    fn required(&self) -> bool;

    /// Whether the first INFO leaves it to the client: nothing is required, or a client that offers
    /// nothing is let in all the same.
    fn invites(&self) -> bool {
        !self.required()
    }

    /// What this client may be; `None` if it may not connect.
    fn judge(&self, connect: &ConnectOptions) -> Option<Grant>;

    /// Whether it has that user among others. Asked when a client that was let in by another judge
    /// is not let in by this one.
    fn knows(&self, _user: &str) -> bool {
        false
    }
}

/// Lets everybody in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl Authenticator for Open {
    fn required(&self) -> bool {
        false
    }

    fn judge(&self, _: &ConnectOptions) -> Option<Grant> {
        Some(Grant::default())
    }
}

/// What an authenticated client is.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its subject space.
    pub account: AccountId,
    /// The name of that, as INFO and logs show it.
    pub account_name: Arc<str>,
    /// Who it is, for logs.
    pub user: Option<Arc<str>>,
}

impl Default for Grant {
    fn default() -> Self {
        Self { account: AccountId::GLOBAL, account_name: "$G".into(), user: None }
    }
}
