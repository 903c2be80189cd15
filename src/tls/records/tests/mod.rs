//! One client's TLS against rustls as a client, on the same bench: what comes in which pieces, how
//! it ends, and when keys are used up.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod pieces;

use std::io::{Read, Write};

use ringbus_shard::clock::Now;
use ringbus_shard::transport::Transports;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedCipherSuite, Tls12CipherSuite};

use super::*;
use crate::tls::Offer;
use crate::tls::choice::Suites;
use crate::tls::clients::{Clients, Door};
use crate::tls::tests::{offer, roots};

/// Both ends of a connection whose handshake has not begun.
struct Bench {
    client: ClientConnection,
    server: Box<dyn Transport>,
    /// What the server said since it was looked at.
    said: Vec<u8>,
    heard: Vec<u8>,
}

impl Bench {
    fn with(suites: &[SupportedCipherSuite]) -> Self {
        let offer = Offer { suites: Some(Suites(suites.to_vec())), ..offer(&["localhost"]) };
        let provider = rustls::crypto::CryptoProvider {
            cipher_suites: suites.to_vec(),
            ..aws_lc_rs::default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&offer))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        client.set_buffer_limit(None);
        let first = ringbus_shard::transport::First::No;
        let door = Door { offer, optional: false, first, authorities: None, pinned: None };
        let server = Clients::new(&door).unwrap().accept(Now::ZERO).unwrap();
        Self { client, server, said: Vec::new(), heard: Vec::new() }
    }

    /// What the client has to say.
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn shake(&mut self, mut input: Vec<u8>) -> Shaken {
        let shaken = self.server.shake(&mut input, &mut self.said);
        assert!(shaken.consumed <= input.len());
        shaken
    }

    fn open(&mut self, input: Vec<u8>) -> Opened {
        let heard = &mut self.heard;
        let mut plain = |bytes: &[u8]| heard.extend_from_slice(bytes);
        self.server.open(&input, &mut self.said, &mut plain)
    }

    /// The client reads what the server said; returns it in plain, and whether that is all.
    fn read(&mut self) -> (Vec<u8>, bool) {
        let said = std::mem::take(&mut self.said);
        let (mut said, mut plain) = (said.as_slice(), Vec::new());
        loop {
            while !said.is_empty() && self.client.wants_read() {
                self.client.read_tls(&mut said).unwrap();
                self.client.process_new_packets().unwrap();
            }
            match self.client.reader().read_to_end(&mut plain) {
                Ok(_) => return (plain, true),
                Err(_) if said.is_empty() => return (plain, false),
                Err(_) => {}
            }
        }
    }

    /// The handshake up to the client's last flight, which is returned.
    fn last_flight(&mut self) -> Vec<u8> {
        let hello = self.flight();
        assert!(!self.server.is_answered());
        assert!(self.shake(hello).outcome.unwrap().is_none());
        assert!(self.server.is_answered());
        self.read();
        self.flight()
    }

    fn establish(&mut self) {
        let last = self.last_flight();
        assert!(self.shake(last).outcome.unwrap().is_some());
        self.read();
        assert!(!self.client.is_handshaking());
    }
}

const SUITES: [SupportedCipherSuite; 2] =
    [cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];

#[test]
fn the_end_of_the_handshake_with_data_and_an_end_behind_it_is_no_failure() {
    // Only in TLS 1.3 may a client send data before it heard that the handshake is over.
    for behind in [0, 1, 3_000, 9_000, 40_000] {
        let mut bench = Bench::with(&SUITES[..1]);
        let mut input = bench.last_flight();
        let data = vec![b'x'; behind];
        bench.client.writer().write_all(&data).unwrap();
        bench.client.send_close_notify();
        input.extend(bench.flight());
        input.extend(b"and something that nobody may read");
        let shaken = bench.shake(input.clone());
        assert!(shaken.outcome.unwrap().is_some(), "{behind}");
        let opened = bench.open(input[shaken.consumed..].to_vec());
        assert_eq!(opened.outcome, Ok(Peering::Ended), "{behind}");
        assert!(bench.heard == data, "{behind}: {}", bench.heard.len());
        // It still hears an answer, and the end.
        bench.server.seal(b"bye", &mut bench.said).unwrap();
        bench.server.close(&mut bench.said);
        assert_eq!(bench.read(), (b"bye".to_vec(), true));
    }
}

