//! Names and ends of requests, and what happens when there are too many.

use super::*;

const B: AccountId = AccountId::new(3);

fn answers() -> Answers {
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    Answers::new("NABCDEF", ShardId::new(63), 64, hasher)
}

fn pending(to_account: AccountId, seconds: u64) -> Pending {
    Pending {
        account: AccountId::new(2),
        to_account,
        to: SmallVec::from_slice(b"_INBOX.x"),
        requester: None,
        response: ResponseType::Singleton,
        threshold: Duration::from_secs(seconds),
        measured: None,
    }
}

fn expire(answers: &mut Answers, now: Now) {
    while answers.expire(now).is_some() {}
}

fn at(seconds: u64) -> Now {
    Now::ZERO.after(Duration::from_secs(seconds))
}

#[test]
fn a_name_leads_back_to_its_shard_and_request() {
    let mut answers = answers();
    let (token, name) = answers.ask(Now::ZERO, pending(B, 1));
    assert!(name.starts_with(b"_R_.NABC11.") && is_answer(&name), "{name:?}");
    assert_eq!(answers.lead(AccountId::new(2), &name), Lead::Here(token));
    assert_eq!(answers.lead(B, &name), Lead::Nowhere, "it is answered in another account");
    for (subject, lead) in [
        (&b"_R_.NABC0z.abcdefghij1"[..], Lead::There(ShardId::new(61))),
        (b"_R_.NABC0z.abcdefghij1.T", Lead::There(ShardId::new(61))),
        (b"_R_.NABC0z.abc", Lead::Nowhere),
        (b"_R_.NABC0z.abcdefghij-", Lead::Nowhere),
        (b"_R_.NABC0z.abcdefghij12", Lead::Nowhere),
        (b"_R_.NABC12.abcdefghij1", Lead::Nowhere),
        (b"_R_.NABC11.", Lead::Nowhere),
        (b"_R_.NABC11.zzzzzzzzzzzzzzzzz", Lead::Nowhere),
        (b"_R_.NABC11.zzzzzzzzzzz", Lead::Nowhere),
        (b"_R_.NABC1-.x", Lead::Nowhere),
        (b"_R_.OABC00.x", Lead::Nowhere),
        (b"_R_.NABC", Lead::Nowhere),
        (b"_R_.", Lead::Nowhere),
    ] {
        assert_eq!(answers.lead(AccountId::new(2), subject), lead, "{}", subject.escape_ascii());
    }
    assert!(answers.remove(token).is_some() && answers.is_empty());
    assert_eq!(answers.lead(AccountId::new(2), &name), Lead::Nowhere);
}

#[test]
fn what_waits_too_long_is_forgotten_and_what_is_answered_has_its_time_again() {
    let mut answers = answers();
    let (short, _) = answers.ask(at(0), pending(B, 1));
    let (long, _) = answers.ask(at(0), pending(B, 5));
    let (kept, _) = answers.ask(at(0), pending(B, 5));
    assert_eq!(answers.next_due(), Some(at(1)));
    expire(&mut answers, at(1));
    assert!(answers.remove(short).is_none());
    answers.touch(at(3), kept);
    expire(&mut answers, at(5));
    assert!(answers.remove(long).is_none());
    assert_eq!(answers.len(), 1);
    assert!(answers.next_due().is_some_and(|due| due <= at(8)));
    expire(&mut answers, at(8));
    assert!(answers.is_empty() && answers.next_due().is_none());
}

#[test]
fn an_account_that_asks_too_much_loses_its_own_requests() {
    let mut answers = answers();
    let (other, _) = answers.ask(at(0), pending(AccountId::new(9), 100));
    let (first, _) = answers.ask(at(0), pending(B, 100));
    let each = pending(B, 100).bytes();
    for _ in 0..ANSWERS_ACCOUNT_BYTES_MAX / each + 10 {
        answers.ask(at(1), pending(B, 100));
    }
    assert!(answers.bytes_of(B) <= ANSWERS_ACCOUNT_BYTES_MAX);
    assert!(answers.dropped() > 0);
    assert!(answers.remove(first).is_none() && answers.remove(other).is_some());
}

