//! Sessions of the server itself, and what it is told and asked.

use super::*;
use crate::engine::{Treated, Treatment};
use crate::event::Asked;
use crate::ids::AccountId;

impl Scene {
    fn internal(&mut self, account: AccountId) -> ConnId {
        let grant = Grant { account, ..Grant::default() };
        let conn = self.shard.on_open_internal(self.now, grant);
        assert_eq!(self.hears(conn), "", "it is not greeted");
        conn
    }

    fn happened(&mut self) -> Vec<What> {
        std::iter::from_fn(|| self.shard.take_event()).map(|event| event.what).collect()
    }

    pub(super) fn asked(&mut self) -> Vec<Asked> {
        let asked = |what| match what {
            What::Asked(asked) => Some(*asked),
            _ => None,
        };
        self.happened().into_iter().filter_map(asked).collect()
    }
}

#[test]
fn the_server_speaks_in_an_account_and_is_none_of_the_clients() {
    let mut scene = Scene::new(Limits::default());
    let client = scene.client();
    scene.says(client, "SUB $SYS.> 1\r\nSUB _INBOX.a 2\r\n");
    scene.happened();
    let (here, there) = (scene.internal(AccountId::GLOBAL), scene.internal(AccountId::SYSTEM));
    scene.says(there, "PUB $SYS.x 5\r\nthere\r\n");
    scene.says(here, "SUB ask 1\r\nPUB $NRG.x 1\r\n.\r\nPUB $SYS.x 4\r\nhere\r\nPING\r\n");
    assert_eq!(scene.hears(here), "PONG\r\n");
    assert_eq!(scene.hears(client), "MSG $SYS.x 1 4\r\nhere\r\n");
    scene.says(client, "PUB ask _INBOX.a 2\r\nhi\r\n");
    assert_eq!(scene.hears(here), "MSG ask 1 _INBOX.a 2\r\nhi\r\n");
    scene.says(here, "PUB _INBOX.a 2\r\nho\r\n");
    assert_eq!(scene.hears(client), "MSG _INBOX.a 2 2\r\nho\r\n");

    let (stats, traffic) = (scene.shard.stats(), scene.shard.traffic());
    assert_eq!((stats.opened, stats.in_msgs, traffic.out_msgs), (1, 1, 2));
    assert_eq!(scene.shard.sightings(0..10).count(), 1);
    assert_eq!(scene.shard.subscriptions(), 2);
    assert!(scene.shard.is_internal(here) && !scene.shard.is_internal(client));
    assert_eq!(scene.happened(), []);

    scene.wait(Limits::default().ping_interval * 4);
    scene.shard.on_lame_duck();
    scene.shard.on_shed(scene.now, 3);
    assert_eq!(scene.hears(here), "", "neither pinged nor sent away");
    assert!(scene.shard.sightings(0..10).next().is_none());
    scene.shard.on_hang_up(scene.now, here, CloseReason::ClientClosed);
    scene.shard.on_released(here);
    assert_eq!((scene.shard.stats().closed, scene.shard.subscriptions()), (1, 0));
}

#[test]
fn bounds_for_clients_do_not_bound_the_server() {
    let mut scene = Scene::new(Limits {
        subscriptions: Some(1),
        subscription_tokens: Some(1),
        control_line: 10,
        payload: 1,
        ..Limits::default()
    });
    let conn = scene.internal(AccountId::SYSTEM);
    scene.says(conn, "SUB a.b.c.d 1\r\nSUB b 2\r\n");
    let long = "x".repeat(5_000);
    scene.says(conn, &format!("PUB {long} 2\r\nhi\r\nPING\r\n"));
    assert_eq!(scene.hears(conn), "PONG\r\n");
}

