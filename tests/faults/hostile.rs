//! Clients that talk nonsense, too slowly, or not at all.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::{Bystanders, Patient, connect_from, reset};

/// Connections that say too little.
const SLOW: usize = 2_000;

/// Connections that send garbage, and how much each.
const GARBAGE: usize = 2_000;
const GARBAGE_BYTES: usize = 16 << 10;

/// What the slow ones say, one byte at a time.
const SPEECH: &[u8] = b"CONNECT {\"verbose\":false}\r\nSUB slow 1\r\nPING\r\n";

#[test]
fn two_thousand_half_open_and_byte_at_a_time() {
    let patient = Patient::start();
    let bystanders = Bystanders::start(patient.address());
    let count = patient.at_most(SLOW);
    let mut streams: Vec<TcpStream> =
        (0..count).map(|i| connect_from(i, patient.address())).collect();
    let (silent, slow) = streams.split_at_mut(count / 2);
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"CONNECT {\"verb").unwrap();
    }
    for stream in slow.iter_mut() {
        stream.set_nodelay(true).unwrap();
    }
    for byte in SPEECH {
        for stream in slow.iter_mut() {
            stream.write_all(&[*byte]).unwrap();
        }
    }
    for stream in slow {
        assert!(answered(stream), "a slow client was not answered");
    }
    bystanders.check();
    // Half of them hang up, half are cut.
    for (i, stream) in streams.into_iter().enumerate() {
        if i % 2 == 0 {
            reset(stream);
        }
    }
    patient.check();
}

/// Reads until PONG.
fn answered(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while !received.ends_with(b"PONG\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => received.extend(&chunk[..n]),
            _ => return false,
        }
    }
    true
}

#[test]
fn garbage_on_many_connections() {
    let patient = Patient::start();
    let bystanders = Bystanders::start(patient.address());
    let address = patient.address();
    let attackers: Vec<_> = (0..4)
        .map(|part| {
            thread::spawn(move || {
                for i in (part..GARBAGE).step_by(4) {
                    let mut random = Random(i as u64 + 1);
                    let mut stream = connect_from(i, address);
                    // The server may close at any byte; a write that fails is its right.
                    for piece in garbage(&mut random).chunks(1 + i * 7 % 3000) {
                        if stream.write_all(piece).is_err() {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for attacker in attackers {
        attacker.join().unwrap();
    }
    bystanders.check();
    patient.check();
}

/// Mostly operations, some of them damaged: pure noise never gets past the first byte.
fn garbage(random: &mut Random) -> Vec<u8> {
    const PARTS: [&[u8]; 12] = [
        b"CONNECT {\"verbose\":false,\"headers\":true}\r\n",
        b"CONNECT {\"name\":\"\\ud800\",\"protocol\":1}\r\n",
        b"SUB garbage.> 1\r\n",
        b"SUB garbage.* group 2\r\n",
        b"UNSUB 1 3\r\n",
        b"PUB garbage.a 5\r\nhello\r\n",
        b"PUB garbage.b garbage.c 0\r\n\r\n",
        b"HPUB garbage.a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        b"PING\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
        b"PUB garbage.d 99999\r\n",
    ];
    let mut bytes = Vec::new();
    let damage_one_in = 1 + random.below(200);
    while bytes.len() < GARBAGE_BYTES {
        let part = PARTS[random.below(PARTS.len())];
        let start = bytes.len();
        bytes.extend(part);
        if random.below(damage_one_in) == 0 {
            let at = start + random.below(part.len());
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
    }
    bytes
}

/// A small generator, so that every run sends the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}
