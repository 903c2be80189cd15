//! A shard alone, told by the process to let connections go.

use std::sync::Arc;

use crate::clock::Now;
use crate::event::What;
use crate::ids::{ClientId, ConnId};
use crate::limits::Limits;
use crate::mesh;
use crate::options::{Open, Options};
use crate::session::Peer;
use crate::wire::info::Info;

use super::{Command, Shard};

fn shard() -> Shard {
    let options = Options {
        info: Info { connect_urls: vec!["127.0.0.1:1".to_owned()], ..Info::default() },
        limits: Limits::default(),
        authenticator: Arc::new(Open),
        accounts: Arc::default(),
        transports: None,
        trace: false,
        traced_payload_max: 0,
    };
    let endpoint = mesh::mesh(1).pop().expect("one endpoint");
    Shard::new(Arc::new(options), endpoint, Now::ZERO, 1)
}

fn connect(shard: &mut Shard, number: u64, protocol: u8) -> ConnId {
    let address = ([127, 0, 0, 1], 1).into();
    let conn = shard.on_open(Now::ZERO, Peer { client: ClientId::new(number), address });
    let connect = format!("CONNECT {{\"protocol\":{protocol}}}\r\n");
    shard.on_bytes(Now::ZERO, conn, connect.as_bytes());
    written(shard, conn);
    conn
}

/// Takes what waits for a connection, as if its socket had taken it.
fn written(shard: &mut Shard, conn: ConnId) -> String {
    let mut bytes = Vec::new();
    for slice in shard.outbox(conn).expect("it is open").pieces(64) {
        bytes.extend_from_slice(slice);
    }
    shard.on_written(Now::ZERO, conn, bytes.len());
    String::from_utf8(bytes).expect("INFO is text")
}

/// How many connections have ended since the last call.
fn ended(shard: &mut Shard) -> usize {
    let commands = std::iter::from_fn(|| shard.take_command());
    commands.filter(|command| matches!(command, Command::Finish(_))).count()
}

#[test]
fn as_many_are_shed_as_there_should_be_and_nobody_twice() {
    let mut shard = shard();
    for number in 1..=10 {
        connect(&mut shard, number, 1);
    }
    shard.on_shed(Now::ZERO, 1);
    assert_eq!(ended(&mut shard), 1);
    shard.on_shed(Now::ZERO, 6);
    assert_eq!(ended(&mut shard), 6);
    shard.on_shed(Now::ZERO, 0);
    assert_eq!(ended(&mut shard), 0);
    shard.on_shed(Now::ZERO, 100);
    assert_eq!(ended(&mut shard), 3);
    shard.on_shed(Now::ZERO, 1);
    assert_eq!(ended(&mut shard), 0);
    let closed = std::iter::from_fn(|| shard.take_event())
        .filter(|event| matches!(event.what, What::Closed(_)))
        .count();
    assert_eq!(closed, 10);
}

#[test]
fn one_who_came_back_to_an_earlier_seat_is_shed_too() {
    let mut shard = shard();
    let first = connect(&mut shard, 1, 1);
    connect(&mut shard, 2, 1);
    shard.on_shed(Now::ZERO, 1);
    shard.on_hang_up(Now::ZERO, first, crate::error::CloseReason::ClientClosed);
    shard.on_released(first);
    ended(&mut shard);
    assert_eq!(connect(&mut shard, 3, 1).slot(), first.slot());
    shard.on_shed(Now::ZERO, 2);
    assert_eq!(ended(&mut shard), 2);
}

#[test]
fn a_lame_duck_tells_those_who_listen_and_names_no_address_of_its_own() {
    let mut shard = shard();
    let modern = connect(&mut shard, 1, 1);
    let plain = connect(&mut shard, 2, 0);
    shard.on_lame_duck();
    let told = written(&mut shard, modern);
    assert!(told.starts_with("INFO {") && told.contains("\"ldm\":true"), "{told}");
    assert!(!told.contains("connect_urls"), "{told}");
    assert_eq!(written(&mut shard, plain), "");
}
