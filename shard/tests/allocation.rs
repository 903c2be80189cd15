//! In steady state a message costs no allocation: not on its publisher's shard, not on the way to
//! another one, not on a receiver's.
//!
//! What is counted: every call of the global allocator, by any code, while messages of 16 bytes go
//! from `on_bytes` of the publisher through whole turns of all shards into the writes of the
//! receivers, after a warm-up in which buffers find their size. Sockets are not there: what is
//! written is looked at where it lies.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringbus_shard::clock::Now;
use ringbus_shard::engine::Shard;
use ringbus_shard::ids::{ClientId, ConnId, ShardId};
use ringbus_shard::limits::Limits;
use ringbus_shard::mesh::mesh;
use ringbus_shard::options::{Open, Options};
use ringbus_shard::session::Peer;
use ringbus_shard::wire::info::Info;

/// Counts what it hands on to the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Messages in one piece of input.
const PER_READ: usize = 200;

/// Pieces of input before it is counted.
const WARM_UP: usize = 200;

/// Pieces of input that are counted.
const COUNTED: usize = 500;

/// Shards whose sockets take everything at once.
struct Shards {
    shards: Vec<Shard>,
    wake: Vec<ShardId>,
    written: usize,
}

impl Shards {
    fn new(count: usize) -> Self {
        let options = Arc::new(Options {
            info: Info { headers: true, ..Info::default() },
            limits: Limits::default(),
            authenticator: Arc::new(Open),
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
        let said = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\n{said}");
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

/// Allocations while messages go from a publisher on the first shard to `receivers` on the last.
fn allocations(shards: usize, receivers: usize) -> u64 {
    let last = shards - 1;
    let mut shards = Shards::new(shards);
    let publisher = shards.client(0, "");
    for _ in 0..receivers {
        shards.client(last, "SUB subject 1\r\n");
    }
    shards.turn(None);
    shards.turn(None);
    let input = "PUB subject 16\r\n0123456789abcdef\r\n".repeat(PER_READ);
    let output = "MSG subject 1 16\r\n0123456789abcdef\r\n".len() * PER_READ * receivers;
    for _ in 0..WARM_UP {
        shards.turn(Some((publisher, input.as_bytes())));
    }
    shards.turn(None);
    shards.written = 0;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..COUNTED {
        shards.turn(Some((publisher, input.as_bytes())));
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(shards.written, COUNTED * output, "everything was delivered");
    allocations
}

/// One test, since what other threads allocate would be counted too.
#[test]
fn a_message_costs_no_allocation() {
    for (shards, receivers) in [(1, 1), (1, 10), (2, 1), (2, 10)] {
        assert_eq!(allocations(shards, receivers), 0, "{shards} shards, {receivers} receivers");
    }
}
