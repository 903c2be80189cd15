//! Logins against accounts that a server of claims has.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use ringbus_shard::options::{ConnectionKind, Effort, Grant};
use ringbus_shard::wire::connect::ConnectOptions;

use super::lookup::FLIGHTS_MAX;
use super::resolver::{Delete, Directory, Mode, Remote, Resolver};
use super::*;
use crate::auth::accounts::{Accounts, SYSTEM};
use crate::auth::jwt::AccountClaims;
use crate::auth::jwt::key::{KeyPair, Role};

const NONCE: &[u8] = b"fifteen-letters";

fn key(role: Role, byte: u8) -> KeyPair {
    KeyPair::new(role, &[byte; 32])
}

fn account(byte: u8) -> KeyPair {
    key(Role::Account, byte)
}

/// Claims about an account, in which `fill` may say more.
fn claims(byte: u8, fill: impl FnOnce(&mut AccountClaims)) -> String {
    let mut claims = AccountClaims::new(&account(byte).public());
    fill(&mut claims);
    claims.sign_at(&key(Role::Operator, 1), now())
}

fn registry(resolver: Resolver) -> Arc<Registry> {
    let trusted = HashSet::from([key(Role::Operator, 1).public()]);
    let rules = Rules { trusted, ..Rules::default() };
    Arc::new(Registry::new(rules, Arc::new(resolver), &Accounts::new(SYSTEM)))
}

fn operators(registry: &Arc<Registry>) -> Arc<Operators> {
    Arc::new(Operators::new(Arc::clone(registry), None, Secret::default(), Desk::default()))
}

/// What a user of an account offers that signs with `signer`.
fn offer(account: &KeyPair, signer: &KeyPair) -> Facts {
    let user = key(Role::User, 7);
    let jwt = UserClaims::new(&user.public()).sign_at(account, now());
    Facts {
        jwt: jwt.into(),
        signature: BASE64URL_NOPAD.encode(&signer.sign(NONCE)).into(),
        nonce: NONCE.to_vec(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        kind: ConnectionKind::Standard,
        proof: None,
        proxy: None,
        shown: String::new(),
        caller: Caller::new(&Offer::of(&ConnectOptions::default()), None, None, false),
    }
}

fn good_offer(byte: u8) -> Facts {
    offer(&account(byte), &key(Role::User, 7))
}

/// The end of all that has to be found out.
fn settled(verdict: Verdict) -> mpsc::Receiver<Option<Grant>> {
    let (tell, told) = mpsc::channel();
    match verdict {
        Verdict::Admitted(grant) => tell.send(Some(*grant)).unwrap(),
        Verdict::Refused(_) => tell.send(None).unwrap(),
        Verdict::Later(job) => {
            assert_eq!(job.effort(), Effort::Wait, "no judge waits for an account");
            job.run(move |verdict| {
                // Nobody may look any more.
                let _ = tell.send(settled(verdict).recv().unwrap());
            });
        }
    }
    told
}

fn is_later(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Later(_))
}

/// A server of claims that hands each connection to whoever plays it.
fn server() -> (TcpListener, Resolver) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, Resolver::Url(Remote::parse(&url).unwrap()))
}

/// Answers the next question.
fn answer(listener: &TcpListener, text: &str) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut question = [0; 1024];
    assert!(stream.read(&mut question).unwrap() > 0);
    stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).unwrap();
}

#[test]
fn nothing_is_fetched_for_those_who_prove_nothing() {
    let (listener, resolver) = server();
    listener.set_nonblocking(true).unwrap();
    let registry = registry(resolver);
    let operators = operators(&registry);
    // Somebody else signed the nonce, nobody did, or the claims name who did not sign them.
    let wrong = offer(&account(1), &key(Role::User, 8));
    let none = Facts { signature: Secret::default(), ..good_offer(1) };
    let mut forged = good_offer(1);
    let text = UserClaims::new(&key(Role::User, 7).public()).sign_at(&account(2), now());
    let real = forged.jwt.expose().to_owned();
    let (body, signature) = (real.rsplit_once('.').unwrap().0, text.rsplit_once('.').unwrap().1);
    forged.jwt = format!("{body}.{signature}").into();
    for facts in [wrong, none, forged] {
        assert!(matches!(operators.judge(facts), Verdict::Refused(_)));
    }
    assert!(listener.accept().is_err(), "the server was asked");
    // A role may need no signature; what it is only the account knows.
    let mut user = UserClaims::new(&key(Role::User, 7).public());
    user.body.issuer_account = account(1).public();
    let jwt = user.sign_at(&account(3), now()).into();
    let role = Facts { jwt, signature: Secret::default(), ..good_offer(1) };
    assert!(is_later(&operators.judge(role)));
}

