//! What a client says last in its handshake, and what stands behind it, in pieces that know nothing
//! of records: a network cuts where it likes. On a whole shard, which is what puts them together.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use ringbus_shard::account::Accounts;
use ringbus_shard::engine::Shard;
use ringbus_shard::event::What;
use ringbus_shard::ids::{ClientId, ConnId};
use ringbus_shard::limits::Limits;
use ringbus_shard::mesh::mesh;
use ringbus_shard::options::{Open, Options};
use ringbus_shard::session::Peer;
use ringbus_shard::transport::{First, Output};
use ringbus_shard::wire::info::Info;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::*;

/// Longer than what is looked at together during a handshake.
const PAYLOAD: usize = 6_000;

/// A client with a certificate, and a shard that wants one.
struct Scene {
    shard: Shard,
    conn: ConnId,
    client: ClientConnection,
    heard: Vec<u8>,
}

/// How the client speaks.
#[derive(Clone, Copy, Debug)]
struct Manner {
    version: &'static SupportedProtocolVersion,
    /// Bytes of its longest record, if it has a limit of its own.
    record_max: Option<usize>,
    /// How many certificates stand behind its own.
    chain: usize,
}

const MANNERS: [Manner; 4] = [
    Manner { version: &TLS13, record_max: None, chain: 0 },
    Manner { version: &TLS13, record_max: Some(200), chain: 0 },
    Manner { version: &TLS12, record_max: None, chain: 0 },
    Manner { version: &TLS12, record_max: Some(200), chain: 0 },
];

/// Certificates that are longer than what is looked at together.
const LONG: Manner = Manner { version: &TLS13, record_max: Some(1_500), chain: 28 };

/// What does not change from one client to the next.
struct Place {
    config: Arc<ClientConfig>,
    clients: Arc<Clients>,
    new: bool,
}

impl Place {
    fn new(manner: Manner) -> Self {
        let (offer, own) = (offer(&["localhost"]), offer(&["client"]));
        let authorities = Some(Arc::new(roots(&own)));
        let own = &own.certificates[0];
        let chain = std::iter::repeat_n(own.cert[0].clone(), 1 + manner.chain).collect();
        let own = rustls::sign::CertifiedKey::new(chain, Arc::clone(&own.key));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[manner.version])
            .unwrap()
            .with_root_certificates(roots(&offer))
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)));
        config.max_fragment_size = manner.record_max;
        let door = Door { offer, optional: false, first: First::No, authorities, pinned: None };
        let clients = Arc::new(Clients::new(&door).unwrap());
        Self { config: Arc::new(config), clients, new: manner.version == &TLS13 }
    }

    /// A client before its last flight, which is given too; with data behind it where there may be.
    fn scene(&self) -> (Scene, Vec<u8>) {
        let clients = Arc::clone(&self.clients);
        let options = Options {
            info: Info::default(),
            limits: Limits::default(),
            authenticator: Arc::new(Open),
            accounts: Arc::<Accounts>::default(),
            transports: Some(clients),
            trace: false,
            traced_payload_max: 0,
        };
        let endpoint = mesh(1).pop().unwrap();
        let mut shard = Shard::new(Arc::new(options), endpoint, Now::ZERO, 7);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let conn = shard.on_open(Now::ZERO, Peer { client: ClientId::new(1), address });
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut scene = Scene { shard, conn, client, heard: Vec::new() };
        scene.look();
        let hello = scene.flight();
        scene.sends(&hello);
        scene.look();
        let mut last = scene.flight();
        if self.new {
            scene.client.writer().write_all(&said()).unwrap();
            last.extend(scene.flight());
        }
        (scene, last)
    }

    /// Whether everything is as it should be, when the last flight comes like this.
    fn check<'a>(&self, mut scene: Scene, pieces: impl Iterator<Item = &'a [u8]>) {
        for piece in pieces {
            scene.sends(piece);
        }
        scene.look();
        assert!(!scene.client.is_handshaking(), "it waits for more: {:?}", scene.why());
        if !self.new {
            scene.client.writer().write_all(&said()).unwrap();
            let data = scene.flight();
            scene.sends(&data);
            scene.look();
        }
        let wanted = [b"PONG\r\nMSG a 1 6000\r\n", &[b'x'; PAYLOAD][..], b"\r\nPONG\r\n"].concat();
        let why = scene.why();
        assert!(scene.heard == wanted, "{} {why:?}", scene.heard.escape_ascii());
    }
}

