//! What a shard is told when it starts, and again when that changes: who the server is, what it
//! allows, whom it lets in.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{Accounts, Allowance, Places};
use crate::authorize::Permissions;
use crate::error::Violation;
use crate::ids::{AccountId, ClientId};
use crate::limits::{ASKS_MAX, Limits, TRIALS_MAX, WAITS_MAX};
use crate::transport::{Facts, Transports};
use crate::wire::connect::ConnectOptions;
use crate::wire::info::Info;
use crate::wire::secret::Secret;

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
    /// What stands between the bytes of a client's socket and those of the protocol, if anything.
    pub transports: Option<Arc<dyn Transports>>,
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

    /// What a client that connects now is to sign, if clients may prove who they are that way. No
    /// two clients are given the same, and nobody can tell the next.
    fn nonce(&self) -> Option<Nonce> {
        None
    }

    /// Whether this client may connect, and what it is then. What takes long belongs into
    /// [`Verdict::Later`].
    fn judge(&self, offer: &Offer<'_>) -> Verdict;

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

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        Verdict::Admitted(Box::default())
    }
}

/// What a client offers to be let in, and what else is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What it said in CONNECT, the last one or all that went before.
    pub connect: &'a ConnectOptions,
    /// What it was given to sign; empty if nothing.
    pub nonce: &'a [u8],
    /// Its number.
    pub client: ClientId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it speaks, and over what.
    pub kind: ConnectionKind,
    /// What its transport established, if it has one.
    pub secured: Option<&'a Arc<Facts>>,
    /// What was verified when it was let in, if it is judged again because other rules hold.
    pub proof: Option<&'a Proof>,
    /// Key of the proxy that vouched for it then.
    pub proxy: Option<&'a Arc<str>>,
}

impl<'a> Offer<'a> {
    /// Of a client of which nothing else is known.
    #[must_use]
    pub fn of(connect: &'a ConnectOptions) -> Self {
        let (client, address) = (ClientId::new(0), ([0, 0, 0, 0], 0).into());
        Self {
            connect,
            nonce: &[],
            client,
            address,
            kind: ConnectionKind::Standard,
            secured: None,
            proof: None,
            proxy: None,
        }
    }

    /// Its certificate in DER, if it has shown one that was verified.
    #[must_use]
    pub fn certificate(&self) -> Option<&'a [u8]> {
        self.secured.and_then(|facts| facts.certificate())
    }
}

/// What a connection speaks, and over what. A user may be bound to some of these.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConnectionKind {
    /// The client protocol, over TCP or TLS.
    Standard,
    /// The same, over WebSocket.
    Websocket,
    /// The protocol of leaf nodes.
    Leafnode,
    /// The same, over WebSocket.
    LeafnodeWebsocket,
    /// MQTT.
    Mqtt,
    /// The same, over WebSocket.
    MqttWebsocket,
    /// Any of these, from within the process.
    InProcess,
}

/// What a client signs to prove that it holds a key: printable text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nonce([u8; Self::BYTES]);

impl Nonce {
    /// Its length: that of 11 bytes in base64 without padding.
    pub const BYTES: usize = 15;

    /// This text.
    #[must_use]
    pub const fn new(text: [u8; Self::BYTES]) -> Self {
        Self(text)
    }

    /// What is signed.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As INFO has it.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What a judge says.
#[derive(Debug)]
pub enum Verdict {
    /// The client may connect, and is this.
    Admitted(Box<Grant>),
    /// It may not.
    Refused(Refusal),
    /// That takes longer than a shard may think: this finds out, on a thread of its own. Nothing
    /// that the client sends after its CONNECT is carried out before the answer is there.
    Later(Job),
}

impl Verdict {
    /// This grant, or none.
    #[must_use]
    pub fn of(grant: Option<Grant>) -> Self {
        Self::known(grant.ok_or(Refusal::Credentials))
    }

