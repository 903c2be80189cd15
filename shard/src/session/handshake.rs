//! INFO, CONNECT, and who the client is.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::account::Imports;
use crate::clock::Now;
use crate::engine::{Exchange, Sighting, TimerKind};
use crate::error::{CloseReason, Quoted, Violation};
use crate::event::{ClientLabel, Insecure, What};
use crate::ids::AccountId;
use crate::limits::Limits;
use crate::options::{Grant, Refusal};
use crate::transport::Facts;
use crate::wire::connect::ConnectOptions;
use crate::wire::encode;
use crate::wire::info::{Info, write_info};

use super::client::{ClientSession, Flow, Halt, Phase};
use super::judgement::Judged;

impl ClientSession {
    /// INFO. After a handshake that came first, it says that there had to be one.
    pub fn greet(&mut self, exchange: &mut Exchange, secured: bool) {
        let mut info = self.info(exchange);
        info.auth_required &= !exchange.options.authenticator.invites();
        self.nonce = exchange.options.authenticator.nonce();
        info.nonce = self.nonce.as_ref().map_or_else(String::new, |it| it.text().to_owned());
        info.tls_required |= secured;
        if self.awaits_proxy {
            // That of the proxy is nobody's business.
            info.client_ip.clear();
        }
        self.tell_info(exchange, &info);
    }

    /// It comes from there, says its proxy; without an address, it is the proxy that speaks.
    pub fn come_from(&mut self, source: Option<SocketAddr>) {
        self.awaits_proxy = false;
        if let Some(address) = source {
            self.peer.address = address;
            self.relabel();
        }
    }

    /// Its handshake is over.
    pub fn secure(&mut self, exchange: &mut Exchange, facts: Facts) {
        let facts = Arc::new(facts);
        self.report(exchange, What::Secured(Arc::clone(&facts)));
        self.secured = Some(facts);
    }

    /// Its handshake came to nothing. `said` is what the client is told, if it can be told at all.
    pub fn not_secured(
        &mut self,
        exchange: &mut Exchange,
        why: Insecure,
        said: Option<Violation>,
    ) -> Flow {
        self.report(exchange, What::Insecure(why));
        match said {
            Some(violation) => self.violated(exchange, violation),
            None => Flow::Close(CloseReason::Handshake),
        }
    }

    /// The clocks that run from the moment at which the client may speak.
    pub fn begin(&mut self, exchange: &mut Exchange, now: Now) {
        self.begun = true;
        let limits = &exchange.options.limits;
        let (authentication, ping) = (limits.auth_timeout, limits.ping_interval);
        if exchange.options.authenticator.required() {
            exchange.timers.arm(now.after(authentication), self.conn, TimerKind::Authentication);
        }
        self.look_in(exchange, now, ping);
    }

    fn info(&self, exchange: &Exchange) -> Info {
        let mut info = exchange.options.info.clone();
        info.client_id = self.peer.client.get();
        info.client_ip = self.peer.address.ip().to_string();
        let most = i32::try_from(self.parse_limits.payload).unwrap_or(i32::MAX);
        info.max_payload = info.max_payload.min(most);
        info
    }

    pub(super) fn tell_info(&self, exchange: &mut Exchange, info: &Info) {
        let mut out = Vec::with_capacity(512);
        write_info(info, &mut out);
        self.tell(exchange, &out);
    }

    /// The second INFO: what the client became.
    pub(super) fn introduce(&self, exchange: &mut Exchange) {
        let mut info = self.info(exchange);
        info.connect_info = true;
        info.remote_account = self.grant.account_name.to_string();
        info.account_is_system = self.grant.account == AccountId::SYSTEM;
        self.tell_info(exchange, &info);
    }

    /// Whether its client reads INFO at any time.
    #[must_use]
    pub fn can_move(&self) -> bool {
        self.phase == Phase::Connected && self.connect.protocol >= 1 && !self.internal
    }

    /// The server is about to stop taking clients: those that read INFO at any time are told.
    pub fn lame_duck(&self, exchange: &mut Exchange) {
        if self.can_move() {
            let mut info = self.info(exchange);
            info.lame_duck = true;
            // Addresses of this server would bring clients back; it knows of no others yet.
            info.connect_urls.clear();
            info.ws_connect_urls.clear();
            self.tell_info(exchange, &info);
        }
    }

    /// There is no room for this client.
    pub fn refuse(&mut self, exchange: &mut Exchange) -> Flow {
        self.violated(exchange, Violation::MaxConnections)
    }

    /// A client that must say who it is may begin with nothing else: its first byte decides. Where
    /// somebody who offers nothing is let in, this is how.
    #[inline]
    pub(super) fn enter_without_connect(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        bytes: &[u8],
    ) -> Option<Flow> {
        if self.phase != Phase::Greeted
            || matches!(bytes.first(), None | Some(b'C' | b'c'))
            || !exchange.options.authenticator.required()
        {
            return None;
        }
        if !self.subscriptions.is_empty() && !exchange.may_change_interest() {
            return Some(Flow::Retry(Halt::Control));
        }
        match self.judge(exchange) {
            Ok(Ok(grant)) => self.enter(exchange, now, *grant).err(),
            Ok(Err(why)) => {
                self.report(exchange, What::Refused(self.claim()));
                Some(self.violated(exchange, why.violation()))
            }
            Err(halt) => Some(Flow::Retry(halt)),
        }
    }

