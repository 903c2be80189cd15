//! Verdicts that take their time, and what happens meanwhile.

use super::*;
use crate::ids::AccountId;
use crate::limits::{ASKS_MAX, ASKS_OF_ONE_MAX, TRIALS_MAX, WAITS_MAX};
use crate::options::{ConnectionKind, Effort, Job, Nonce, Proof};
use crate::session::Trial;
use crate::wire::secret::Secret;

/// Finds out later, and lets in whoever is not called `eve`. A password that was right once need
/// not be looked at again.
pub(super) struct Slow {
    required: bool,
    password: &'static str,
}

impl Authenticator for Slow {
    fn required(&self) -> bool {
        self.required
    }

    fn nonce(&self) -> Option<Nonce> {
        Some(Nonce::new(*b"fifteen-letters"))
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        assert_eq!((offer.nonce, offer.kind), (&b"fifteen-letters"[..], ConnectionKind::Standard));
        let secret = Secret::from(self.password.to_owned());
        let user = offer.connect.user.clone();
        let grant = Grant {
            user: Some(user.as_str().into()),
            proof: Some(Proof::of(&secret)),
            ..Grant::default()
        };
        if offer.proof.is_some_and(|proof| proof.is_of(&secret)) {
            return Verdict::of(Some(grant));
        }
        let right = offer.connect.pass == secret;
        Verdict::later(move || (right && user != "eve").then_some(grant))
    }

    fn knows(&self, _: &str) -> bool {
        true
    }
}

pub(super) fn slow(password: &'static str) -> Arc<Slow> {
    Arc::new(Slow { required: true, password })
}

fn scene() -> Scene {
    Scene::with(Limits::default(), slow("p"))
}

impl Scene {
    /// Says CONNECT with a password, and whatever follows.
    fn offers(&mut self, conn: ConnId, user: &str, pass: &str, more: &str) {
        self.says(
            conn,
            &format!(
                "CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{pass}\"}}\r\n{more}"
            ),
        );
    }

    fn trials(&mut self) -> Vec<Trial> {
        std::iter::from_fn(|| self.shard.take_trial()).collect()
    }

    /// Some thread finds out.
    fn finish(&mut self, trial: Trial) {
        let id = trial.id;
        let (tell, told) = std::sync::mpsc::channel();
        trial.run(move |verdict| tell.send(verdict).unwrap());
        self.shard.on_judged(self.now, id, told.recv().unwrap());
        self.shard.on_turn(self.now);
        self.shard.commit(&mut Vec::new());
    }

    pub(super) fn finish_all(&mut self) -> usize {
        let trials = self.trials();
        let count = trials.len();
        trials.into_iter().for_each(|trial| self.finish(trial));
        count
    }

    fn refused(&mut self, conn: ConnId) {
        assert_eq!(self.hears(conn), "-ERR 'Authorization Violation'\r\n");
        assert_eq!(self.ended(), [CloseReason::AuthenticationFailure]);
    }
}

#[test]
fn nothing_after_connect_is_carried_out_before_the_verdict() {
    let mut scene = scene();
    let watcher = scene.open();
    scene.offers(watcher, "ann", "p", "SUB a 1\r\n");
    scene.finish_all();
    let conn = scene.open();
    let info = scene.hears(conn);
    assert!(info.contains("\"nonce\":\"fifteen-letters\""), "{info}");
    scene.hears(watcher);
    scene.offers(conn, "bob", "p", "PUB a 2\r\nhi\r\nPI");
    scene.says(conn, "NG\r\n");
    assert_eq!((scene.hears(conn).as_str(), scene.hears(watcher).as_str()), ("", ""));
    assert_eq!(scene.shard.trials(), 1);
    assert_eq!(scene.finish_all(), 1);
    assert_eq!(scene.hears(conn), "PONG\r\n");
    assert_eq!(scene.hears(watcher), "MSG a 1 2\r\nhi\r\n");
    assert_eq!(scene.shard.trials(), 0);
    scene.says(conn, "PING\r\n");
    assert_eq!(scene.hears(conn), "PONG\r\n");
}

