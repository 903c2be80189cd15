//! Whether what came is what had to come.

use super::judge::{Asker, Copy, Expected, Judge, Name};
use crate::sim::shadow::Received;
use crate::sim::tenants::NAMES;

/// What came.
#[derive(Debug)]
pub(super) enum Got {
    Error(usize),
    Message {
        number: usize,
        subject: String,
        sid: String,
        reply: Option<String>,
        headers: Option<String>,
        body: String,
    },
}

impl Got {
    pub(super) fn message(number: usize, received: &Received<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        Self::Message {
            number,
            subject: received.subject.to_owned(),
            sid: received.sid.to_owned(),
            reply: received.reply.map(str::to_owned),
            headers: received.headers.map(text),
            body: text(received.body),
        }
    }
}

impl Judge {
    /// Whether everything came, and nothing else.
    pub(super) fn compare(&mut self, expected: Expected, got: Vec<Got>) -> Result<(), String> {
        let shown = format!("expected {expected:#?}\ngot {got:#?}");
        let mut errors = expected.errors.clone();
        let mut messages = Vec::new();
        let mut unheard = expected.unheard.clone();
        for got in got {
            match got {
                Got::Error(number) => {
                    let Some(at) = errors.iter().position(|known| *known == number) else {
                        return Err(format!("an error too many: {shown}"));
                    };
                    errors.remove(at);
                }
                Got::Message { headers: Some(ref status), .. }
                    if status.starts_with("NATS/1.0 503") =>
                {
                    if !unheard.take().is_some_and(|unheard| is_refusal(&unheard, &got)) {
                        return Err(format!("somebody was there: {shown}"));
                    }
                }
                message @ Got::Message { .. } => messages.push(message),
            }
        }
        if !errors.is_empty() || (unheard.is_some() && !expected.may_wait) {
            return Err(format!("something is missing: {shown}"));
        }
        self.looked.copies += messages.len() as u64;
        let mut taken = vec![None; messages.len()];
        let plain = (0..expected.copies.len()).filter(|at| expected.copies[*at].group.is_none());
        let wanted = plain.map(|at| vec![at]);
        let groups = (0..expected.groups.len()).map(|group| {
            let of = |at: &usize| expected.copies[*at].group == Some(group);
            (0..expected.copies.len()).filter(of).collect::<Vec<_>>()
        });
        for copies in wanted.chain(groups) {
            let mut seen = vec![false; messages.len()];
            if !self.place(&expected.copies, &copies, &messages, &mut taken, &mut seen) {
                return Err(format!("{:?} did not come: {shown}", expected.copies[copies[0]]));
            }
        }
        for (message, copy) in messages.iter().zip(&taken) {
            let Some((copy, _)) = copy else { return Err(format!("{message:?} came: {shown}")) };
            self.learn(&expected.copies[*copy], message)?;
        }
        Ok(())
    }

    /// Finds a message for one of `copies`, if others have to take another one for that.
    fn place(
        &self,
        all: &[Copy],
        copies: &[usize],
        messages: &[Got],
        taken: &mut Vec<Option<(usize, Vec<usize>)>>,
        seen: &mut Vec<bool>,
    ) -> bool {
        for (at, message) in messages.iter().enumerate() {
            let Some(copy) = copies.iter().find(|copy| self.fits(&all[**copy], message)) else {
                continue;
            };
            if std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let before = taken[at].take();
            let free = match &before {
                None => true,
                Some((_, others)) => self.place(all, others, messages, taken, seen),
            };
            if free {
                taken[at] = Some((*copy, copies.to_vec()));
                return true;
            }
            taken[at] = before;
        }
        false
    }

    fn fits(&self, copy: &Copy, got: &Got) -> bool {
        let Got::Message { number, subject, sid, reply, headers, body } = got else { return false };
        let named = |name: &Name, text: &str| match name {
            Name::Text(own) => own == text,
            Name::Made(at) => match &self.requests[*at].name {
                Some(known) => known == text,
                None => text.starts_with("_R_."),
            },
        };
        let replies = match (&copy.reply, reply) {
            (None, None) => true,
            (Some(name), Some(text)) => named(name, text),
            _ => false,
        };
        let person = &self.people[*number];
        let told = match (&copy.asker, person.headers) {
            (_, false) => headers.is_none(),
            (None, true) => *headers == copy.headers,
            (Some(asker), true) => {
                headers.as_deref().is_some_and(|it| self.tells(asker, copy.headers.as_deref(), it))
            }
        };
        *number == copy.number
            && *sid == copy.sid
            && *body == copy.body
            && named(&copy.subject, subject)
            && replies
            && told
    }

    /// Whether headers are those that were published, and one more line that is true.
    fn tells(&self, asker: &Asker, published: Option<&str>, got: &str) -> bool {
        let honest = |line: &&str| !line.to_lowercase().starts_with("nats-request-info");
        let own = published.unwrap_or("NATS/1.0\r\n\r\n");
        let own: Vec<&str> = own.split("\r\n").filter(honest).collect();
        let lines: Vec<&str> = got.split("\r\n").collect();
        let others: Vec<&str> = lines.iter().copied().filter(honest).collect();
        let mut told = lines.iter().filter_map(|line| line.strip_prefix("Nats-Request-Info: "));
        let (Some(told), None) = (told.next(), told.next()) else { return false };
        let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
        let account = NAMES[self.people[asker.number].account];
        let user = asker.number.to_string();
        let details = ["start", "host", "id", "user", "kind", "client_type"];
        let detailed = |asked: bool| details.iter().all(|it| told.get(it).is_some() == asked);
        own == others
            && lines.len() == own.len() + 1
            && told["acc"] == account
            && detailed(asker.detailed)
            && (!asker.detailed || told["user"] == *user)
            && told.get("server").is_some() == asker.server
            && told.get("svc").and_then(|it| it.as_str()) == asker.service.map(|at| NAMES[at])
    }

    /// Somebody has a message: what he may do with it.
    fn learn(&mut self, copy: &Copy, got: &Got) -> Result<(), String> {
        let Got::Message { number, subject, reply, .. } = got else { return Ok(()) };
        for (name, text) in
            [(Some(&copy.subject), Some(subject)), (copy.reply.as_ref(), reply.as_ref())]
        {
            if let (Some(Name::Made(at)), Some(text)) = (name, text) {
                let known = self.requests[*at].name.get_or_insert_with(|| text.clone());
                if known != text {
                    return Err(format!("{text} and {known} are names of one answer"));
                }
            }
        }
        let Some(reply) = reply else { return Ok(()) };
        // Whoever does not want his own messages gets them all the same if an answer of his leads
        // back to him by way of another shard: none of those answers here.
        if reply.starts_with("_R_.") && self.people[*number].echo {
            self.asked.push((*number, reply.clone()));
        }
        let now = self.now;
        let person = &mut self.people[*number];
        if person.rules.as_ref().is_some_and(|rules| rules.responses.is_some())
            && !person.may_publish(reply)
        {
            person.may_answer.retain(|(name, ..)| name != reply);
            person.may_answer.push((reply.clone(), now, 0));
        }
        Ok(())
    }
}

/// Whether that says that nobody was there.
fn is_refusal((who, to, about): &(usize, String, String), got: &Got) -> bool {
    let Got::Message { number, subject, headers, body, reply, .. } = got else { return false };
    let expected = format!("NATS/1.0 503\r\nNats-Subject: {about}\r\n\r\n");
    number == who
        && subject == to
        && body.is_empty()
        && reply.is_none()
        && headers.as_deref() == Some(&*expected)
}
