//! A message published here: receivers of this shard, then the other shards.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::engine::Exchange;
use crate::ids::{AccountId, ConnId, ShardId};
use crate::interest::{GroupMatch, MatchSet, Pick};
use crate::mesh::{MessageFrame, Origin};
use crate::wire::{encode, headers};

use super::{Fanout, Head, Memo, Message, Reach, answers};

/// Whose message it is.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// The connection, on this shard.
    pub conn: ConnId,
    /// It wants to know when nobody got its request.
    pub no_responders: bool,
    /// Other shards that said lately that all its receivers there have fallen behind.
    pub behind: &'a [ShardId],
    /// The message goes nowhere else.
    pub alone: bool,
    /// It is an answer to a request that came from another account, by this shard.
    pub answers: Option<ShardId>,
}

/// Queue groups for which another shard was picked: that shard, and the group's index.
type Elsewhere = SmallVec<[(ShardId, usize); 4]>;

impl Exchange {
    /// Who wants `subject`, or the shard whose lane has no room for it: then the publisher waits,
    /// and nothing was done.
    ///
    /// # Errors
    /// The shard whose lane is full.
    #[inline]
    pub fn route(
        &mut self,
        memo: &mut Memo,
        account: AccountId,
        subject: &[u8],
    ) -> Result<Rc<MatchSet>, ShardId> {
        let set = memo.look_up(&mut self.interest, account, subject);
        if !(set.remote.is_empty() && set.groups.is_empty())
            && let Some(full) = self.peers.full_lane(&set)
        {
            return Err(full);
        }
        Ok(set)
    }

    /// Delivers a message to everybody in `set`, and says so if that is nobody. `already` is what
    /// it has reached before.
    #[inline]
    pub fn publish(
        &mut self,
        set: &MatchSet,
        head: Head<'_>,
        message: &Message<'_>,
        publisher: Publisher<'_>,
        already: Reach,
    ) -> Reach {
        let mut reach = self.deliver(set, head, message, publisher);
        reach.merge(already);
        if !reach.any() && publisher.no_responders {
            self.no_responders(publisher.conn, message.account, message.reply, message.subject);
        }
        reach
    }

    /// Delivers a message to everybody in `set`. `head` is `MSG <subject> `. Returns how far it
    /// reached on this shard, or the other shards it went to.
    #[inline]
    pub(super) fn deliver(
        &mut self,
        set: &MatchSet,
        head: Head<'_>,
        message: &Message<'_>,
        publisher: Publisher<'_>,
    ) -> Reach {
        let slot = Some(publisher.conn.slot());
        let mut reach = self.fan_out().to_all(&set.plain, head, message, slot);
        if set.remote.is_empty() && set.groups.is_empty() && publisher.answers.is_none() {
            return reach;
        }
        let mut elsewhere = Elsewhere::new();
        for (index, group) in set.groups.iter().enumerate() {
            match self.one_of_group(group, head, message, slot) {
                Ok(reached) => reach.merge(reached),
                Err(Some(shard)) => elsewhere.push((shard, index)),
                Err(None) => {}
            }
        }
        reach.merge(self.send_out(set, &elsewhere, message, publisher, reach));
        reach
    }

    /// Gives a message to one member of a group: to one of this shard's, or says which shard was
    /// picked; none if there is nobody anywhere.
    pub(super) fn one_of_group<'h>(
        &mut self,
        group: &GroupMatch,
        head: impl Into<Head<'h>>,
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Result<Reach, Option<ShardId>> {
        let random = self.rng.u64(..);
        match group.pick(random) {
            Some(Pick::Shard(shard)) => Err(Some(shard)),
            Some(Pick::Local(start)) => {
                let reach = self.fan_out().to_first(&group.local, start, head, message, publisher);
                if reach.any() { Ok(reach) } else { Err(group.pick_remote(random)) }
            }
            None => Err(None),
        }
    }

    /// One frame for each shard that has plain interest or was picked for a group. Whoever gets it
    /// there is out of sight, and taken to keep up unless that shard said otherwise.
    fn send_out(
        &mut self,
        set: &MatchSet,
        elsewhere: &Elsewhere,
        message: &Message<'_>,
        publisher: Publisher<'_>,
        reach: Reach,
    ) -> Reach {
        let mut shards: SmallVec<[(ShardId, bool); 8]> =
            set.remote.iter().map(|shard| (*shard, true)).collect();
        for picked in elsewhere.iter().map(|(shard, _)| shard).chain(&publisher.answers) {
            if !shards.iter().any(|(shard, _)| shard == picked) {
                shards.push((*picked, false));
            }
        }
        let origin = Origin {
            shard: self.peers.me(),
            conn: publisher.conn,
            sole: shards.len() == 1 && !reach.any() && publisher.alone,
            no_responders: publisher.no_responders,
            hops: 0,
        };
        let mut there = Reach::default();
        for (shard, plain) in &shards {
            let behind = publisher.behind.contains(shard);
            there.merge(Reach { keeping_up: !behind, behind });
            let groups = elsewhere
                .iter()
                .filter(|(picked, _)| picked == shard)
                .filter_map(|(_, index)| set.groups.get(*index).map(|group| &*group.name));
            let frame = MessageFrame { message: *message, plain: *plain, groups, origin };
            self.peers.send(*shard, &frame);
        }
        there
    }

    /// The parts that deliver to this shard's own connections.
    #[inline]
    pub(super) fn fan_out(&mut self) -> Fanout<'_> {
        Fanout {
            outlets: &mut self.outlets,
            subscriptions: &mut self.subscriptions,
            expired: &mut self.expired,
            scratch: &mut self.scratch,
            renamed: &mut self.renamed,
        }
    }

    /// Delivers a message to everybody in `set`, who are all plain subscribers of this shard.
    #[inline]
    pub fn publish_here_alone(
        &mut self,
        set: &MatchSet,
        head: Head<'_>,
        message: &Message<'_>,
        publisher: Publisher<'_>,
    ) -> Reach {
        let slot = Some(publisher.conn.slot());
        let reach = self.fan_out().to_all(&set.plain, head, message, slot);
        if !reach.any() && publisher.no_responders && !message.reply.is_empty() {
            self.no_responders(publisher.conn, message.account, message.reply, message.subject);
        }
        reach
    }

    /// Tells a requester that nobody was there, if it has a plain subscription for the answer.
    pub(super) fn no_responders(
        &mut self,
        conn: ConnId,
        account: AccountId,
        reply: &[u8],
        subject: &[u8],
    ) {
        if reply.is_empty() {
            return;
        }
        if answers::is_answer(reply) {
            return self.unanswered(reply);
        }
        let set = self.interest.matches(account, reply);
        let Some(target) = set.plain.iter().find(|target| target.conn == conn.slot()) else {
            return;
        };
        let Some(subscription) = self.subscriptions.get(target.sub) else { return };
        if subscription.conn != conn {
            return;
        }
        let status = headers::no_responders(subject);
        let mut out = Vec::with_capacity(2 * reply.len() + 64 + status.len());
        out.extend_from_slice(b"HMSG ");
        for part in [reply, b" ", subscription.sid.spaced()] {
            out.extend_from_slice(part);
        }
        encode::tail(&mut out, &[], status.len(), &status);
        self.outlets.control(conn, &out);
    }
}