#[test]
fn the_server_is_told_who_comes_and_goes() {
    let mut scene = Scene::new(Limits::default());
    let silent = scene.open();
    scene.shard.on_hang_up(scene.now, silent, CloseReason::ClientClosed);
    let conn = scene.open();
    scene.says(conn, "CONNECT {\"name\":\"bob\",\"verbose\":false}\r\nPUB a 2\r\nhi\r\n");
    scene.says(conn, CONNECT);
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    let told: Vec<What> = scene
        .happened()
        .into_iter()
        .filter(|what| matches!(what, What::Entered(_) | What::Left(..)))
        .collect();
    let [
        What::Left(nobody, _, CloseReason::ClientClosed),
        What::Entered(before),
        What::Left(after, _, CloseReason::ClientClosed),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((&*nobody.name, &*nobody.account), ("", "$G"));
    assert_eq!((&*before.name, before.in_msgs), ("bob", 0));
    assert_eq!((before.cid, after.in_msgs, after.in_bytes), (after.cid, 1, 2));
    let tally = scene.shard.exchange().tallies.of(AccountId::GLOBAL);
    assert_eq!((tally.in_msgs, tally.in_bytes, tally.connections), (1, 2, 0));
}

#[test]
fn clients_may_ask_the_server_a_few_things() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.says(conn, "SUB $SYS.REQ.> 1\r\n");
    scene.happened();
    for subject in [
        "$SYS.REQ.USER.INFO",
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.ACCOUNT.PING.CONNZ",
        "$SYS.REQ.ACCOUNT.PING.STATZ",
    ] {
        scene.says(conn, &format!("PUB {subject} r 2\r\n{{}}\r\n"));
        let [asked] = &scene.asked()[..] else { panic!("{subject}") };
        assert_eq!((&*asked.subject, &*asked.reply), (subject.as_bytes(), &b"r"[..]));
        assert_eq!((asked.account, &*asked.body), (AccountId::GLOBAL, &b"{}"[..]));
    }
    // Headers are none of the options.
    scene.says(conn, "CONNECT {\"headers\":true,\"verbose\":false}\r\n");
    scene.says(conn, "HPUB $SYS.REQ.USER.INFO r 12 14\r\nNATS/1.0\r\n\r\n{}\r\n");
    assert_eq!(&*scene.asked()[0].body, b"{}");
    scene.says(conn, "PUB $SYS.REQ.USER.INFO _R_.x 0\r\n\r\n");
    assert!(scene.hears(conn).contains("Publish with Reply of \"_R_.x\""));
    // Nowhere to answer to, too much to ask, something else: no question.
    let long = "x".repeat(crate::limits::ASKED_BYTES_MAX + 1);
    scene.says(conn, "PUB $SYS.REQ.USER.INFO 0\r\n\r\n");
    scene.says(conn, &format!("PUB $SYS.REQ.USER.INFO r {}\r\n{long}\r\n", long.len()));
    assert_eq!(scene.asked(), []);
    assert_eq!(scene.hears(conn), "", "none of these is a message");
    scene.says(conn, "SUB $SYS.REQ.> 1\r\nPUB $SYS.REQ.SERVER.PING r 0\r\n\r\n");
    assert_eq!(scene.hears(conn), "MSG $SYS.REQ.SERVER.PING 1 r 0\r\n\r\n");
    assert_eq!(scene.asked(), []);
}

#[test]
fn nobody_keeps_the_server_busy_with_questions() {
    let mut scene = Scene::new(Limits::default());
    let (conn, other) = (scene.client(), scene.client());
    for _ in 0..3 {
        scene.says(conn, &"PUB $SYS.REQ.USER.INFO r 0\r\n\r\n".repeat(1_000));
        assert_eq!(scene.asked().len(), crate::limits::ASKED_PER_SECOND as usize);
        scene.says(other, "PUB $SYS.REQ.USER.INFO r 0\r\n\r\n");
        assert_eq!(scene.asked().len(), 1);
        scene.wait(Duration::from_secs(1));
    }
}

#[test]
fn one_client_is_sent_away_or_told_to_go() {
    let mut scene = Scene::new(Limits::default());
    let (first, second) = (scene.client(), scene.client());
    let treat = |scene: &mut Scene, client, treatment| {
        scene.shard.on_treat(scene.now, ClientId::new(client), treatment)
    };
    assert_eq!(treat(&mut scene, 3, Treatment::Kick), Treated::Unknown);
    assert_eq!(treat(&mut scene, 2, Treatment::LameDuck), Treated::Done);
    assert!(scene.hears(second).contains("\"ldm\":true"));
    assert_eq!(treat(&mut scene, 1, Treatment::Kick), Treated::Done);
    assert_eq!(scene.ended(), [CloseReason::Kicked]);
    assert_eq!(scene.hears(first), "");
    assert_eq!(treat(&mut scene, 1, Treatment::Kick), Treated::Unknown);
    scene.open();
    assert_eq!(treat(&mut scene, 3, Treatment::LameDuck), Treated::Unable);
}