    pub(super) fn on_connect(&mut self, exchange: &mut Exchange, now: Now, json: &[u8]) -> Flow {
        if !self.subscriptions.is_empty() && !exchange.may_change_interest() {
            return Flow::Retry(Halt::Control);
        }
        // Absent keys keep what an earlier CONNECT said.
        if self.connect.apply(json).is_err() {
            return self.violated(exchange, Violation::Malformed);
        }
        let first = self.phase == Phase::Greeted;
        if !first {
            self.drop_subscriptions(exchange);
        }
        let judged = match self.connect.names_account() {
            true => Err(Refusal::Credentials),
            false => match self.judge(exchange) {
                Ok(judged) => judged,
                Err(halt) => return Flow::Retry(halt),
            },
        };
        let grant = match judged {
            Ok(grant) => grant,
            Err(why) => {
                self.report(exchange, What::Refused(self.claim()));
                // Whatever it was before, it goes as nobody.
                self.grant = Grant::default();
                return self.violated(exchange, why.violation());
            }
        };
        if let Err(flow) = self.enter(exchange, now, *grant) {
            return flow;
        }
        self.active = now;
        self.look_early(exchange, now);
        let headers = exchange.options.info.headers && self.connect.headers;
        self.parse_limits.headers = headers;
        if let Some(outlet) = exchange.outlets.get_mut(self.conn) {
            outlet.headers = headers;
            outlet.echo = self.connect.echo;
        }
        if !(0..=1).contains(&self.connect.protocol) {
            return self.violated(exchange, Violation::ClientProtocol);
        }
        if self.connect.no_responders && !headers {
            return self.violated(exchange, Violation::NoRespondersWithoutHeaders);
        }
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        Flow::Next
    }

    /// It is known from now on who the client is. Nothing comes along from another account, where
    /// it may have been while nobody had to say who he is.
    ///
    /// # Errors
    ///
    /// With what follows, if its account has no place for it.
    fn enter(&mut self, exchange: &mut Exchange, now: Now, grant: Grant) -> Result<(), Flow> {
        let moves = grant.account != self.grant.account;
        if moves {
            self.drop_subscriptions(exchange);
        }
        exchange.set_account(self.conn, grant.account);
        self.forget_replies(exchange);
        self.adopt(exchange, grant);
        self.take_terms(exchange);
        self.take_place(exchange)?;
        self.stay_until(exchange, now);
        let first = self.phase == Phase::Greeted;
        if first {
            self.phase = Phase::Connected;
            self.connected_in = Some(now.since(self.start));
            self.relabel();
        }
        if first || moves {
            let seen = Sighting::new(self, exchange.outlets.get(self.conn)).keep();
            self.report(exchange, What::Entered(Box::new(seen)));
        }
        Ok(())
    }

    /// What holds in its account, from now on.
    fn take_terms(&mut self, exchange: &mut Exchange) {
        let accounts = &exchange.options.accounts;
        self.mappings = accounts.mappings(self.grant.account).cloned();
        self.mapped.forget();
        let imports = accounts.imports(self.grant.account).cloned();
        let streams = |imports: &Option<Arc<Imports>>| {
            imports.as_ref().map_or_else(Vec::new, |imports| imports.streams.clone())
        };
        let others = streams(&self.imports) != streams(&imports);
        self.imports = imports;
        self.crossings.forget();
        if others {
            for id in self.subscriptions.values() {
                exchange.cast_shadows(*id);
            }
        }
    }

    /// Who it says it is, in the words of the reference.
    fn claim(&self) -> Option<String> {
        let ConnectOptions { nkey, user, auth_token, .. } = &*self.connect;
        if !nkey.is_empty() {
            return Some(format!("Nkey {}", Quoted(nkey.as_bytes())));
        }
        if !user.is_empty() {
            return Some(format!("User {}", Quoted(user.as_bytes())));
        }
        (!auth_token.is_empty()).then(|| "Token \"[REDACTED]\"".to_owned())
    }