#[test]
fn all_together_stay_within_the_bound() {
    let mut answers = answers();
    let each = pending(B, 100).bytes();
    for account in 0..8 {
        for _ in 0..ANSWERS_ACCOUNT_BYTES_MAX / each {
            answers.ask(at(1), pending(AccountId::new(account), 100));
        }
    }
    assert!(answers.total <= ANSWERS_BYTES_MAX);
    assert_eq!(answers.total, answers.askers.values().map(|it| it.bytes).sum::<usize>());
}

/// Accounts that fill the table do not keep another from asking.
#[test]
fn who_asks_little_keeps_what_it_asked() {
    let mut answers = answers();
    let each = pending(B, 100).bytes();
    let fill = |answers: &mut Answers, account| {
        for _ in 0..ANSWERS_ACCOUNT_BYTES_MAX / each {
            answers.ask(at(1), pending(AccountId::new(account), 100));
        }
    };
    for account in 10..14 {
        fill(&mut answers, account);
    }
    let small: Vec<u64> = (0..1000).map(|_| answers.ask(at(2), pending(B, 100)).0).collect();
    fill(&mut answers, 10);
    assert!(answers.total <= ANSWERS_BYTES_MAX);
    assert!(small.into_iter().all(|token| answers.remove(token).is_some()));
}

#[test]
fn what_is_answered_at_once_leaves_nothing_behind() {
    let mut answers = answers();
    // Somebody else has many that wait.
    for _ in 0..10_000 {
        answers.ask(at(0), pending(AccountId::new(9), 100));
    }
    for _ in 0..100_000 {
        let (token, _) = answers.ask(at(1), pending(B, 100));
        assert!(answers.remove(token).is_some());
    }
    let own = &answers.askers[&B];
    assert!(own.queues.len() == 1 && own.queues[0].entries.len() < 200);
    assert_eq!((own.bytes, answers.looks.len()), (0, 2));
    expire(&mut answers, at(200));
    assert_eq!((answers.total, answers.askers.len(), answers.looks.len()), (0, 0, 0));
}

/// Whatever happens in whatever order, each request is due when it was to be, at the latest
/// when the next look says.
#[test]
fn every_request_ends_in_time() {
    let mut answers = answers();
    let mut rng = fastrand::Rng::with_seed(5);
    let mut known: HashMap<u64, Now> = HashMap::new();
    let mut now = Now::ZERO;
    for _ in 0..20_000 {
        now = now.after(Duration::from_millis(rng.u64(0..200)));
        let account = AccountId::new(rng.u32(3..6));
        match rng.u8(0..12) {
            0..6 => {
                let seconds = rng.u64(1..4);
                let (token, _) = answers.ask(now, pending(account, seconds));
                known.insert(token, now.after(Duration::from_secs(seconds)));
            }
            6..9 => {
                let Some(token) = known.keys().min().copied() else { continue };
                known.remove(&token);
                assert!(answers.remove(token).is_some());
            }
            9 => {
                for token in known.keys().copied().filter(|token| token % 5 == 0) {
                    answers.touch(now, token);
                }
                for (token, due) in &mut known {
                    if token % 5 == 0
                        && let Some(held) = answers.held.get(token)
                    {
                        *due = now.after(held.pending.threshold);
                    }
                }
            }
            _ => {
                let before = answers.len();
                expire(&mut answers, now);
                known.retain(|token, due| {
                    let held = answers.held.contains_key(token);
                    assert_eq!(held, *due > now, "{token}");
                    held
                });
                assert!(known.len() == answers.len() && answers.len() <= before);
                let first = known.values().min();
                assert!(first.is_none_or(|due| answers.next_due().unwrap() <= *due));
            }
        }
    }
}

#[test]
fn names_of_what_is_measured_lead_back_as_well() {
    let mut answers = answers();
    let measured = Some(Rc::new(Measured::default()));
    let (token, name) = answers.ask(at(0), Pending { measured, ..pending(B, 1) });
    assert!(is_measured(&name) && is_answer(&name));
    assert_eq!(answers.lead(AccountId::new(2), &name), Lead::Here(token));
    assert_eq!(answers.find(&name), Some(token));
    assert_eq!(answers.measured_for(B, b"_INBOX.x"), Some(token));
    assert!(answers.remove(token).is_some());
    assert_eq!((answers.measured(), answers.total), (0, 0));
}
