//! Clients that were let in for some time, or because of what may change.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::*;
use crate::error::Violation;
use crate::ids::AccountId;
use crate::options::{Review, Standing};

/// Holds as long as the number is 0.
#[derive(Debug, Default)]
struct Ground(AtomicU8);

impl Standing for Ground {
    fn review(&self) -> Review {
        match self.0.load(Ordering::Relaxed) {
            0 => Review::Holds,
            1 => Review::Over(Violation::Revoked),
            2 => Review::Over(Violation::SignerGone),
            3 => Review::Over(Violation::AccountExpired),
            _ => Review::Changed(Box::new(Grant {
                user: Some("another".into()),
                ..Grant::default()
            })),
        }
    }
}

/// Lets everybody in, for some time, later if that is wanted.
struct Lets {
    ground: Arc<Ground>,
    stays: Option<Duration>,
    later: bool,
}

impl Authenticator for Lets {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        let standing: Arc<dyn Standing> = Arc::<Ground>::clone(&self.ground);
        let grant = Grant { stays: self.stays, standing: Some(standing), ..Grant::default() };
        if self.later { Verdict::later(move || Some(grant)) } else { Verdict::of(Some(grant)) }
    }
}

fn scene(stays: Option<Duration>, later: bool) -> (Scene, Arc<Ground>, ConnId) {
    let ground = Arc::new(Ground::default());
    let lets = Lets { ground: Arc::clone(&ground), stays, later };
    let mut scene = Scene::with(Limits::default(), Arc::new(lets));
    let conn = scene.open();
    scene.hears(conn);
    scene.says(conn, "CONNECT {\"verbose\":false}\r\n");
    (scene, ground, conn)
}

#[test]
fn a_client_goes_when_its_time_is_over() {
    let (mut scene, _, conn) = scene(Some(Duration::from_secs(60)), false);
    scene.wait(Duration::from_millis(59_990));
    assert_eq!(scene.hears(conn), "PING\r\n");
    scene.wait(Duration::from_millis(20));
    assert_eq!(scene.hears(conn), "-ERR 'User Authentication Expired'\r\n");
    assert_eq!(scene.ended(), [CloseReason::AuthenticationExpired]);
}

#[test]
fn who_asks_hears_how_long_it_may_stay() {
    for (stays, expected) in [(None, None), (Some(60), Some(49)), (Some(10), Some(0))] {
        let (mut scene, _, conn) = scene(stays.map(Duration::from_secs), false);
        scene.wait(Duration::from_millis(if expected == Some(0) { 9_500 } else { 10_500 }));
        scene.asked();
        scene.says(conn, "PUB $SYS.REQ.USER.INFO r 0\r\n\r\n");
        let asked: Vec<_> = scene.asked().into_iter().map(|asked| asked.stays).collect();
        assert_eq!(asked, [expected.map(Duration::from_secs)]);
    }
}

#[test]
fn who_connects_again_may_stay_anew() {
    let (mut scene, _, conn) = scene(Some(Duration::from_secs(60)), false);
    scene.wait(Duration::from_secs(30));
    scene.says(conn, "CONNECT {\"verbose\":false}\r\n");
    scene.wait(Duration::from_secs(59));
    assert!(!scene.hears(conn).contains("-ERR"));
    scene.wait(Duration::from_secs(2));
    assert!(scene.hears(conn).contains("-ERR 'User Authentication Expired'\r\n"));
}

#[test]
fn a_review_finds_those_who_stand_on_nothing() {
    for (state, text, reason) in [
        (1, "-ERR 'User Authentication Revoked'\r\n", CloseReason::Revoked),
        (2, "", CloseReason::AuthenticationFailure),
        (3, "-ERR 'Account Authentication Expired'\r\n", CloseReason::AuthenticationExpired),
    ] {
        let (mut scene, ground, conn) = scene(None, false);
        scene.shard.on_review(scene.now, AccountId::GLOBAL);
        scene.shard.commit(&mut Vec::new());
        assert_eq!(scene.hears(conn), "");
        ground.0.store(state, Ordering::Relaxed);
        scene.shard.on_review(scene.now, AccountId::SYSTEM);
        scene.shard.commit(&mut Vec::new());
        assert_eq!(scene.hears(conn), "", "another account");
        scene.shard.on_review(scene.now, AccountId::GLOBAL);
        scene.shard.commit(&mut Vec::new());
        assert_eq!((scene.hears(conn).as_str(), scene.ended()), (text, vec![reason]));
    }
}

#[test]
fn a_review_may_change_who_somebody_is() {
    let (mut scene, ground, conn) = scene(None, false);
    ground.0.store(4, Ordering::Relaxed);
    scene.shard.on_review(scene.now, AccountId::GLOBAL);
    scene.shard.commit(&mut Vec::new());
    assert_eq!(scene.hears(conn), "");
    ground.0.store(1, Ordering::Relaxed);
    scene.shard.on_review(scene.now, AccountId::GLOBAL);
    assert_eq!(scene.hears(conn), "", "it stands on something else now");
}

#[test]
fn what_changed_while_the_verdict_was_on_its_way_counts() {
    let (mut scene, ground, conn) = scene(None, true);
    let trial = scene.shard.take_trial().unwrap();
    let id = trial.id;
    let (tell, told) = std::sync::mpsc::channel();
    trial.run(move |grant| tell.send(grant).unwrap());
    ground.0.store(1, Ordering::Relaxed);
    scene.shard.on_review(scene.now, AccountId::GLOBAL);
    scene.shard.on_judged(scene.now, id, told.recv().unwrap());
    scene.shard.on_turn(scene.now);
    scene.shard.commit(&mut Vec::new());
    assert_eq!(scene.hears(conn), "-ERR 'Authorization Violation'\r\n");
}