    /// Names the client in logs by what it said of itself.
    fn relabel(&mut self) {
        let ConnectOptions { version, lang, name, .. } = &*self.connect;
        let mut said = String::new();
        if !version.is_empty() {
            said.push('v');
            said.push_str(version);
        }
        for part in [lang, name] {
            if !part.is_empty() {
                if !said.is_empty() {
                    said.push(':');
                }
                said.push_str(part);
            }
        }
        let mut details = String::new();
        if !said.is_empty() {
            details = Quoted(said.as_bytes()).to_string();
        }
        let ConnectOptions { nkey, user, auth_token, .. } = &*self.connect;
        let claimed = match (nkey, user, &self.grant.user) {
            (_, _, Some(user)) if self.grant.renamed => Some(format!("user:{user}")),
            (key, _, _) if !key.is_empty() => Some(format!("nkey:{key}")),
            (_, user, _) if !user.is_empty() => Some(format!("user:{user}")),
            (_, _, Some(user)) => Some(format!("user:{user}")),
            (_, _, None) => (!auth_token.is_empty()).then(|| "token".to_owned()),
        };
        if let Some(claimed) = claimed {
            let separator = if details.is_empty() { "" } else { " - " };
            let who = format!("{}/{claimed}", self.grant.account_name);
            let _ = write!(details, "{separator}{}", Quoted(who.as_bytes()));
        }
        self.label = Arc::new(ClientLabel { id: self.label.id, peer: self.peer.address, details });
    }

    /// Other options hold: bounds that are kept here are taken over, and the client is judged again
    /// if that is done in another way now.
    pub fn on_options(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        judged_anew: bool,
        pinged_sooner: bool,
    ) -> Flow {
        if self.internal {
            return Flow::Next;
        }
        let Limits { control_line, auth_timeout, ping_interval, .. } = exchange.options.limits;
        self.parse_limits.control_line = control_line;
        self.take_terms(exchange);
        if self.phase == Phase::Connected {
            if let Err(flow) = self.take_place(exchange) {
                return flow;
            }
        } else {
            self.take_allowance(exchange);
        }
        if !self.begun {
            // What it is to do, it begins with once its handshake is over.
            return Flow::Next;
        }
        if pinged_sooner {
            // Not all clients at once.
            let jitter = ping_interval.mul_f64(exchange.rng.f64() / 5.0);
            self.look_in(exchange, now, ping_interval + jitter);
        }
        if !judged_anew {
            return Flow::Next;
        }
        if self.phase == Phase::Greeted && exchange.options.authenticator.required() {
            if !self.subscriptions.is_empty() && !exchange.options.authenticator.invites() {
                // It came in without a word, and hears what is not for everybody any more.
                return self.violated(exchange, Violation::Authorization);
            }
            // CONNECT will decide; from now on there must be one.
            exchange.timers.arm(now.after(auth_timeout), self.conn, TimerKind::Authentication);
        }
        self.other_judge(exchange, now)
    }

    /// Something else holds in these accounts. What it remembers of where its messages go may lead
    /// through any of them.
    pub fn on_accounts(&mut self, exchange: &mut Exchange, changed: &HashSet<AccountId>) -> Flow {
        self.crossings.forget();
        if self.internal || !changed.contains(&self.grant.account) {
            return Flow::Next;
        }
        self.take_terms(exchange);
        if self.phase != Phase::Connected {
            self.take_allowance(exchange);
            return Flow::Next;
        }
        self.take_place(exchange).err().unwrap_or(Flow::Next)
    }

    /// What follows from a verdict about a client that is connected already.
    pub(super) fn stay(&mut self, exchange: &mut Exchange, now: Now, judged: Judged) -> Flow {
        let grant = match judged {
            Ok(grant) => grant,
            Err(Refusal::Credentials) if self.is_gone(exchange) => {
                return Flow::Close(CloseReason::ClientClosed);
            }
            Err(why) => {
                self.report(exchange, What::Refused(self.claim()));
                return self.violated(exchange, why.violation());
            }
        };
        if grant.account != self.grant.account {
            // It comes back, and finds itself where it belongs.
            return Flow::Close(CloseReason::ClientClosed);
        }
        self.adopt(exchange, *grant);
        if let Err(flow) = self.take_place(exchange) {
            return flow;
        }
        self.stay_until(exchange, now);
        self.relabel();
        Flow::Next
    }

    /// Whether its user is. Then it is let go without a word, as by the reference: its client comes
    /// back, and is refused then.
    fn is_gone(&self, exchange: &Exchange) -> bool {
        let ConnectOptions { nkey, user, .. } = &*self.connect;
        let user = [nkey.as_str(), user].into_iter().find(|name| !name.is_empty());
        let user = user.unwrap_or_else(|| self.grant.user.as_deref().unwrap_or(""));
        !user.is_empty() && !exchange.options.authenticator.knows(user)
    }

    /// Time is up for a client that had to say who it is.
    pub fn on_authentication_timer(&mut self, exchange: &mut Exchange) -> Flow {
        if self.phase == Phase::Greeted && !self.judgement.is_asked_for() {
            return self.violated(exchange, Violation::AuthTimeout);
        }
        Flow::Next
    }

    /// Input that is no operation.
    pub(super) fn fault(
        &mut self,
        exchange: &mut Exchange,
        bytes: &[u8],
        violation: Violation,
    ) -> Flow {
        self.report_input(exchange, bytes, &violation);
        match self.violated(exchange, violation) {
            Flow::Close(reason) => Flow::Close(reason),
            _ => Flow::Close(CloseReason::ProtocolViolation),
        }
    }
}