#[test]
fn an_end_before_the_handshake_is_over_establishes_nothing() {
    for suites in [&SUITES[..1], &SUITES[1..]] {
        let mut bench = Bench::with(suites);
        let hello = bench.flight();
        assert!(bench.shake(hello).outcome.unwrap().is_none());
        // A warning that nothing more will come, in the clear.
        let end = bench.shake(b"\x15\x03\x03\x00\x02\x01\x00".to_vec());
        assert!(!matches!(end.outcome, Ok(Some(_))), "{end:?}");
    }
}

#[test]
fn who_is_asked_for_another_curve_was_not_answered() {
    let mut bench = Bench::with(&SUITES[..1]);
    let offer = Offer {
        curves: Some(crate::tls::choice::Curves::chosen(vec![aws_lc_rs::kx_group::SECP384R1])),
        ..offer(&["localhost"])
    };
    let first = ringbus_shard::transport::First::No;
    let door = Door { offer, optional: false, first, authorities: None, pinned: None };
    bench.server = Clients::new(&door).unwrap().accept(Now::ZERO).unwrap();
    let hello = bench.flight();
    assert!(bench.shake(hello).outcome.unwrap().is_none());
    assert!(!bench.said.is_empty() && !bench.server.is_answered());
    bench.read();
    let hello = bench.flight();
    assert!(bench.shake(hello).outcome.unwrap().is_none());
    assert!(bench.server.is_answered());
}

/// Keys that seal no more than a few records.
fn short_lived(limit: u64) -> [SupportedCipherSuite; 2] {
    let [SupportedCipherSuite::Tls13(new), SupportedCipherSuite::Tls12(old)] = SUITES else {
        panic!("others");
    };
    let common = |common: &rustls::CipherSuiteCommon| rustls::CipherSuiteCommon {
        confidentiality_limit: limit,
        ..*common
    };
    let new = rustls::Tls13CipherSuite { common: common(&new.common), ..*new };
    let old = Tls12CipherSuite { common: common(&old.common), ..*old };
    // A test has few of these.
    [SupportedCipherSuite::Tls13(Box::leak(Box::new(new))), {
        SupportedCipherSuite::Tls12(Box::leak(Box::new(old)))
    }]
}

#[test]
fn keys_that_are_used_up_are_renewed_in_tls_13() {
    let mut bench = Bench::with(&short_lived(10)[..1]);
    bench.establish();
    for number in 0..1_000_u32 {
        let text = number.to_string();
        bench.server.seal(text.as_bytes(), &mut bench.said).unwrap();
        assert_eq!(bench.read(), (text.into_bytes(), false));
        assert_eq!(bench.server.is_worn(), None);
        bench.client.writer().write_all(b"PING").unwrap();
        let ping = bench.flight();
        assert_eq!(bench.open(ping).outcome, Ok(Peering::GoesOn));
    }
    assert_eq!(bench.heard.len(), 4_000);
}

#[test]
fn keys_that_are_used_up_end_a_connection_of_tls_12_before_anything_is_lost() {
    let mut bench = Bench::with(&short_lived(100)[1..]);
    bench.establish();
    let mut number = 0_u32;
    while bench.server.is_worn().is_none() {
        bench.server.seal(&number.to_be_bytes(), &mut bench.said).unwrap();
        assert_eq!(bench.read(), (number.to_be_bytes().to_vec(), false));
        number += 1;
    }
    assert!((40..=60).contains(&number), "{number}");
    // What waits can still be said, and that it is the end.
    bench.server.seal(&[b'x'; 100_000], &mut bench.said).unwrap();
    bench.server.close(&mut bench.said);
    let (plain, ended) = bench.read();
    assert!(plain == vec![b'x'; 100_000] && ended);
}
