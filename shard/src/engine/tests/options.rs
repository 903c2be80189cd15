//! Other options while clients are connected.

use super::*;
use crate::ids::AccountId;

/// Lets in who gives one of these names, whatever the password, and knows another name.
struct Guests(&'static [&'static str], &'static str);

impl Authenticator for Guests {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let user = offer.connect.user.as_str();
        let user = self.0.contains(&user).then(|| user.into());
        Verdict::of(user.map(|user| Grant { user: Some(user), ..Grant::default() }))
    }

    fn knows(&self, user: &str) -> bool {
        user == self.1
    }
}

/// The length of a user's name is the number of the account; who has no name is let in, too.
struct Tenants;

impl Authenticator for Tenants {
    fn required(&self) -> bool {
        true
    }

    fn invites(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let length = u32::try_from(offer.connect.user.len()).unwrap();
        let account = AccountId::new(if length == 0 { 9 } else { length });
        Verdict::of(Some(Grant { account, account_name: "T".into(), ..Grant::default() }))
    }
}

impl Scene {
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Options)) {
        let mut options = (*self.shard.exchange().options).clone();
        change(&mut options);
        self.shard.on_options(self.now, Arc::new(options));
    }

    pub(super) fn user(&mut self, name: &str) -> ConnId {
        let conn = self.open();
        self.says(conn, &format!("CONNECT {{\"verbose\":false,\"user\":\"{name}\"}}\r\n"));
        self.hears(conn);
        conn
    }
}

#[test]
fn sizes_hold_for_those_who_are_connected_and_for_those_who_come() {
    let mut scene = Scene::new(Limits::default());
    let old = [scene.client(), scene.client()];
    scene.change(|options| {
        options.limits.payload = 4;
        options.limits.control_line = 40;
        options.info.max_payload = 4;
    });
    let heard = old.map(|conn| scene.hears(conn));
    assert_eq!(heard, ["", ""], "nobody is told anything");
    let new = scene.open();
    assert!(scene.hears(new).contains("\"max_payload\":4,"));
    scene.says(new, "CONNECT {\"verbose\":false}\r\n");
    for conn in [old[0], new] {
        scene.says(conn, "SUB a 1\r\nPUB a 4\r\nfour\r\nPUB a 5\r\nfive!\r\n");
        let heard = scene.hears(conn);
        let expected = "MSG a 1 4\r\nfour\r\n-ERR 'Maximum Payload Violation'\r\n";
        assert_eq!(heard, expected);
    }
    scene.says(old[1], &format!("SUB {} 1\r\n", "x".repeat(40)));
    assert_eq!(scene.hears(old[1]), "-ERR 'maximum control line exceeded'\r\n");
    let reasons = [CloseReason::MaxPayload, CloseReason::MaxPayload, CloseReason::MaxControlLine];
    assert_eq!(scene.ended(), reasons);
}

#[test]
fn a_shorter_interval_of_pings_holds_at_once() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.wait(Duration::from_secs(3));
    assert_eq!(scene.hears(conn), "PING\r\n");
    scene.says(conn, "PONG\r\n");
    scene.change(|options| {
        options.limits.ping_interval = Duration::from_secs(10);
        options.limits.pings_out = 1;
    });
    scene.wait(Duration::from_secs(13));
    assert_eq!(scene.hears(conn), "PING\r\n");
    scene.wait(Duration::from_secs(13));
    assert_eq!(scene.ended(), [CloseReason::Stale]);
}

#[test]
fn another_judge_decides_who_stays() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Guests(&["ann", "bob", "eve"], "")));
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| scene.user(name));
    let late = scene.open();
    scene.hears(late);
    scene.change(|options| options.limits.payload = 5);
    assert!(scene.ended().is_empty(), "the judge is the same");
    scene.change(|options| options.authenticator = Arc::new(Guests(&["ann"], "bob")));
    assert_eq!(scene.hears(bob), "-ERR 'Authorization Violation'\r\n");
    assert_eq!(scene.hears(eve), "", "a user that is gone is let go without a word");
    let reasons = [CloseReason::AuthenticationFailure, CloseReason::ClientClosed];
    assert_eq!(scene.ended(), reasons);
    scene.says(ann, "PING\r\n");
    assert!(scene.hears(ann).starts_with("PONG\r\n"));
    scene.says(late, "CONNECT {\"user\":\"eve\"}\r\n");
    assert_eq!(scene.hears(late), "-ERR 'Authorization Violation'\r\n");
}