#[test]
fn who_is_refused_has_done_nothing() {
    let mut scene = scene();
    let watcher = scene.open();
    scene.offers(watcher, "ann", "p", "SUB a 1\r\n");
    scene.finish_all();
    scene.hears(watcher);
    for (user, pass) in [("bob", "x"), ("eve", "p")] {
        let conn = scene.open();
        scene.hears(conn);
        scene.offers(conn, user, pass, "PUB a 2\r\nhi\r\nPING\r\n");
        scene.finish_all();
        scene.refused(conn);
    }
    assert_eq!(scene.hears(watcher), "");
}

#[test]
fn the_time_to_authenticate_runs_while_the_verdict_is_awaited() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "PING\r\n");
    let trials = scene.trials();
    scene.wait(Duration::from_millis(2100));
    assert_eq!(scene.hears(conn), "-ERR 'Authentication Timeout'\r\n");
    assert_eq!(scene.ended(), [CloseReason::AuthenticationTimeout]);
    assert_eq!(scene.shard.trials(), 1, "it is still being found out");
    for trial in trials {
        scene.finish(trial);
    }
    assert_eq!(scene.hears(conn), "");
    assert_eq!(scene.shard.trials(), 0);
}

#[test]
fn a_client_that_has_gone_is_not_looked_into() {
    struct Asked;
    impl Authenticator for Asked {
        fn required(&self) -> bool {
            true
        }
        fn judge(&self, _: &Offer<'_>) -> Verdict {
            Verdict::later(|| panic!("nobody waits for this"))
        }
    }
    let mut scene = Scene::with(Limits::default(), Arc::new(Asked));
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "");
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ReadError);
    scene.wait(Duration::from_millis(2100));
    assert_eq!(scene.ended(), [CloseReason::AuthenticationTimeout]);
    scene.finish_all();
    // The same place, another client: the verdict of the first is nothing to it.
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "");
    let trials = scene.trials();
    scene.shard.on_shutdown(scene.now);
    trials.into_iter().for_each(|trial| scene.finish(trial));
    assert_eq!(scene.ended(), [CloseReason::ServerShutdown]);
}

#[test]
fn a_publisher_may_leave_at_once_and_is_heard_if_it_is_let_in() {
    let mut scene = scene();
    let watcher = scene.open();
    scene.offers(watcher, "ann", "p", "SUB a 1\r\n");
    scene.finish_all();
    scene.hears(watcher);
    for (pass, heard) in [("p", "MSG a 1 2\r\nhi\r\n"), ("x", "")] {
        let conn = scene.open();
        scene.offers(conn, "bob", pass, "PUB a 2\r\nhi\r\n");
        scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
        scene.finish_all();
        assert_eq!(scene.hears(watcher), heard);
        assert_eq!(scene.ended().len(), 1);
    }
}

#[test]
fn a_verdict_of_the_old_judge_does_not_count() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "PING\r\n");
    let old = scene.trials();
    scene.change(|options| options.authenticator = slow("q"));
    old.into_iter().for_each(|trial| scene.finish(trial));
    assert_eq!(scene.hears(conn), "", "the new one has not said anything yet");
    assert_eq!(scene.finish_all(), 1);
    scene.refused(conn);

    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "q", "PING\r\n");
    let old = scene.trials();
    scene.change(|options| options.authenticator = Arc::new(Open));
    assert_eq!(scene.hears(conn), "PONG\r\n", "nobody has to wait any more");
    old.into_iter().for_each(|trial| scene.finish(trial));
    assert_eq!(scene.hears(conn), "");
    assert!(scene.ended().is_empty());
}

