//! The server as one who asks: its keys, what it says of itself, and who carries its questions.
//!
//! There is a desk before there are shards to carry anything: whoever asks too early waits for a
//! moment.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ringbus_shard::options::Answer;
use tracing::{debug, warn};

use super::caller::Caller;
use super::request;
use super::response::Received;
use crate::auth::accounts::Account;
use crate::auth::jwt::authorization::ServerId;
use crate::auth::nkey::{KeyPair, PublicKey, Role};
use crate::auth::xkey::CurveKey;

/// How long a question waits for the server to be ready.
const READY: Duration = Duration::from_secs(1);

/// Carries questions to whoever answers them.
pub trait Courier: Send + Sync {
    /// Sees to it that `question.then` is called once, within the time that it gives, by a thread
    /// that may think. Must not wait.
    fn carry(&self, question: Question);
}

/// A question under way.
pub struct Question {
    /// In which account it is asked.
    pub account: Account,
    /// What is said.
    pub payload: Vec<u8>,
    /// The value of the header with the public key of the server, if the question is sealed.
    pub xkey: Option<String>,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Whoever waits for it.
    pub then: Box<dyn FnOnce(Echo) + Send>,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("account", &self.account).finish_non_exhaustive()
    }
}

/// What came of a question.
#[derive(Debug)]
pub enum Echo {
    /// This answer.
    Answer(Vec<u8>),
    /// None in time.
    Late,
    /// It was not asked, and why.
    NotAsked(&'static str),
}

/// What signs and seals.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) signing: KeyPair,
    pub(super) xkey: CurveKey,
}

/// The server as one who asks.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) keys: Arc<Keys>,
    pub(super) server: ServerId,
    pub(super) patience: Duration,
    courier: Arc<dyn Courier>,
}

/// Where judges have questions asked. Clones are the same desk.
#[derive(Clone, Default)]
pub struct Desk(Arc<(Mutex<Option<Asker>>, Condvar)>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

/// What is asked about, and where.
pub(in crate::auth) struct Asked<'a> {
    pub(in crate::auth) account: &'a Account,
    /// Whom the claims of the question are about: the service.
    pub(in crate::auth) issuer: &'a str,
    /// Public key of the service, if the question is to be sealed.
    pub(in crate::auth) xkey: Option<&'a PublicKey>,
    pub(in crate::auth) caller: &'a Caller,
}

impl Desk {
    fn asker(&self) -> MutexGuard<'_, Option<Asker>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Questions can be asked from now on.
    pub fn open(
        &self,
        signing: KeyPair,
        xkey: CurveKey,
        server: ServerId,
        patience: Duration,
        courier: Arc<dyn Courier>,
    ) {
        let keys = Arc::new(Keys { signing, xkey });
        *self.asker() = Some(Asker { keys, server, patience, courier });
        self.0.1.notify_all();
    }

    /// The server says this of itself now, and waits that long.
    pub fn update(&self, server: ServerId, patience: Duration) {
        if let Some(asker) = self.asker().as_mut() {
            (asker.server, asker.patience) = (server, patience);
        }
    }

    /// The server as it is now; nothing if it is not ready.
    fn ready(&self) -> Option<Asker> {
        let waiting = |asker: &mut Option<Asker>| asker.is_none();
        let (asker, _) = self
            .0
            .1
            .wait_timeout_while(self.asker(), READY, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        asker.clone()
    }

    /// Asks, and lets `decide` tell `answer` what it makes of what comes back.
    pub(in crate::auth) fn ask(
        &self,
        asked: &Asked<'_>,
        answer: Answer,
        decide: impl FnOnce(Received<'_>, Answer) + Send + 'static,
    ) {
        let Some(asker) = self.ready() else { return };
        let Asked { account, issuer, xkey, caller } = *asked;
        let name = Arc::clone(&account.name);
        // Nobody has the other half: it makes this answer one to this question.
        let user = match KeyPair::generate(Role::User) {
            Ok(pair) => pair.public(),
            Err(why) => return warn!("Error sending authorization request: {why}"),
        };
        let written = request::write(&asker, caller, [issuer, &user], xkey);
        let request = match written {
            Ok(request) => request,
            Err(why) => {
                return warn!("Error encrypting auth request claim on account {name:?}: {why}");
            }
        };
        let (keys, server) = (Arc::clone(&asker.keys), asker.server.id.clone());
        let xkey = xkey.copied();
        let then = move |outcome| match outcome {
            Echo::Answer(payload) => {
                let received = Received {
                    payload: &payload,
                    user: &user,
                    server: &server,
                    account: &name,
                    sealed: xkey.as_ref().map(|xkey| (&keys.xkey, xkey)),
                };
                decide(received, answer);
            }
            Echo::Late => {
                debug!("Authorization callout response not received in time on account {name:?}");
            }
            Echo::NotAsked(why) => {
                warn!("Error sending authorization request on account {name:?}: {why}");
            }
        };
        asker.courier.carry(Question {
            account: account.clone(),
            payload: request.payload,
            xkey: request.xkey,
            patience: asker.patience,
            then: Box::new(then),
        });
    }
}