#[test]
fn a_slow_server_keeps_nobody_waiting_who_is_known() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    registry.start().unwrap();
    registry.update(&account(1).public(), &claims(1, |_| {})).unwrap();
    let operators = operators(&registry);
    // Many more than there are threads, and nobody answers.
    let mut waiting = Vec::new();
    for byte in 2..=200 {
        let told = settled(operators.judge(good_offer(byte)));
        assert_eq!(told.try_recv().unwrap_err(), mpsc::TryRecvError::Empty, "{byte} waits");
        waiting.push(told);
    }
    let verdict = operators.judge(good_offer(1));
    assert!(matches!(verdict, Verdict::Admitted(_)), "{verdict:?}");
    // How many wait is bounded.
    let is_refused = |number: usize| {
        let (tell, told) = mpsc::channel();
        registry.ask(&number.to_string(), move |found| {
            let _ = tell.send(found.is_err());
        });
        told.try_recv() == Ok(true)
    };
    assert!((0..2 * FLIGHTS_MAX).any(is_refused));
    drop((waiting, listener));
}

#[test]
fn an_account_is_looked_up_once_however_many_come() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    registry.start().unwrap();
    let operators = operators(&registry);
    let waiting: Vec<_> = (0..20).map(|_| settled(operators.judge(good_offer(1)))).collect();
    answer(&listener, &claims(1, |_| {}));
    for told in waiting {
        assert!(told.recv().unwrap().is_some());
    }
    // In vain: not again for a moment.
    let told = settled(operators.judge(good_offer(2)));
    answer(&listener, "nonsense");
    assert!(told.recv().unwrap().is_none());
    listener.set_nonblocking(true).unwrap();
    assert!(settled(operators.judge(good_offer(2))).try_recv().unwrap().is_none());
    assert!(listener.accept().is_err(), "the server was asked again");
    // Unless there is news of it.
    registry.is_pushed(&account(2).public());
    listener.set_nonblocking(false).unwrap();
    let told = settled(operators.judge(good_offer(2)));
    answer(&listener, &claims(2, |_| {}));
    assert!(told.recv().unwrap().is_some());
}

#[test]
fn a_push_while_claims_are_read_is_not_lost() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    let user = key(Role::User, 7).public();
    let revoked = claims(1, |claims| {
        claims.body.revocations.0.insert(user.clone(), now());
    });
    let (pushed, key) = (Arc::clone(&registry), account(1).public());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1024]).unwrap();
        // The old claims are on their way when the new ones are pushed.
        assert!(!pushed.is_pushed(&key), "nothing is in force yet");
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\n\r\n{}", claims(1, |_| {})).as_bytes())
            .unwrap();
        drop(stream);
        answer(&listener, &revoked);
    });
    let told = settled(operators(&registry).judge(good_offer(1)));
    assert!(told.recv().unwrap().is_none(), "the revocation counts");
    server.join().unwrap();
    let known = registry.get(&account(1).public()).unwrap();
    assert!(known.claims.body.revocations.cover(&user, now() - 1));
}

/// The next question, which nobody has answered yet.
fn asked(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    stream
}

fn reply(mut stream: TcpStream, text: &str) {
    stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).unwrap();
}

fn looked_up(registry: &Arc<Registry>) -> thread::JoinHandle<Result<Arc<Known>, Unfit>> {
    let (registry, key) = (Arc::clone(registry), account(1).public());
    thread::spawn(move || registry.lookup(&key))
}

#[test]
fn an_account_deleted_while_it_is_read_is_gone() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    let reading = looked_up(&registry);
    let stream = asked(&listener);
    assert!(registry.remove(&account(1).public()).is_none(), "nobody had heard of it");
    reply(stream, &claims(1, |_| {}));
    reply(asked(&listener), "");
    assert!(reading.join().unwrap().is_err());
    assert!(registry.get(&account(1).public()).is_none());
}

#[test]
fn claims_pushed_while_none_are_found_are_read() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    let reading = looked_up(&registry);
    let stream = asked(&listener);
    registry.is_pushed(&account(1).public());
    reply(stream, "");
    reply(asked(&listener), &claims(1, |_| {}));
    assert!(reading.join().unwrap().is_ok());
}

#[test]
fn a_push_counts_for_each_of_those_who_read() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    let new = claims(1, |claims| claims.name = "new".to_owned());
    let readers = [looked_up(&registry), looked_up(&registry)];
    let (first, second) = (asked(&listener), asked(&listener));
    registry.is_pushed(&account(1).public());
    // One reads again already; that says nothing of what the other has read.
    reply(first, &claims(1, |_| {}));
    let again = asked(&listener);
    reply(second, &claims(1, |_| {}));
    reply(again, &new);
    thread::spawn(move || reply(asked(&listener), &new));
    for reader in readers {
        assert_eq!(reader.join().unwrap().unwrap().claims.name, "new");
    }
}

