//! A real client library, async-nats, over TLS and with a certificate of its own.

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;

use super::*;

/// Writes a certificate for a client; gives the paths of it and of its key.
fn own(served: &Served) -> (std::path::PathBuf, std::path::PathBuf) {
    let (certificate, key) = served.authority.sign(&["ann@example.com"], |_| {});
    let path = |name: &str| served.folder.path().join(name);
    fs::write(path("client.pem"), certificate.pem()).expect("written");
    fs::write(path("client.key"), key.serialize_pem()).expect("written");
    (path("client.pem"), path("client.key"))
}

fn options(served: &Served) -> ConnectOptions {
    ConnectOptions::new().add_root_certificates(served.folder.path().join("ca.pem"))
}

async fn connect(served: &Served, options: ConnectOptions) -> Client {
    let url = format!("tls://localhost:{}", served.address().port());
    options.connect(url).await.expect("it connects")
}

/// Messages of all sizes arrive, whole and in order.
async fn exchange(publisher: &Client, listener: &Client) {
    let mut messages = listener.subscribe("load.*").await.expect("a subscription");
    listener.flush().await.expect("flushed");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sizes = [0, 1, 15, 16 << 10, (16 << 10) + 1, 100_000, 1 << 20, 3];
    for (index, size) in sizes.into_iter().cycle().take(64).enumerate() {
        let byte = u8::try_from(index % 251).expect("small");
        publisher.publish(format!("load.{index}"), vec![byte; size].into()).await.expect("sent");
    }
    for (index, size) in sizes.into_iter().cycle().take(64).enumerate() {
        let next = tokio::time::timeout(PATIENCE, messages.next()).await;
        let message = next.expect("something comes").expect("a message");
        let byte = u8::try_from(index % 251).expect("small");
        assert_eq!(message.subject.as_str(), format!("load.{index}"));
        assert!(message.payload.len() == size && message.payload.iter().all(|it| *it == byte));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_all_sizes_arrive_over_tls() {
    let served = Served::by(&ringbus(2), "", "");
    let options = || options(&served).require_tls(true);
    exchange(&connect(&served, options()).await, &connect(&served, options()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_all_sizes_arrive_with_certificates_on_both_sides() {
    let served = Served::by(&ringbus(2), "verify: true", "");
    let (certificate, key) = own(&served);
    let options = || options(&served).add_client_certificate(certificate.clone(), key.clone());
    exchange(&connect(&served, options()).await, &connect(&served, options()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_tls_and_one_without_talk_to_each_other() {
    let served = Served::by(&ringbus(2), "", "allow_non_tls: true");
    let secure = connect(&served, options(&served)).await;
    let plain =
        async_nats::connect(format!("nats://{}", served.address())).await.expect("connects");
    exchange(&secure, &plain).await;
    exchange(&plain, &secure).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_comes_first() {
    for first in ["true", "auto", "\"1s\""] {
        let served = Served::by(&ringbus(2), &format!("handshake_first: {first}"), "");
        let options = || options(&served).tls_first();
        exchange(&connect(&served, options()).await, &connect(&served, options()).await).await;
    }
}

/// A key, and what users are known by who have it.
const SEED: &str = "SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4";
const KEY: &str = "UBINYEGO2GOZFFKLRPD53UCERVVKIIQBBW3RYEWX274ERT6CMFSZOW6M";

#[tokio::test(flavor = "multi_thread")]
async fn a_key_over_tls() {
    let top = format!("authorization {{ users: [ {{ nkey: {KEY} }} ] }}");
    let served = Served::by(&ringbus(2), "", &top);
    let trusts = |options: ConnectOptions| {
        options.add_root_certificates(served.folder.path().join("ca.pem"))
    };
    let with = || trusts(ConnectOptions::with_nkey(SEED.to_owned()));
    exchange(&connect(&served, with()).await, &connect(&served, with()).await).await;
    let url = format!("tls://localhost:{}", served.address().port());
    trusts(ConnectOptions::new()).connect(url).await.expect_err("nobody is let in without");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_says_who_it_is() {
    let top = "authorization { users: [ { user: \"ann@example.com\" } ] }";
    let served = Served::by(&ringbus(2), "verify_and_map: true", top);
    let (certificate, key) = own(&served);
    let options = || options(&served).add_client_certificate(certificate.clone(), key.clone());
    exchange(&connect(&served, options()).await, &connect(&served, options()).await).await;
}