#[test]
fn who_was_not_asked_for_credentials_has_to_give_them_in_time() {
    let mut scene = Scene::new(Limits::default());
    let (connected, silent, late) = (scene.client(), scene.open(), scene.open());
    let listens = scene.open();
    scene.says(listens, "SUB > 1\r\n");
    let _ = [silent, late, listens].map(|conn| scene.hears(conn));
    scene.change(|options| options.authenticator = Arc::new(Guests(&["ann"], "")));
    for conn in [connected, listens] {
        assert_eq!(scene.hears(conn), "-ERR 'Authorization Violation'\r\n");
    }
    scene.says(late, "CONNECT {\"verbose\":false,\"user\":\"ann\"}\r\n");
    scene.wait(Duration::from_millis(2500));
    assert_eq!(scene.hears(silent), "-ERR 'Authentication Timeout'\r\n");
    assert_eq!(scene.hears(late).matches("-ERR").count(), 0);
    let refused = CloseReason::AuthenticationFailure;
    assert_eq!(scene.ended(), [refused, refused, CloseReason::AuthenticationTimeout]);
}

#[test]
fn those_that_are_too_many_are_told_so() {
    let mut scene = Scene::new(Limits::default());
    let conns = [scene.client(), scene.client(), scene.client()];
    scene.shard.on_surplus(scene.now, 2);
    let told = conns.map(|conn| scene.hears(conn));
    let text = "-ERR 'maximum connections exceeded'\r\n";
    assert_eq!(told.iter().filter(|told| *told == text).count(), 2);
    assert_eq!(scene.ended(), [CloseReason::MaxConnections; 2]);
    scene.shard.on_surplus(scene.now, 5);
    assert_eq!(scene.ended(), [CloseReason::MaxConnections]);
}

#[test]
fn a_trace_begins_and_ends() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.says(conn, "SUB a 1\r\n");
    let lines = |scene: &mut Scene| {
        scene.says(conn, "PUB a 2\r\nxy\r\n");
        std::iter::from_fn(|| scene.shard.take_event())
            .filter(|event| matches!(event.what, What::Received(_) | What::Sent(_)))
            .count()
    };
    assert_eq!(lines(&mut scene), 0);
    scene.change(|options| options.trace = true);
    assert!(lines(&mut scene) >= 2);
    scene.change(|options| options.trace = false);
    assert_eq!(lines(&mut scene), 0);
}

#[test]
fn nothing_comes_along_from_another_account() {
    let mut scene = Scene::new(Limits::default());
    let [connects, goes_on, stays] = [scene.open(), scene.open(), scene.open()];
    for conn in [connects, goes_on, stays] {
        scene.says(conn, "SUB a 1\r\n");
        assert!(scene.hears(conn).ends_with("+OK\r\n"));
    }
    scene.change(|options| options.authenticator = Arc::new(Tenants));
    scene.says(connects, "CONNECT {\"verbose\":false,\"user\":\"ann\"}\r\n");
    scene.says(goes_on, "PING\r\n");
    assert_eq!(scene.hears(goes_on), "PONG\r\n");
    let publish = "PUB a 2\r\nhi\r\n";
    for conn in [connects, goes_on] {
        scene.says(conn, publish);
    }
    assert_eq!(scene.hears(connects), "");
    assert_eq!(scene.hears(goes_on), "+OK\r\n");
    assert_eq!(scene.hears(stays), "", "it is not yet anybody else");
    scene.says(connects, &format!("SUB a 1\r\n{publish}"));
    assert_eq!(scene.hears(connects), "MSG a 1 2\r\nhi\r\n");
    assert_eq!(scene.hears(goes_on), "");
}

#[test]
fn the_first_info_asks_for_nothing_where_everybody_is_let_in() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Tenants));
    scene.change(|options| options.info.auth_required = true);
    let conn = scene.open();
    assert!(!scene.hears(conn).contains("auth_required"));
    scene.says(conn, "CONNECT {\"verbose\":false,\"protocol\":1,\"user\":\"x\"}\r\nPING\r\n");
    let heard = scene.hears(conn);
    assert!(heard.contains("\"auth_required\":true"), "{heard}");
    assert!(heard.contains("\"remote_account\":\"T\",\"acc_is_sys\":true"), "{heard}");
}