/// What every client says.
fn said() -> Vec<u8> {
    let begin = b"CONNECT {\"verbose\":false}\r\nPING\r\nSUB a 1\r\nPUB a 6000\r\n";
    [begin, &[b'x'; PAYLOAD][..], b"\r\nPING\r\n"].concat()
}

impl Scene {
    fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut flight).unwrap();
        }
        flight
    }

    fn sends(&mut self, bytes: &[u8]) {
        self.shard.on_bytes(Now::ZERO, self.conn, bytes);
        while let Some((conn, step)) = self.shard.take_handshake() {
            self.shard.on_handshake(Now::ZERO, conn, step.run());
        }
        self.shard.commit(&mut Vec::new());
    }

    /// The client reads everything that the server has to say.
    fn look(&mut self) {
        while self.shard.take_dirty().is_some() {}
        loop {
            let (count, sealed) = match self.shard.output(Now::ZERO, self.conn) {
                None => break,
                // INFO, which comes first.
                Some(Output::Plain(outbox)) => {
                    (outbox.pieces(1000).map(<[u8]>::len).sum(), Vec::new())
                }
                Some(Output::Sealed(bytes)) => (bytes.len(), bytes.to_vec()),
            };
            let mut rest = sealed.as_slice();
            while !rest.is_empty() {
                self.client.read_tls(&mut rest).unwrap();
                self.client.process_new_packets().unwrap();
                let _ = self.client.reader().read_to_end(&mut self.heard);
            }
            self.shard.on_written(Now::ZERO, self.conn, count);
        }
        self.shard.flushed();
    }

    fn why(&mut self) -> Vec<String> {
        let mut why = Vec::new();
        while let Some(event) = self.shard.take_event() {
            if let What::Insecure(insecure) = event.what {
                why.push(format!("{insecure:?}"));
            }
        }
        why
    }
}

#[test]
fn the_last_flight_may_be_cut_anywhere() {
    for manner in MANNERS {
        let place = Place::new(manner);
        let mut at = 1;
        loop {
            let (scene, flight) = place.scene();
            // Not every flight is as long as the next: signatures are not.
            let Some((head, tail)) = flight.split_at_checked(at) else { break };
            place.check(scene, [head, tail].into_iter());
            // Everywhere in a handshake, here and there in one of many records, and in what stands
            // behind it.
            let behind = place.new && at > flight.len() - PAYLOAD;
            at += if behind { 97 } else { manner.record_max.map_or(1, |_| 5) };
        }
        assert!(at > 500, "{manner:?}: {at}");
    }
}

#[test]
fn the_last_flight_may_come_byte_by_byte() {
    for manner in MANNERS.into_iter().chain([LONG]) {
        let place = Place::new(manner);
        let (scene, flight) = place.scene();
        place.check(scene, flight.chunks(1));
    }
}

#[test]
fn certificates_that_take_many_records_may_be_cut_anywhere() {
    let place = Place::new(LONG);
    let (_, flight) = place.scene();
    assert!(flight.len() > 2 * STEP_BYTES + PAYLOAD, "{}", flight.len());
    for at in (1..flight.len() - 20).step_by(53) {
        let (scene, flight) = place.scene();
        let (head, tail) = flight.split_at(at);
        place.check(scene, [head, tail].into_iter());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_last_flight_may_come_in_three_pieces(
        manner in prop::sample::select(MANNERS.into_iter().chain([LONG]).collect::<Vec<_>>()),
        cuts in prop::array::uniform2(any::<prop::sample::Index>()),
    ) {
        let place = Place::new(manner);
        let (scene, flight) = place.scene();
        let [one, other] = cuts.map(|cut| cut.index(flight.len()));
        let (first, last) = (one.min(other), one.max(other));
        let pieces = [&flight[..first], &flight[first..last], &flight[last..]];
        place.check(scene, pieces.into_iter().filter(|piece| !piece.is_empty()));
    }
}
