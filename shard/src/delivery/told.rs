//! What accounts are told about one requester, written once and remembered until it says another
//! thing of itself, or its round trip takes another time.
//!
//! A client decides how long that is, up to several times what its CONNECT had: writing it for each
//! request would let short requests cost much.

use std::rc::Rc;
use std::time::Duration;

use crate::account::Accounts;
use crate::ids::AccountId;

use super::identity::{Described, Identity};

/// The lines about one requester, and what events say of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    round_trip: Option<Duration>,
    lines: Vec<Line>,
    /// What is always told, and all there is.
    described: [Option<Rc<Described>>; 2],
}

/// Which line about a requester it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    /// With all there is.
    pub(super) detailed: bool,
    /// With the name of the server.
    pub(super) with_server: bool,
    /// The account that the request came through.
    pub(super) service: Option<AccountId>,
}

#[derive(Debug)]
struct Line {
    kind: Kind,
    text: Vec<u8>,
}

impl Told {
    /// Forgets it all.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let lines = self.lines.iter().map(|line| line.text.capacity()).sum::<usize>();
        let described = self.described.iter().flatten().map(|it| it.json.capacity()).sum::<usize>();
        self.lines.capacity() * size_of::<Line>() + lines + described
    }

    /// What was told holds for that round trip only.
    fn hold_for(&mut self, round_trip: Duration) {
        if self.round_trip != Some(round_trip) {
            self.forget();
            self.round_trip = Some(round_trip);
        }
    }

    /// Sees to it that there is such a line. Returns how many bytes were written for it.
    pub(super) fn write(
        &mut self,
        kind: Kind,
        accounts: &Accounts,
        identity: &Identity<'_>,
    ) -> usize {
        self.hold_for(identity.round_trip);
        if self.lines.iter().any(|line| line.kind == kind) {
            return 0;
        }
        let service = kind.service.map(|account| accounts.name(account));
        let mut text = Vec::new();
        identity.line(kind.detailed, kind.with_server, service.as_deref(), &mut text);
        let written = text.len();
        self.lines.push(Line { kind, text });
        written
    }

    /// That line, if it was written.
    pub(super) fn line(&self, kind: Kind) -> Option<&[u8]> {
        let line = self.lines.iter().find(|line| line.kind == kind)?;
        Some(&line.text)
    }

    /// What events say of the requester, and how many bytes were written for that.
    pub(super) fn describe(
        &mut self,
        identity: &Identity<'_>,
        detailed: bool,
    ) -> (Rc<Described>, usize) {
        self.hold_for(identity.round_trip);
        if let Some(known) = &self.described[usize::from(detailed)] {
            return (Rc::clone(known), 0);
        }
        let described = Rc::new(identity.described(detailed));
        let written = described.json.len();
        self.described[usize::from(detailed)] = Some(Rc::clone(&described));
        (described, written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ClientId;
    use crate::wire::connect::ConnectOptions;

    #[test]
    fn everything_is_written_once_for_a_round_trip() {
        let connect = ConnectOptions { name: "<".repeat(3900), ..ConnectOptions::default() };
        let identity = |nanos| Identity {
            account: "B",
            user: None,
            client: ClientId::new(7),
            address: ([127, 0, 0, 1], 4222).into(),
            connect: &connect,
            start: Duration::ZERO,
            round_trip: Duration::from_nanos(nanos),
            server: "one",
        };
        let (accounts, mut told) = (Accounts::default(), Told::default());
        let kinds =
            [true, false].map(|all| Kind { detailed: all, with_server: all, service: None });
        for nanos in 1..3 {
            let mut written = 0;
            for _ in 0..1000 {
                for kind in kinds {
                    written += told.write(kind, &accounts, &identity(nanos));
                }
                written += told.describe(&identity(nanos), true).1;
            }
            assert!((2 * 6 * 3900..2 * 6 * 3900 + 1000).contains(&written), "{written}");
            let rtt = format!("\"rtt\":{nanos}");
            let line = told.line(kinds[1]).unwrap();
            assert!(String::from_utf8_lossy(line).contains(&rtt));
        }
        assert!(told.bytes() < 128 << 10);
        told.forget();
        assert!(told.line(kinds[0]).is_none() && told.bytes() == 0);
    }
}