#[test]
fn pushes_without_end_are_given_up() {
    let (listener, resolver) = server();
    let registry = registry(resolver);
    let (pushed, key) = (Arc::clone(&registry), account(1).public());
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            pushed.is_pushed(&key);
            let text = claims(1, |_| {});
            stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{text}").as_bytes()).unwrap();
        }
    });
    assert!(registry.lookup(&account(1).public()).is_err());
}

fn full(folder: &Path) -> Resolver {
    Resolver::Directory(Directory::open(folder, Mode::Full(Delete::Remove), 10).unwrap())
}

#[test]
fn a_reload_does_not_forget_accounts() {
    let (listener, resolver) = server();
    let old = registry(resolver);
    let keys = [1, 2, 3].map(|byte| account(byte).public());
    for (byte, key) in (1..).zip(&keys) {
        old.update(key, &claims(byte, |_| {})).unwrap();
    }
    old.remove(&keys[1]);
    drop(listener);
    let new = registry(Resolver::Url(Remote::parse("http://127.0.0.1:1/").unwrap()));
    new.take_over(&old);
    let has = |registry: &Registry| keys.clone().map(|key| registry.at_hand(&key).is_some());
    assert_eq!(has(&new), [true, false, true], "all but the one that was deleted");
    // What is at hand counts more than what was.
    let temp = tempfile::tempdir().unwrap();
    let resolver = full(temp.path());
    resolver.store(&keys[0], &claims(1, |claims| claims.name = "new".to_owned())).unwrap();
    let new = registry(resolver);
    new.take_over(&old);
    assert_eq!(has(&new), [true, false, false]);
    assert_eq!(new.get(&keys[0]).unwrap().claims.name, "new");
    // Nobody trusts them any more.
    let rules = Rules::default();
    let memory = Registry::new(rules, Arc::new(Resolver::memory()), &Accounts::new(SYSTEM));
    memory.resolver().store(&keys[0], &claims(1, |_| {})).unwrap();
    memory.take_over(&old);
    assert_eq!(has(&memory), [false; 3]);
}

#[test]
fn nobody_changes_operators_while_something_is_done_to_them() {
    let current = Current::default();
    current.set(Some(operators(&registry(Resolver::memory()))));
    let (begun, begins) = mpsc::channel();
    let (set, other) = (current.clone(), current.clone());
    let answering = thread::spawn(move || {
        other.with(|_| {
            begun.send(()).unwrap();
            thread::sleep(Duration::from_millis(50));
            Some(Instant::now())
        })
    });
    begins.recv().unwrap();
    set.set(None);
    let changed = Instant::now();
    assert!(answering.join().unwrap().unwrap() <= changed);
}

/// As somebody who sends claims does it.
fn push(current: &Current, name: &str) {
    current.with(|operators| {
        let (registry, key) = (operators.registry(), account(1).public());
        let text = claims(1, |claims| claims.name = name.to_owned());
        registry.resolver().store(&key, &text).unwrap();
        registry.is_pushed(&key);
        registry.update(&key, &text).ok()
    });
}

#[test]
fn a_push_during_a_reload_is_not_undone() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (registry(full(temp.path())), registry(full(temp.path())));
    let current = Current::default();
    current.set(Some(operators(&old)));
    push(&current, "first");
    new.take_over(&old);
    let name = || new.get(&account(1).public()).unwrap().claims.name.clone();
    assert_eq!(name(), "first");
    push(&current, "second");
    let (begun, begins) = mpsc::channel();
    let other = current.clone();
    let pushing = thread::spawn(move || {
        begins.recv().unwrap();
        push(&other, "third");
    });
    current.replace(Some(operators(&new)), |operators| {
        begun.send(()).unwrap();
        thread::sleep(Duration::from_millis(50));
        operators.registry().take_over(&old);
        assert_eq!(name(), "second", "whoever pushes waits");
    });
    pushing.join().unwrap();
    assert_eq!(name(), "third");
}

#[test]
fn an_account_deleted_during_a_reload_is_gone() {
    let (listener, resolver) = server();
    let (old, new) = (registry(resolver), registry(server().1));
    let key = account(1).public();
    old.update(&key, &claims(1, |_| {})).unwrap();
    new.take_over(&old);
    assert!(new.at_hand(&key).is_some());
    old.remove(&key);
    new.take_over(&old);
    assert!(new.at_hand(&key).is_none());
    drop(listener);
}