    /// What is known already.
    #[must_use]
    pub fn known(outcome: Outcome) -> Self {
        match outcome {
            Ok(grant) => Self::Admitted(Box::new(grant)),
            Err(why) => Self::Refused(why),
        }
    }

    /// What `find_out` will say, which takes so little of a core that it need not wait until nobody
    /// else wants one: some signatures. It must not wait for anything.
    pub fn soon(find_out: impl FnOnce() -> Option<Grant> + Send + 'static) -> Self {
        Self::begin(|| Self::of(find_out()))
    }

    /// The same, where it may turn out that something else has to be waited for.
    pub fn begin(find_out: impl FnOnce() -> Self + Send + 'static) -> Self {
        Self::Later(Job::new(|answer| answer.say(find_out())).lightly())
    }

    /// What `find_out` will say, which takes long.
    pub fn later(find_out: impl FnOnce() -> Option<Grant> + Send + 'static) -> Self {
        let job = Job::new(|answer| answer.give(find_out()));
        Self::Later(Job { effort: Effort::Hash, ..job })
    }

    /// What becomes of it by `judge`, which sees what this says and has the last word.
    #[must_use]
    pub fn then(self, judge: impl FnOnce(Outcome) -> Outcome + Send + 'static) -> Self {
        match self {
            Self::Admitted(grant) => Self::known(judge(Ok(*grant))),
            Self::Refused(why) => Self::known(judge(Err(why))),
            Self::Later(job) => Self::Later(job.then(judge)),
        }
    }

    /// The same, where `judge` may find that there is more to find out.
    #[must_use]
    pub fn and_then(self, judge: impl FnOnce(Outcome) -> Self + Send + 'static) -> Self {
        match self {
            Self::Admitted(grant) => judge(Ok(*grant)),
            Self::Refused(why) => judge(Err(why)),
            Self::Later(job) => {
                let effort = job.effort;
                let run = |answer: Answer| job.run(|verdict| answer.say(verdict.and_then(judge)));
                Self::Later(Job { run: Box::new(run), effort })
            }
        }
    }
}

/// What it takes to find out who a client is. How many clients of a shard are at each is bounded
/// for itself, so that no kind keeps another waiting.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// Much of a core: passwords.
    Hash,
    /// Little of a core.
    Signature,
    /// Nothing but time: somebody else is asked.
    Wait,
    /// The same, of a service in this account, and how long that may take is for whoever asks, not
    /// for the client's session.
    Ask(AccountId),
}

impl Effort {
    /// How many kinds there are.
    pub(crate) const KINDS: usize = 4;

    /// Which of them it is.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Hash => 0,
            Self::Signature => 1,
            Self::Wait => 2,
            Self::Ask(_) => 3,
        }
    }

    /// How many clients of a shard may be at it.
    #[must_use]
    pub const fn most(self) -> usize {
        match self {
            Self::Hash | Self::Signature => TRIALS_MAX,
            Self::Wait => WAITS_MAX,
            Self::Ask(_) => ASKS_MAX,
        }
    }
}

/// Why a client may not connect. It hears the same whatever it is; monitoring tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// What it offers is not enough.
    Credentials,
    /// It comes through a proxy that nobody trusts.
    ProxyNotTrusted,
    /// It does not come through a proxy, and has to.
    ProxyRequired,
}

impl Refusal {
    /// What its client hears, and why the connection ends.
    #[must_use]
    pub const fn violation(self) -> Violation {
        match self {
            Self::Credentials => Violation::Authorization,
            Self::ProxyNotTrusted => Violation::ProxyNotTrusted,
            Self::ProxyRequired => Violation::ProxyRequired,
        }
    }
}

/// What a client may be, or why it may not connect.
pub type Outcome = Result<Grant, Refusal>;

/// Finds out whether a client may connect. Run by a thread that has time, unless its client has
/// gone before its turn came.
pub struct Job {
    run: Box<dyn FnOnce(Answer) + Send>,
    effort: Effort,
}

