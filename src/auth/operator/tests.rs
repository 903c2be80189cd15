//! Logins against accounts that a server of claims has.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::BASE64URL_NOPAD;
use ringbus_shard::options::{ConnectionKind, Effort, Grant};
use ringbus_shard::wire::connect::ConnectOptions;

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
    // More than there are threads, and nobody answers.
    let waiting: Vec<_> = (2..60).map(|byte| settled(operators.judge(good_offer(byte)))).collect();
    let verdict = operators.judge(good_offer(1));
    assert!(matches!(verdict, Verdict::Admitted(_)), "{verdict:?}");
    // How many wait is bounded.
    let at_once = |byte| settled(operators.judge(good_offer(byte))).try_recv();
    assert!((60..200).any(|byte| matches!(at_once(byte), Ok(None))));
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