#[test]
fn who_is_judged_again_waits_where_it_is() {
    let mut scene = scene();
    let [stays, goes] = ["p", "p"].map(|pass| {
        let conn = scene.open();
        scene.offers(conn, "ann", pass, "SUB a 1\r\n");
        scene.finish_all();
        scene.hears(conn);
        conn
    });
    scene.change(|options| options.authenticator = slow("p"));
    assert_eq!(scene.finish_all(), 0, "what was proved stays proved");
    scene.says(stays, "PUB a 2\r\nhi\r\n");
    assert_eq!(scene.hears(stays), "MSG a 1 2\r\nhi\r\n");
    assert_eq!(scene.hears(goes), "MSG a 1 2\r\nhi\r\n");

    // The next judge wants to know again.
    scene.change(|options| options.authenticator = slow("q"));
    scene.says(stays, "PUB a 2\r\nho\r\n");
    assert_eq!(scene.hears(goes), "", "{stays:?} waits");
    let old = scene.trials();
    assert_eq!(old.len(), 2);
    scene.change(|options| options.authenticator = slow("p"));
    assert_eq!(scene.hears(goes), "MSG a 1 2\r\nho\r\n", "this one knows");
    old.into_iter().for_each(|trial| scene.finish(trial));
    assert!(scene.ended().is_empty(), "what the one before finds out is nothing");

    scene.change(|options| options.authenticator = slow("q"));
    scene.says(goes, "PUB a 2\r\nno\r\n");
    scene.finish_all();
    assert!(scene.hears(goes).ends_with("-ERR 'Authorization Violation'\r\n"));
    assert!(!scene.hears(stays).contains("no"));
    assert_eq!(scene.ended(), [CloseReason::AuthenticationFailure; 2]);
}

#[test]
fn a_second_connect_is_judged_like_the_first() {
    let mut scene = scene();
    let conn = scene.open();
    scene.offers(conn, "ann", "p", "SUB a 1\r\n");
    scene.finish_all();
    scene.hears(conn);
    scene.offers(conn, "ann", "x", "PING\r\n");
    assert_eq!(scene.hears(conn), "");
    let old = scene.trials();
    // A password that was right before does not help an offer that is wrong.
    scene.change(|options| options.authenticator = slow("p"));
    old.into_iter().for_each(|trial| scene.finish(trial));
    assert_eq!(scene.finish_all(), 1);
    scene.refused(conn);
}

#[test]
fn two_connects_in_one_piece_are_judged_one_after_the_other() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    let second = "CONNECT {\"user\":\"bob\"}\r\nPING\r\n";
    scene.offers(conn, "ann", "p", second);
    assert_eq!(scene.finish_all(), 1);
    assert_eq!(scene.hears(conn), "");
    assert_eq!(scene.finish_all(), 1);
    assert!(scene.hears(conn).starts_with("PONG\r\n"));
    assert_eq!(scene.shard.sighting(conn).unwrap().user(), Some("bob"));
}

#[test]
fn who_begins_without_connect_waits_too() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    scene.says(conn, "PI");
    assert_eq!(scene.shard.trials(), 1);
    scene.says(conn, "NG\r\n");
    scene.finish_all();
    scene.refused(conn);
}

#[test]
fn a_lame_duck_and_a_kick_find_those_that_wait() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "");
    scene.shard.on_lame_duck();
    assert_eq!(scene.hears(conn), "", "it is nobody yet");
    scene.shard.on_shed(scene.now, 1);
    assert_eq!(scene.ended(), [CloseReason::ServerShutdown]);
    scene.finish_all();
    assert_eq!(scene.shard.trials(), 0);
}

#[test]
fn trials_have_a_bound_and_everybody_gets_a_turn() {
    let mut scene = scene();
    let count = TRIALS_MAX + 50;
    let conns: Vec<ConnId> = (0..count)
        .map(|_| {
            let conn = scene.open();
            scene.hears(conn);
            scene.offers(conn, "ann", "p", "PING\r\n");
            conn
        })
        .collect();
    assert_eq!(scene.shard.trials(), TRIALS_MAX);
    let first = scene.trials();
    assert_eq!(first.len(), TRIALS_MAX);
    first.into_iter().for_each(|trial| scene.finish(trial));
    assert_eq!(scene.finish_all(), 50);
    for conn in conns {
        assert_eq!(scene.hears(conn), "PONG\r\n");
    }
    // The same for those that are judged again.
    scene.change(|options| options.authenticator = slow("q"));
    assert_eq!(scene.shard.trials(), TRIALS_MAX);
    while scene.finish_all() > 0 {}
    assert_eq!(scene.ended().len(), count);
}