impl Job {
    /// `run` is called once, and hands the answer to whoever will have it. It returns at once: the
    /// thread that runs it is there for others too.
    pub fn new(run: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self { run: Box::new(run), effort: Effort::Wait }
    }

    /// The same, where it takes a little of a core.
    #[must_use]
    pub fn lightly(self) -> Self {
        Self { effort: Effort::Signature, ..self }
    }

    /// The same, where a service in this account is asked. Whoever will have the answer sees to it
    /// that it comes in time: the client's time to authenticate runs no more.
    #[must_use]
    pub fn patiently(self, account: AccountId) -> Self {
        Self { effort: Effort::Ask(account), ..self }
    }

    /// What it takes.
    #[must_use]
    pub const fn effort(&self) -> Effort {
        self.effort
    }

    /// The same, with another answer: that of `judge`, which sees the first.
    #[must_use]
    pub fn then(self, judge: impl FnOnce(Outcome) -> Outcome + Send + 'static) -> Self {
        let effort = self.effort;
        let run = |answer: Answer| self.run(|verdict| answer.say(verdict.then(judge)));
        Self { run: Box::new(run), effort }
    }

    /// Runs it; the answer goes to `take`, from whatever thread has it.
    pub fn run(self, take: impl FnOnce(Verdict) + Send + 'static) {
        (self.run)(Answer(Some(Box::new(take))));
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// Where a [`Job`] says what it found out. One that is dropped refuses the client.
pub struct Answer(Option<Box<dyn FnOnce(Verdict) + Send>>);

impl Answer {
    /// What the client may be; `None` if it may not connect.
    pub fn give(self, grant: Option<Grant>) {
        self.say(Verdict::of(grant));
    }

    /// What the client may be, or why it may not connect.
    pub fn tell(self, outcome: Outcome) {
        self.say(Verdict::known(outcome));
    }

    /// The same, or that there is more to find out.
    pub fn say(mut self, verdict: Verdict) {
        if let Some(take) = self.0.take() {
            take(verdict);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(take) = self.0.take() {
            take(Verdict::Refused(Refusal::Credentials));
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

/// What a client has proved that costs much to prove: whose password this hash is of, whose key. A
/// judge that finds its own rules ask for the same need not ask again, however many clients a
/// change of other rules makes it judge.
#[derive(Clone, Debug)]
pub struct Proof(Arc<Secret>);

impl Proof {
    /// That it holds what belongs to `secret`.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        Self(Arc::new(secret.clone()))
    }

    /// Whether it is one of that.
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        *self.0 == *secret
    }
}

/// What a client that was let in stands on, where that may change while it is connected.
pub trait Standing: fmt::Debug + Send + Sync {
    /// Whether it still does. Asked on the shard: it must not block.
    fn review(&self) -> Review;
}

/// Whether a client may stay.
#[derive(Debug)]
pub enum Review {
    /// Nothing changed.
    Holds,
    /// It may, as something else in the same account.
    Changed(Box<Grant>),
    /// It may not, and is told why.
    Over(Violation),
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
    /// That is its name from now on, whatever it called itself.
    pub renamed: bool,
    /// Key of the trusted proxy through which it came.
    pub proxy: Option<Arc<str>>,
    /// What it proved, if that need not be proved again.
    pub proof: Option<Proof>,
    /// What it may do; `None` if it may do everything.
    pub permissions: Option<Arc<Permissions>>,
    /// How long it may stay; for ever if that is not said.
    pub stays: Option<Duration>,
    /// What it stands on, if that may change while it is connected.
    pub standing: Option<Arc<dyn Standing>>,
    /// What it may have, if that is less than others of its account.
    pub allowance: Allowance,
    /// How many clients its account may have, where the terms of the account do not say.
    pub places: Option<Places>,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            account: AccountId::GLOBAL,
            account_name: "$G".into(),
            user: None,
            renamed: false,
            proxy: None,
            proof: None,
            permissions: None,
            stays: None,
            standing: None,
            allowance: Allowance::default(),
            places: None,
        }
    }
}
