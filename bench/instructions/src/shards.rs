//! Whole shards: from the bytes of a publisher through turns of all shards to the bytes that its
//! receivers are sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ringbus_shard::authorize::{Lists, Permissions, Rules};
use ringbus_shard::clock::Now;
use ringbus_shard::engine::Shard;
use ringbus_shard::ids::{ClientId, ConnId, ShardId};
use ringbus_shard::limits::Limits;
use ringbus_shard::mesh::mesh;
use ringbus_shard::options::{Authenticator, Grant, Offer, Open, Options, Verdict};
use ringbus_shard::session::Peer;
use ringbus_shard::wire::info::Info;

use crate::{Scenario, Work};

/// Everything of this file. `shard/1_to_10` is ten deliveries per message, and so on.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "shard/1_to_0", prepare: || publish(1, &[]) },
    Scenario { name: "shard/1_to_1", prepare: || publish(1, &[SUB]) },
    Scenario { name: "shard/1_to_10", prepare: || publish(1, &[SUB; 10]) },
    Scenario { name: "shard/1_to_50", prepare: || publish(1, &[SUB; 50]) },
    Scenario { name: "shard/1_to_group_of_5", prepare: || publish(1, &[QUEUE; 5]) },
    Scenario { name: "shard/headers_1_to_1", prepare: || exchange(1, &[SUB], HPUB) },
    Scenario { name: "shard/request_unheard", prepare: || exchange(1, &[], REQUEST) },
    Scenario { name: "shard/ruled_1_to_1", prepare: || ruled(PUB) },
    Scenario { name: "shard/ruled_2_subjects", prepare: || ruled(PUB_TWO) },
    Scenario { name: "shard/unruled_2_subjects", prepare: || exchange(1, &[ALL], PUB_TWO) },
    Scenario { name: "shard/sub_unsub", prepare: || exchange(1, &[], COME_AND_GO) },
    Scenario { name: "two_shards/1_to_1", prepare: || publish(2, &[SUB]) },
    Scenario { name: "two_shards/1_to_10", prepare: || publish(2, &[SUB; 10]) },
    Scenario { name: "two_shards/1_to_group_of_5", prepare: || publish(2, &[QUEUE; 5]) },
    Scenario { name: "two_shards/sub_unsub", prepare: || exchange(2, &[], COME_AND_GO) },
];

const SUB: &str = "SUB subject 1\r\n";
const ALL: &str = "SUB * 1\r\n";
const QUEUE: &str = "SUB subject workers 1\r\n";
const PUB: &str = "PUB subject 16\r\n0123456789abcdef\r\n";
/// No subject is the same as the one before.
const PUB_TWO: &str =
    "PUB subject 16\r\n0123456789abcdef\r\nPUB another 16\r\n0123456789abcdef\r\n";
const HPUB: &str = "HPUB subject 23 39\r\nNATS/1.0\r\nname: yes\r\n\r\n0123456789abcdef\r\n";
const REQUEST: &str = "PUB subject _INBOX.QXzvLkP3.7 16\r\n0123456789abcdef\r\n";
const COME_AND_GO: &str = "SUB _INBOX.QXzvLkP3.* 7\r\nUNSUB 7\r\n";

/// Operations in one piece of input.
const PER_READ: usize = 200;

/// Shards whose sockets take everything at once.
struct Shards {
    shards: Vec<Shard>,
    wake: Vec<ShardId>,
    written: usize,
}

impl Shards {
    fn new(count: usize, authenticator: Arc<dyn Authenticator>) -> Self {
        let options = Arc::new(Options {
            info: Info { headers: true, ..Info::default() },
            limits: Limits::default(),
            authenticator,
            accounts: Arc::default(),
            transports: None,
            trace: false,
            traced_payload_max: 32,
        });
        let ends = mesh(count).into_iter();
        let shards = ends.map(|end| Shard::new(Arc::clone(&options), end, Now::ZERO, 1)).collect();
        Self { shards, wake: Vec::new(), written: 0 }
    }

    fn client(&mut self, shard: usize, said: &str) -> ConnId {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let client = ClientId::new(1);
        let conn = self.shards[shard].on_open(Now::ZERO, Peer { client, address });
        let connect = "{\"verbose\":false,\"headers\":true,\"no_responders\":true}";
        let said = format!("CONNECT {connect}\r\n{said}");
        self.shards[shard].on_bytes(Now::ZERO, conn, said.as_bytes());
        conn
    }

    /// A turn of every shard; the first also receives.
    fn turn(&mut self, input: Option<(ConnId, &[u8])>) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.on_mesh();
            if let Some((conn, bytes)) = input.filter(|_| index == 0) {
                shard.on_bytes(Now::ZERO, conn, bytes);
            }
            shard.on_batches(Now::ZERO);
            shard.on_time(Now::ZERO);
            shard.on_turn(Now::ZERO);
            shard.commit(&mut self.wake);
            self.wake.clear();
            while let Some(conn) = shard.take_dirty() {
                let waiting = shard.outbox(conn).map_or(0, |outbox| outbox.queued());
                self.written += waiting;
                shard.on_written(Now::ZERO, conn, waiting);
            }
            shard.flushed();
            while shard.take_command().is_some() || shard.take_event().is_some() {}
        }
    }
}

/// Messages from a publisher on the first shard to receivers on the last.
fn publish(shards: usize, receivers: &[&str]) -> Work {
    exchange(shards, receivers, PUB)
}

/// The same with any operation instead of a plain publish.
fn exchange(shards: usize, receivers: &[&str], operation: &str) -> Work {
    let shards = Shards::new(shards, Arc::new(Open));
    exchange_over(shards, receivers, operation)
}

/// Between two clients with rules that the subject of the operation is within, and that the
/// subscription goes beyond.
fn ruled(operation: &str) -> Work {
    exchange_over(Shards::new(1, Arc::new(Ruled::new())), &[ALL], operation)
}

/// Lets everybody in, with rules.
struct Ruled(Arc<Permissions>);

impl Ruled {
    fn new() -> Self {
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let allow = Some(texts(&["subject", "another", "orders.*.new", "_INBOX.>"]));
        let publish = Lists { allow, deny: texts(&["secret.>", "orders.7.*"]) };
        let subscribe = Lists { allow: None, deny: texts(&["secret", "orders.*.paid"]) };
        let rules = Rules { publish, subscribe, responses: None };
        Self(Arc::new(Permissions::new(rules).expect("rules are patterns")))
    }
}

impl Authenticator for Ruled {
    fn required(&self) -> bool {
        false
    }

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        let permissions = Some(Arc::clone(&self.0));
        Verdict::of(Some(Grant { permissions, ..Grant::default() }))
    }
}

fn exchange_over(mut shards: Shards, receivers: &[&str], operation: &str) -> Work {
    let last = shards.shards.len() - 1;
    let publisher = shards.client(0, "");
    for receiver in receivers {
        shards.client(last, receiver);
    }
    let input = operation.repeat(PER_READ);
    let messages = PER_READ * operation.matches("PUB ").count().max(1);
    // What must come out of each call, once it has come out of one.
    let mut due = None;
    shards.turn(None);
    shards.turn(None);
    Box::new(move || {
        shards.written = 0;
        shards.turn(Some((publisher, input.as_bytes())));
        let written = shards.written;
        assert_eq!(*due.get_or_insert(written), written, "as much is sent as before");
        messages as u64
    })
}