/// Whoever is called `sign` signs, `wait` has somebody asked after it signed, `ask` and a number
/// the service in that account; all others have a password.
struct Kinds;

impl Authenticator for Kinds {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let grant = || Some(Grant::default());
        match offer.connect.user.as_str() {
            "sign" => Verdict::soon(grant),
            "wait" => {
                Verdict::begin(move || Verdict::Later(Job::new(move |answer| answer.give(grant()))))
            }
            user if user.starts_with("ask") => {
                let account = AccountId::new(user["ask".len()..].parse().unwrap_or(0));
                Verdict::begin(move || {
                    Verdict::Later(Job::new(move |answer| answer.give(grant())).patiently(account))
                })
            }
            _ => Verdict::later(grant),
        }
    }
}

impl Scene {
    fn newcomer(&mut self, user: &str) -> ConnId {
        let conn = self.open();
        self.hears(conn);
        self.offers(conn, user, "", "PING\r\n");
        conn
    }

    /// Carries out what there is of one kind.
    fn finish_kind(&mut self, effort: Effort, held: &mut Vec<Trial>) {
        held.extend(self.trials());
        let (now, later) = held.drain(..).partition(|trial| trial.id.effort == effort);
        *held = later;
        let now: Vec<Trial> = now;
        now.into_iter().for_each(|trial| self.finish(trial));
        held.extend(self.trials());
    }
}

#[test]
fn passwords_and_questions_to_others_do_not_keep_signatures_waiting() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Kinds));
    let mut held = Vec::new();
    for _ in 0..TRIALS_MAX + 1 {
        scene.newcomer("ann");
    }
    for _ in 0..WAITS_MAX + 2 {
        scene.newcomer("wait");
        scene.finish_kind(Effort::Signature, &mut held);
    }
    assert_eq!(scene.shard.trials(), TRIALS_MAX + WAITS_MAX);
    assert_eq!(held.len(), scene.shard.trials());
    let conn = scene.newcomer("sign");
    scene.finish_kind(Effort::Signature, &mut held);
    assert_eq!(scene.hears(conn), "PONG\r\n");
    // Whoever found no room to wait does so when there is some, and does not sign again.
    scene.finish_kind(Effort::Wait, &mut held);
    assert_eq!(held.iter().filter(|trial| trial.id.effort == Effort::Wait).count(), 2);
    for effort in [Effort::Wait, Effort::Hash, Effort::Hash] {
        scene.finish_kind(effort, &mut held);
    }
    assert_eq!((scene.shard.trials(), held.len()), (0, 0));
    assert_eq!(scene.ended(), []);
}

#[test]
fn whoever_asks_a_service_has_the_time_that_it_gives() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Kinds));
    let [asked, waits, silent] = ["ask", "wait", ""].map(|user| match user {
        "" => {
            let conn = scene.open();
            scene.hears(conn);
            conn
        }
        user => scene.newcomer(user),
    });
    let mut held = Vec::new();
    scene.finish_kind(Effort::Signature, &mut held);
    scene.wait(Duration::from_millis(2100));
    for conn in [waits, silent] {
        assert_eq!(scene.hears(conn), "-ERR 'Authentication Timeout'\r\n");
    }
    assert_eq!(scene.hears(asked), "");
    scene.finish_kind(Effort::Ask(AccountId::GLOBAL), &mut held);
    assert_eq!(scene.hears(asked), "PONG\r\n");
}

