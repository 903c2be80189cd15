//! What applications do with a real client library, async-nats, against ringbus with one, two and
//! four shards: every test is exact about what arrives.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, PublishErrorKind, RequestErrorKind,
    StatusCode, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt;
use ringbus_test_support::{Program, Server};
use tokio::time::timeout;

const SHARDS: [usize; 3] = [1, 2, 4];

/// How long a message may take, and how long nothing must come where nothing is expected.
const PATIENCE: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_millis(100);

/// Runs a test against a fresh server for every number of shards.
async fn on_all_shards<F: Future<Output = ()>>(test: impl Fn(Server) -> F) {
    for shards in SHARDS {
        test(program(shards).start(&[]).unwrap()).await;
    }
}

fn program(shards: usize) -> Program {
    Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), shards)
}

async fn connect(server: &Server) -> Client {
    async_nats::connect(server.url()).await.unwrap()
}

/// Everything the client said until now has been done. async-nats flushes its socket without
/// waiting for an answer, so this asks for one: a request that nobody can hear.
async fn settle(client: &Client) {
    let error = client.request("nobody.listens.here", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

/// The next payload as text.
async fn next(subscriber: &mut Subscriber) -> String {
    let message = timeout(PATIENCE, subscriber.next()).await.expect("nothing came").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

async fn nothing_more(subscriber: &mut Subscriber) {
    let more = timeout(QUIET, subscriber.next()).await;
    assert!(!matches!(more, Ok(Some(_))), "unexpected: {more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_and_subscribe_in_order() {
    on_all_shards(|server| async move {
        let (publisher, listener) = (connect(&server).await, connect(&server).await);
        let mut exact = listener.subscribe("news.sport").await.unwrap();
        let mut pattern = listener.subscribe("news.>").await.unwrap();
        let mut other = listener.subscribe("news.*.more").await.unwrap();
        settle(&listener).await;
        for i in 0..1_000 {
            publisher.publish("news.sport", i.to_string().into()).await.unwrap();
        }
        settle(&publisher).await;
        for i in 0..1_000 {
            assert_eq!(next(&mut exact).await, i.to_string());
            assert_eq!(next(&mut pattern).await, i.to_string());
        }
        nothing_more(&mut exact).await;
        nothing_more(&mut pattern).await;
        nothing_more(&mut other).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_and_reply() {
    on_all_shards(|server| async move {
        let (asker, answerer) = (connect(&server).await, connect(&server).await);
        let mut requests = answerer.subscribe("double").await.unwrap();
        settle(&answerer).await;
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let text = String::from_utf8(request.payload.to_vec()).unwrap();
                answerer.publish(request.reply.unwrap(), text.repeat(2).into()).await.unwrap();
            }
        });
        for i in 0..200 {
            let reply = asker.request("double", i.to_string().into()).await.unwrap();
            assert_eq!(reply.payload, i.to_string().repeat(2));
        }
        let many = (0..200).map(|i| {
            let asker = asker.clone();
            async move { asker.request("double", i.to_string().into()).await.unwrap().payload }
        });
        for (i, payload) in futures_util::future::join_all(many).await.into_iter().enumerate() {
            assert_eq!(payload, i.to_string().repeat(2));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_responds() {
    on_all_shards(|server| async move {
        let client = connect(&server).await;
        let error = client.request("nobody.home", "hi".into()).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);
        let mut inbox = client.subscribe("inbox").await.unwrap();
        client.publish_with_reply("nobody", "inbox", "hi".into()).await.unwrap();
        let message = timeout(PATIENCE, inbox.next()).await.unwrap().unwrap();
        assert_eq!(message.status, Some(StatusCode::NO_RESPONDERS));
        assert_eq!(message.payload, Bytes::new());
        nothing_more(&mut inbox).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queue_groups_share() {
    const MEMBERS: usize = 6;
    const MESSAGES: usize = 1_200;
    on_all_shards(|server| async move {
        let mut members = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..MEMBERS {
            let client = connect(&server).await;
            members.push(client.queue_subscribe("work", "workers".into()).await.unwrap());
            settle(&client).await;
            clients.push(client);
        }
        let publisher = connect(&server).await;
        for i in 0..MESSAGES {
            publisher.publish("work", i.to_string().into()).await.unwrap();
        }
        settle(&publisher).await;
        let mut seen = BTreeMap::new();
        for member in &mut members {
            let mut own = Vec::new();
            while let Ok(Some(message)) = timeout(QUIET, member.next()).await {
                own.push(String::from_utf8(message.payload.to_vec()).unwrap());
            }
            // A fair choice of 1,200 over 6 leaves nobody with less than half of a share.
            assert!(own.len() > MESSAGES / MEMBERS / 2, "a member got {} only", own.len());
            for payload in own {
                *seen.entry(payload).or_insert(0) += 1;
            }
        }
        assert_eq!(seen.len(), MESSAGES);
        assert!(seen.values().all(|&count| count == 1), "delivered twice: {seen:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_arrive() {
    on_all_shards(|server| async move {
        let (publisher, listener) = (connect(&server).await, connect(&server).await);
        let mut subscriber = listener.subscribe("with.headers").await.unwrap();
        settle(&listener).await;
        let mut headers = HeaderMap::new();
        headers.insert("Colour", "red");
        headers.append("Tag", "one");
        headers.append("Tag", "two words");
        publisher
            .publish_with_headers("with.headers", headers.clone(), "body".into())
            .await
            .unwrap();
        let message = timeout(PATIENCE, subscriber.next()).await.unwrap().unwrap();
        assert_eq!(message.payload, "body");
        assert_eq!(message.headers, Some(headers));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_after_a_number_of_messages() {
    on_all_shards(|server| async move {
        let (publisher, listener) = (connect(&server).await, connect(&server).await);
        let mut five = listener.subscribe("count").await.unwrap();
        five.unsubscribe_after(5).await.unwrap();
        let mut all = listener.subscribe("count").await.unwrap();
        settle(&listener).await;
        for i in 0..10 {
            publisher.publish("count", i.to_string().into()).await.unwrap();
        }
        for i in 0..10 {
            assert_eq!(next(&mut all).await, i.to_string());
        }
        for i in 0..5 {
            assert_eq!(next(&mut five).await, i.to_string());
        }
        assert!(timeout(PATIENCE, five.next()).await.unwrap().is_none(), "more than five");
        all.unsubscribe().await.unwrap();
        settle(&listener).await;
        publisher.publish("count", "late".into()).await.unwrap();
        settle(&publisher).await;
        nothing_more(&mut all).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_loses_nothing() {
    on_all_shards(|server| async move {
        let (publisher, listener) = (connect(&server).await, connect(&server).await);
        let mut subscriber = listener.subscribe("drained").await.unwrap();
        settle(&listener).await;
        for i in 0..500 {
            publisher.publish("drained", i.to_string().into()).await.unwrap();
        }
        publisher.drain().await.unwrap();
        for i in 0..500 {
            assert_eq!(next(&mut subscriber).await, i.to_string());
        }
        subscriber.drain().await.unwrap();
        assert!(timeout(PATIENCE, subscriber.next()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_payload_and_one_byte_more() {
    on_all_shards(|server| async move {
        let (publisher, listener) = (connect(&server).await, connect(&server).await);
        let max = publisher.server_info().max_payload;
        assert_eq!(max, 1 << 20);
        let mut subscriber = listener.subscribe("large").await.unwrap();
        settle(&listener).await;
        let payload: Bytes = (0..=255u8).cycle().take(max).collect::<Vec<_>>().into();
        publisher.publish("large", payload.clone()).await.unwrap();
        let message = timeout(PATIENCE, subscriber.next()).await.unwrap().unwrap();
        assert!(message.payload == payload, "the payload was changed on the way");
        let more = vec![0; max + 1].into();
        let error = publisher.publish("large", more).await.unwrap_err();
        assert_eq!(error.kind(), PublishErrorKind::MaxPayloadExceeded);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_subscription_is_seen_by_others() {
    on_all_shards(|server| async move {
        let publisher = connect(&server).await;
        for i in 0..100 {
            let listener = connect(&server).await;
            let subject = format!("fresh.{i}");
            let mut subscriber = listener.subscribe(subject.clone()).await.unwrap();
            settle(&listener).await;
            publisher.publish(subject, "hi".into()).await.unwrap();
            assert_eq!(next(&mut subscriber).await, "hi");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_come_back_after_a_restart() {
    for shards in SHARDS {
        let server = program(shards).start_to_restart(&[]).unwrap();
        let port = i32::from(server.address().port());
        let (events, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let options = ConnectOptions::new().event_callback(move |event| {
            let events = events.clone();
            async move { drop(events.send(event)) }
        });
        let client = options
            .reconnect_delay_callback(|_| Duration::from_millis(20))
            .connect(server.url())
            .await
            .unwrap();
        let mut subscriber = client.subscribe("again").await.unwrap();
        settle(&client).await;
        drop(server);
        expect_event(&mut seen, &Event::Disconnected).await;
        let _server = program(shards).start_on(port, &[]).unwrap();
        expect_event(&mut seen, &Event::Connected).await;
        settle(&client).await;
        client.publish("again", "hi".into()).await.unwrap();
        assert_eq!(next(&mut subscriber).await, "hi");
    }
}

async fn expect_event(seen: &mut tokio::sync::mpsc::UnboundedReceiver<Event>, wanted: &Event) {
    let wait = async {
        while let Some(event) = seen.recv().await {
            if event == *wanted {
                return;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no event {wanted:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials() {
    for shards in SHARDS {
        let server = program(shards).start(&["--user", "ann", "--pass", "secret"]).unwrap();
        let right = ConnectOptions::with_user_and_password("ann".into(), "secret".into());
        settle(&right.connect(server.url()).await.unwrap()).await;
        let wrong = ConnectOptions::with_user_and_password("ann".into(), "wrong".into());
        let error = wrong.connect(server.url()).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);
        let error = async_nats::connect(server.url()).await.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::AuthorizationViolation);

        let server = program(shards).start(&["--auth", "t0ken"]).unwrap();
        let right = ConnectOptions::with_token("t0ken".into());
        settle(&right.connect(server.url()).await.unwrap()).await;
        let error = ConnectOptions::with_token("other".into()).connect(server.url()).await;
        assert_eq!(error.unwrap_err().kind(), ConnectErrorKind::AuthorizationViolation);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_messages_only_with_echo() {
    on_all_shards(|server| async move {
        let quiet = ConnectOptions::new().no_echo().connect(server.url()).await.unwrap();
        let mut subscriber = quiet.subscribe("echo").await.unwrap();
        quiet.publish("echo", "own".into()).await.unwrap();
        settle(&quiet).await;
        let other = connect(&server).await;
        other.publish("echo", "other".into()).await.unwrap();
        assert_eq!(next(&mut subscriber).await, "other");
        nothing_more(&mut subscriber).await;
    })
    .await;
}
