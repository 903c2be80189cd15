//! Clients with rules: what they hear, who hears them, and what a reload makes of it.

use super::*;
use crate::authorize::{Lists, Permissions, Responses, Rules};
use crate::error::{Named, Violation};

/// Everybody is let in, with the rules of a user of that name; others have none.
struct Ruled(Vec<(&'static str, Arc<Permissions>)>);

impl Authenticator for Ruled {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let known = self.0.iter().find(|(user, _)| *user == offer.connect.user);
        let permissions = known.map(|(_, permissions)| Arc::clone(permissions));
        Verdict::of(Some(Grant { user: Some("u".into()), permissions, ..Grant::default() }))
    }
}

fn lists(allow: &[&str], deny: &[&str]) -> Lists {
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Lists { allow: (!allow.is_empty()).then(|| texts(allow)), deny: texts(deny) }
}

fn ruled(user: &'static str, rules: Rules) -> Arc<Ruled> {
    Arc::new(Ruled(vec![(user, Arc::new(Permissions::new(rules).unwrap()))]))
}

fn subscribing(deny: &[&str]) -> Arc<Ruled> {
    ruled("ann", Rules { subscribe: lists(&[], deny), ..Rules::default() })
}

impl Scene {
    fn violations(&mut self) -> Vec<Violation> {
        std::iter::from_fn(|| self.shard.take_event())
            .filter_map(|event| match event.what {
                What::Violated(violation) => Some(violation),
                _ => None,
            })
            .collect()
    }

    /// What a client hears of its rules, without the frame around it.
    fn errors(&mut self, conn: ConnId) -> Vec<String> {
        let heard = self.hears(conn);
        let error =
            |line: &str| Some(line.strip_prefix("-ERR 'Permissions Violation for ")?.to_owned());
        heard.lines().filter_map(error).collect()
    }
}

#[test]
fn what_is_published_is_judged_each_time() {
    let rules = Rules { publish: lists(&["a.*"], &["a.no"]), ..Rules::default() };
    let mut scene = Scene::with(Limits::default(), ruled("ann", rules));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(bob, "SUB > 1\r\n");
    for subject in ["a.b", "a.b", "a.no", "a.b", "a.c", "b", "b", "a.b"] {
        scene.says(ann, &format!("PUB {subject} 1\r\nx\r\n"));
    }
    let heard = scene.hears(bob);
    assert_eq!(heard.matches("MSG a.b 1 1\r\n").count(), 4);
    assert_eq!(heard.matches("MSG ").count(), 5, "{heard}");
    let expected = ["a.no", "b", "b"].map(|subject| format!("Publish to \"{subject}\"'"));
    assert_eq!(scene.errors(ann), expected);
    assert_eq!(scene.violations().len(), 3);
}

#[test]
fn a_denied_request_is_not_answered_503_and_one_that_nobody_may_have_is() {
    let rules = Rules { subscribe: lists(&[], &["svc"]), ..Rules::default() };
    let mut scene = Scene::with(Limits::default(), ruled("ann", rules));
    let (ann, bob) = (scene.user("ann"), scene.open());
    scene.says(bob, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
    scene.hears(bob);
    scene.says(ann, "SUB * 1\r\nSUB * q 2\r\n");
    scene.says(bob, "SUB r.* 1\r\nPUB svc r.1 0\r\n\r\n");
    assert_eq!(scene.hears(ann), "");
    assert!(scene.hears(bob).starts_with("HMSG r.1 1 "));
    scene.says(bob, "PUB other r.1 0\r\n\r\n");
    assert_eq!(scene.hears(ann).matches("MSG other").count(), 2);
    assert_eq!(scene.hears(bob), "");
}

#[test]
fn answers_are_allowed_as_often_as_the_rules_say() {
    let responses = Some(Responses { max: Some(2), ttl: Some(Duration::from_secs(1)) });
    let mut scene =
        Scene::with(Limits::default(), ruled("ann", Rules { responses, ..Rules::default() }));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(ann, "SUB svc 1\r\nPUB r 0\r\n\r\n");
    assert_eq!(scene.errors(ann), ["Publish to \"r\"'"]);
    scene.says(bob, "SUB r 1\r\nPUB svc r 0\r\n\r\nPUB svc 0\r\n\r\n");
    scene.says(ann, &"PUB r 0\r\n\r\n".repeat(3));
    assert_eq!(scene.hears(bob), "MSG r 1 0\r\n\r\n".repeat(2));
    assert_eq!(scene.errors(ann), ["Publish to \"r\"'"]);
    scene.says(bob, "PUB svc r 0\r\n\r\n");
    scene.wait(Duration::from_millis(1100));
    scene.says(ann, "PUB r 0\r\n\r\n");
    assert_eq!(scene.errors(ann), ["Publish to \"r\"'"]);
    scene.says(bob, "PUB svc r 0\r\n\r\n");
    // Another CONNECT is another client.
    scene.says(ann, "CONNECT {\"user\":\"ann\"}\r\nPUB r 0\r\n\r\n");
    assert_eq!(scene.errors(ann), ["Publish to \"r\"'"]);
}

#[test]
fn a_reload_ends_what_is_not_allowed_any_more() {
    let mut scene = Scene::with(Limits::default(), subscribing(&[]));
    let ann = scene.user("ann");
    let bob = scene.user("bob");
    scene.says(ann, "SUB a 1\r\nSUB b q 2\r\nSUB * 3\r\nSUB b r 4\r\nSUB c 5\r\nUNSUB 5 1\r\n");
    scene.violations();
    scene.change(|options| options.authenticator = subscribing(&["a", "b q"]));
    let expected = [
        "Subscription to \"a\" (sid \"1\")'",
        "Subscription to \"b\" using queue \"q\" (sid \"2\")'",
    ];
    assert_eq!(scene.errors(ann), expected);
    let ended = [Named::new(b"a", None, b"1"), Named::new(b"b", Some(b"q"), b"2")];
    assert_eq!(scene.violations(), ended.map(Violation::Unsubscribed));
    scene.says(bob, "PUB a 0\r\n\r\nPUB b 0\r\n\r\nPUB c 0\r\n\r\nPUB c 0\r\n\r\n");
    let mut heard: Vec<String> = scene.hears(ann).lines().map(str::to_owned).collect();
    heard.retain(|line| !line.is_empty());
    heard.sort();
    assert_eq!(heard, ["MSG b 3 0", "MSG b 4 0", "MSG c 3 0", "MSG c 3 0", "MSG c 5 0"]);
    assert_eq!(scene.shard.exchange().interest.subscriptions(), 2);
    // The name is free again, and the guard goes as it came.
    scene.change(|options| options.authenticator = subscribing(&[]));
    assert_eq!(scene.errors(ann).len(), 0);
    scene.says(ann, "SUB a 1\r\n");
    scene.says(bob, "PUB a 0\r\n\r\n");
    assert_eq!(scene.hears(ann).matches("MSG a ").count(), 2);
}

#[test]
fn a_reload_changes_what_may_be_published_and_keeps_what_may_be_answered() {
    let rules = |deny: &[&str]| Rules {
        publish: lists(&[">"], deny),
        responses: Some(Responses::default()),
        ..Rules::default()
    };
    let mut scene = Scene::with(Limits::default(), ruled("ann", rules(&["r"])));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(ann, "SUB svc 1\r\nPUB a 0\r\n\r\n");
    scene.says(bob, "PUB svc r 0\r\n\r\n");
    scene.change(|options| options.authenticator = ruled("ann", rules(&["a", "r"])));
    scene.hears(ann);
    scene.says(ann, "PUB a 0\r\n\r\nPUB r 0\r\n\r\nPUB r 0\r\n\r\n");
    assert_eq!(scene.errors(ann), ["Publish to \"a\"'", "Publish to \"r\"'"]);
}

#[test]
fn a_server_that_opens_up_lets_go_of_rules() {
    let mut scene = Scene::with(Limits::default(), subscribing(&["a"]));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(ann, "SUB * 1\r\n");
    scene.says(bob, "PUB a 0\r\n\r\n");
    assert_eq!(scene.hears(ann), "");
    scene.change(|options| options.authenticator = Arc::new(Ruled(Vec::new())));
    scene.says(bob, "PUB a 0\r\n\r\n");
    assert_eq!(scene.hears(ann), "MSG a 1 0\r\n\r\n");
}

/// What a client hears of `subjects` that another publishes, if rules deny it `deny` and it says
/// `subs`: the patterns that delivered each.
fn delivered(deny: &[&str], subs: &str, subjects: &[&str]) -> Vec<usize> {
    let mut scene = Scene::with(Limits::default(), subscribing(deny));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(ann, subs);
    assert_eq!(scene.hears(ann), "", "all of it is accepted");
    let mut count = |subject: &&str| {
        scene.says(bob, &format!("PUB {subject} 0\r\n\r\n"));
        scene.hears(ann).matches("MSG ").count()
    };
    subjects.iter().map(&mut count).collect()
}

#[test]
fn cve_2022_29946_a_queue_subscription_is_not_given_what_is_denied() {
    let subs = "SUB a.* q 1\r\nSUB > r 2\r\nSUB *.b q 3\r\n";
    assert_eq!(delivered(&["a.b"], subs, &["a.b", "a.c", "c.b"]), [0, 2, 2]);
}

#[test]
fn advisory_2026_17_patterns_that_overlap_in_part_are_guarded() {
    let subs = "SUB a.* 1\r\nSUB *.*.c 2\r\nSUB a.b.> 3\r\n";
    let deny = &["*.b", "a.*.c", "*.b.d.>"];
    assert_eq!(delivered(deny, subs, &["a.b", "a.x", "a.x.c", "x.x.c"]), [0, 1, 0, 1]);
    assert_eq!(delivered(deny, subs, &["a.b.c", "a.b.d", "a.b.d.e"]), [0, 1, 0]);
}

#[test]
fn advisory_2026_18_a_queue_that_is_not_denied_does_not_lift_a_plain_deny() {
    let mut scene = Scene::with(Limits::default(), subscribing(&["a", "a q"]));
    let ann = scene.user("ann");
    scene.says(ann, "SUB a r 1\r\n");
    assert_eq!(scene.errors(ann), ["Subscription to \"a\" using queue \"r\"'"]);
    assert_eq!(delivered(&["a", "a q"], "SUB * r 1\r\nSUB * q 2\r\n", &["a", "b"]), [0, 2]);
}

#[test]
fn cve_2022_24450_no_client_chooses_its_account() {
    let mut scene = Scene::with(Limits::default(), subscribing(&[]));
    let conn = scene.open();
    scene.says(conn, "CONNECT {\"user\":\"ann\",\"account\":\"$SYS\",\"new_account\":true}\r\n");
    assert!(scene.hears(conn).ends_with("-ERR 'Authorization Violation'\r\n"));
}

#[test]
fn cve_2026_33249_advisory_2026_20_a_client_names_no_place_for_the_server_to_publish_to() {
    let rules = Rules { publish: lists(&["a"], &[]), ..Rules::default() };
    let mut scene = Scene::with(Limits::default(), ruled("ann", rules));
    let (ann, bob) = (scene.user("ann"), scene.user("bob"));
    scene.says(bob, "SUB > 1\r\n");
    scene.says(ann, "CONNECT {\"user\":\"ann\",\"headers\":true,\"verbose\":false}\r\n");
    let headers = "NATS/1.0\r\nNats-Trace-Dest: secret\r\n\r\n";
    scene.says(ann, &format!("HPUB a {0} {0}\r\n{headers}\r\n", headers.len()));
    let heard = scene.hears(bob);
    assert_eq!(heard.matches("MSG ").count(), 1, "{heard}");
    assert!(heard.starts_with("MSG a 1 "), "{heard}");
}