#[test]
fn services_that_hang_leave_room_for_another() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Kinds));
    let mut held = Vec::new();
    let mut conns = Vec::new();
    let hanging = [1, 2, 3].map(|account| Effort::Ask(AccountId::new(account)));
    let count = |held: &[Trial], effort| held.iter().filter(|it| it.id.effort == effort).count();
    for (effort, user) in hanging.into_iter().zip(["ask1", "ask2", "ask3"]) {
        for number in 0..ASKS_OF_ONE_MAX + 5 {
            conns.push(scene.newcomer(user));
            if number % TRIALS_MAX == 0 {
                scene.finish_kind(Effort::Signature, &mut held);
            }
        }
        scene.finish_kind(Effort::Signature, &mut held);
        assert!(count(&held, effort) > ASKS_MAX / 16);
    }
    assert_eq!(count(&held, hanging[0]), ASKS_OF_ONE_MAX);
    assert!(scene.shard.trials() < ASKS_MAX);
    // As long as they hang.
    let conn = scene.newcomer("ask4");
    scene.finish_kind(Effort::Signature, &mut held);
    scene.finish_kind(Effort::Ask(AccountId::new(4)), &mut held);
    assert_eq!(scene.hears(conn), "PONG\r\n");
    // A place that is free is for each account in its turn; nobody signs again, everybody comes in.
    while !held.is_empty() {
        for effort in hanging {
            scene.finish_kind(effort, &mut held);
            assert_eq!(count(&held, Effort::Signature), 0);
        }
    }
    assert_eq!(scene.shard.trials(), 0);
    for conn in conns {
        assert_eq!(scene.hears(conn), "PONG\r\n");
    }
}

#[test]
fn who_waits_to_be_judged_again_goes_on_afterwards() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Kinds));
    let conns: Vec<ConnId> = (0..TRIALS_MAX + 5).map(|_| scene.newcomer("ann")).collect();
    while scene.finish_all() > 0 {}
    for &conn in &conns {
        assert_eq!(scene.hears(conn), "PONG\r\n");
    }
    scene.change(|options| options.authenticator = Arc::new(Kinds));
    for &conn in &conns {
        scene.says(conn, "PING\r\n");
        assert_eq!(scene.hears(conn), "");
    }
    while scene.finish_all() > 0 {}
    for conn in conns {
        assert_eq!(scene.hears(conn), "PONG\r\n");
    }
}

#[test]
fn an_answer_may_be_that_there_is_more_to_find_out() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Kinds));
    let conn = scene.newcomer("wait");
    for effort in [Effort::Signature, Effort::Wait] {
        assert_eq!(scene.hears(conn), "");
        let mut trials = scene.trials();
        assert_eq!((trials.len(), trials[0].id.effort), (1, effort));
        trials.drain(..).for_each(|trial| scene.finish(trial));
    }
    assert_eq!(scene.hears(conn), "PONG\r\n");
    // Who has gone meanwhile asks nobody else.
    let conn = scene.newcomer("wait");
    let mut trials = scene.trials();
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ReadError);
    scene.wait(Duration::from_millis(2100));
    trials.drain(..).for_each(|trial| scene.finish(trial));
    assert_eq!((scene.trials().len(), scene.shard.trials()), (0, 0));
}

#[test]
fn what_an_unknown_client_sends_is_bounded() {
    let mut scene = scene();
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "");
    assert_eq!(scene.commands(), []);
    scene.says(conn, &"PING\r\n".repeat(crate::limits::UNJUDGED_BYTES / 6 + 1));
    assert_eq!(scene.commands(), [Command::Pause(conn)]);
    scene.finish_all();
    assert_eq!(scene.commands(), [Command::Resume(conn)]);
    assert!(scene.hears(conn).ends_with("PONG\r\n"));

    let conn = scene.open();
    scene.hears(conn);
    scene.says(conn, &format!("CONNECT {{{}", " ".repeat(5000)));
    assert_eq!(scene.hears(conn), "-ERR 'maximum control line exceeded'\r\n");
}

#[test]
fn an_answer_that_is_lost_refuses() {
    struct Lost;
    impl Authenticator for Lost {
        fn required(&self) -> bool {
            true
        }
        fn judge(&self, _: &Offer<'_>) -> Verdict {
            Verdict::Later(Job::new(drop))
        }
    }
    let mut scene = Scene::with(Limits::default(), Arc::new(Lost));
    let conn = scene.open();
    scene.hears(conn);
    scene.offers(conn, "ann", "p", "");
    scene.finish_all();
    scene.refused(conn);
}
