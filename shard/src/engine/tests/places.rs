//! Clients of an account with bounds, on several shards that share nothing but its count.

use proptest::prelude::*;

use super::*;
use crate::account::{Accounts, Allowance, Headcount, Places};
use crate::ids::AccountId;

/// The account of everybody here.
const TENANT: AccountId = AccountId::new(5);

struct Landlord(Allowance, Option<Places>);

impl Authenticator for Landlord {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        let (account, allowance, places) = (TENANT, self.0, self.1.clone());
        Verdict::of(Some(Grant { account, allowance, places, ..Grant::default() }))
    }
}

fn terms(count: &Headcount, most: Option<usize>, allowance: Allowance) -> Arc<Accounts> {
    let mut accounts = Accounts::default();
    let account = accounts.entry(TENANT);
    account.places = most.map(|most| Places::new(most, count));
    account.allowance = allowance;
    Arc::new(accounts)
}

fn scene(accounts: &Arc<Accounts>, own: Allowance) -> Scene {
    let mut scene = Scene::with(Limits::default(), Arc::new(Landlord(own, None)));
    scene.change(|options| {
        options.accounts = Arc::clone(accounts);
        options.info.max_payload = 1 << 20;
    });
    scene
}

#[derive(Clone, Debug)]
enum Step {
    Connect(usize),
    Again(usize),
    Leave(usize),
    Bound(Option<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3).prop_map(Step::Connect),
        1 => (0_usize..12).prop_map(Step::Again),
        3 => (0_usize..12).prop_map(Step::Leave),
        1 => prop::option::of(0_usize..6).prop_map(Step::Bound),
    ]
}

/// Connections that are open, by shard.
fn open(scenes: &[Scene], all: &mut Vec<(usize, ConnId)>) {
    all.retain(|(shard, conn)| scenes[*shard].shard.sighting(*conn).is_some());
}

proptest! {
    /// Clients come, say CONNECT again and go on three shards, and the bound changes under them:
    /// there are never more than it allows, nobody is refused while there is room, and the count
    /// is right all the time.
    #[test]
    fn as_many_as_may_be(steps in prop::collection::vec(step(), 0..60)) {
        let count = Headcount::default();
        let mut most = Some(3);
        let unbounded = Allowance::default();
        let accounts = terms(&count, most, unbounded);
        let mut scenes: Vec<Scene> = (0..3).map(|_| scene(&accounts, unbounded)).collect();
        let mut inside: Vec<(usize, ConnId)> = Vec::new();
        for step in steps {
            let before = inside.len();
            match step {
                Step::Connect(shard) => {
                    let conn = scenes[shard].client();
                    inside.push((shard, conn));
                    open(&scenes, &mut inside);
                    let room = most.is_none_or(|most| before < most);
                    prop_assert_eq!(inside.len(), before + usize::from(room));
                }
                Step::Again(which) => {
                    if let Some((shard, conn)) = inside.get(which) {
                        scenes[*shard].says(*conn, CONNECT);
                    }
                    open(&scenes, &mut inside);
                    prop_assert_eq!(inside.len(), before);
                }
                Step::Leave(which) if which < before => {
                    let (shard, conn) = inside.remove(which);
                    let now = scenes[shard].now;
                    scenes[shard].shard.on_hang_up(now, conn, CloseReason::ClientClosed);
                }
                Step::Leave(_) => {}
                Step::Bound(bound) => {
                    most = bound;
                    let accounts = terms(&count, most, unbounded);
                    for scene in &mut scenes {
                        scene.change(|options| options.accounts = Arc::clone(&accounts));
                    }
                    open(&scenes, &mut inside);
                    prop_assert_eq!(inside.len(), most.map_or(before, |most| before.min(most)));
                }
            }
            prop_assert_eq!(count.get(), most.map_or(0, |_| inside.len()));
        }
        drop(scenes);
        prop_assert_eq!(count.get(), 0);
    }
}

#[test]
fn the_narrowest_allowance_holds_and_can_change() {
    let allowed = |subscriptions, payload| Allowance {
        subscriptions: Some(subscriptions),
        payload: Some(payload),
    };
    let count = Headcount::default();
    let own = Allowance { subscriptions: Some(2), payload: None };
    let mut scene = scene(&terms(&count, None, allowed(9, 8)), own);
    let conn = scene.client();
    scene.says(conn, "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPUB x 8\r\n12345678\r\nPING\r\n");
    let heard = scene.hears(conn);
    assert!(heard.starts_with("-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n"), "{heard}");
    assert!(heard.contains("\"max_payload\":8,"), "{heard}");
    scene.change(|options| options.accounts = terms(&count, None, allowed(2, 4)));
    scene.says(conn, "PUB x 4\r\n1234\r\nPING\r\n");
    assert_eq!(scene.hears(conn), "PONG\r\n", "as many subscriptions as allowed are no fault");
    scene.says(conn, "PUB x 5\r\n12345\r\n");
    assert_eq!(scene.hears(conn), "-ERR 'Maximum Payload Violation'\r\n");
    let other = scene.client();
    scene.says(other, "SUB a 1\r\nSUB b 2\r\n");
    scene.change(|options| options.accounts = terms(&count, None, allowed(1, 4)));
    assert_eq!(scene.hears(other), "-ERR 'maximum subscriptions exceeded'\r\n");
    assert!(scene.shard.sighting(other).is_none(), "it has more than it may have");
}

#[test]
fn a_grant_can_bring_the_bound() {
    let count = Headcount::default();
    let judge = |most| Arc::new(Landlord(Allowance::default(), Some(Places::new(most, &count))));
    let mut scene = Scene::with(Limits::default(), judge(2));
    let [first, second, third] = [(); 3].map(|()| scene.client());
    let inside = |scene: &Scene, conn| scene.shard.sighting(conn).is_some();
    assert!(inside(&scene, first) && inside(&scene, second) && !inside(&scene, third));
    assert_eq!(count.get(), 2);
    scene.change(|options| options.authenticator = judge(1));
    assert_eq!([first, second].iter().filter(|conn| inside(&scene, **conn)).count(), 1);
    assert_eq!(count.get(), 1);
}
