//! A frame that another shard sent: deliver here, send on, or answer.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::{ConnId, ShardId};
use crate::interest::MatchSet;
use crate::mesh::frame::encode_group;
use crate::mesh::{Frame, GroupNames, MessageFrame};

use super::answers::{Lead, is_answer};
use super::identity::Described;
use super::{Head, Memo, Reach};

/// How often a message for a queue group is sent on before it is given up. Each time, the members
/// that were known left while it was on its way.
const HOPS_MAX: u8 = 16;

/// What the publisher's shard has to do about an arrived frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Nothing.
    None,
    /// That publisher of this shard should know that all its receivers there have fallen behind.
    Behind(ConnId),
}

impl Exchange {
    /// Carries out one frame from shard `from`. `memo` remembers the last subject from there.
    pub fn arrive(&mut self, now: Now, memo: &mut Memo, frame: &Frame<'_>) -> Answer {
        match frame {
            Frame::Message(message) => self.arrive_message(now, memo, message),
            Frame::NoResponders { reply, .. } if is_answer(reply) => {
                self.unanswered(reply);
                Answer::None
            }
            Frame::NoResponders { conn, reply, subject } => {
                if let Some(account) = self.account_of(*conn) {
                    self.no_responders(*conn, account, reply, subject);
                }
                Answer::None
            }
            Frame::Stalled { conn } => Answer::Behind(*conn),
            Frame::Responder { reply, about, round_trip } => {
                let described = || Described { json: about.to_vec(), round_trip: *round_trip };
                self.responder =
                    self.answers.find(reply).map(|token| (token, Rc::new(described())));
                Answer::None
            }
        }
    }

    fn arrive_message(&mut self, now: Now, memo: &mut Memo, frame: &MessageFrame<'_>) -> Answer {
        let (message, origin) = (&frame.message, frame.origin);
        let set = memo.look_up(&mut self.interest, message.account, message.subject);
        // A message that comes back to its publisher's shard is still the publisher's own.
        let home = origin.shard == self.peers.me();
        let publisher = home.then(|| origin.conn.slot());
        let mut reach = Reach::default();
        if origin.hops == 0
            && is_answer(message.subject)
            && let Lead::Here(token) = self.answers.lead(message.account, message.subject)
        {
            reach = self.answer(now, token, message, publisher);
        }
        if frame.plain {
            reach.merge(self.fan_out().to_all(&set.plain, memo.head(), message, publisher));
        }
        let mut homeless: SmallVec<[(&[u8], ShardId); 2]> = SmallVec::new();
        for name in frame.groups {
            match self.arrive_group(&set, name, memo.head(), frame, publisher) {
                Ok(reached) => reach.merge(reached),
                Err(Some(shard)) => homeless.push((name, shard)),
                Err(None) => {}
            }
        }
        let sent_on = self.send_on(&homeless, frame, reach);
        if reach.behind && !reach.keeping_up && !home {
            self.all_behind(origin.shard, origin.conn);
        }
        let unheard = origin.sole && !sent_on && !reach.any();
        if unheard && origin.no_responders && !message.reply.is_empty() {
            if home {
                self.no_responders(origin.conn, message.account, message.reply, message.subject);
            } else {
                let (reply, subject) = (message.reply, message.subject);
                let answer = Frame::NoResponders { conn: origin.conn, reply, subject };
                self.peers.send_on(origin.shard, &answer);
            }
        }
        Answer::None
    }

    /// This shard was picked for a group. Its members may have left since: then says which shard
    /// has one, if any does.
    fn arrive_group(
        &mut self,
        set: &MatchSet,
        name: &[u8],
        head: Head<'_>,
        frame: &MessageFrame<'_>,
        publisher: Option<u32>,
    ) -> Result<Reach, Option<ShardId>> {
        let Some(group) = set.groups.iter().find(|group| *group.name == *name) else {
            return Err(None);
        };
        let random = self.rng.u64(..);
        let start = usize::try_from(random).unwrap_or(0) % group.local.len().max(1);
        let message = &frame.message;
        let reach = self.fan_out().to_first(&group.local, start, head, message, publisher);
        if reach.any() { Ok(reach) } else { Err(group.pick_remote(random)) }
    }

    /// Sends a message on to the shards that have members of these groups. Such a shard answers for
    /// it only if nowhere else anybody got it or may still get it. False if it went nowhere.
    fn send_on(
        &mut self,
        homeless: &[(&[u8], ShardId)],
        frame: &MessageFrame<'_>,
        reach: Reach,
    ) -> bool {
        let mut origin = frame.origin;
        origin.hops += 1;
        if origin.hops > HOPS_MAX {
            return false;
        }
        origin.sole &= !reach.any() && homeless.len() == 1;
        let mut sent = false;
        for (name, shard) in homeless {
            let mut names = Vec::new();
            encode_group(name, &mut names);
            let groups = GroupNames::new(&names);
            let onward = MessageFrame { message: frame.message, plain: false, groups, origin };
            self.stats.sent_on += 1;
            sent |= self.peers.send_on(*shard, &Frame::Message(onward));
        }
        sent
    }

    /// Tells a publisher's shard that everybody here who gets its messages has fallen behind; once
    /// per turn for messages of one publisher in a row.
    fn all_behind(&mut self, shard: ShardId, conn: ConnId) {
        if self.last_stalled != Some((shard, conn)) {
            self.last_stalled = Some((shard, conn));
            self.peers.send_on(shard, &Frame::Stalled { conn });
        }
    }
}
