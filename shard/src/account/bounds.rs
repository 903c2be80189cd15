//! What bounds the clients of an account: each of them, and all of them together.
//!
//! The number of clients is the one thing that shards share of an account. It is touched when a
//! client comes or goes, never for a message, and by one atomic operation; who has a place holds a
//! [`Place`], and gives it back by dropping that, however its connection ends.
//!
//! Invariants: a count is the number of places that are held, and no place is given that would make
//! it more than the bound it is given under.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bounds for one client. `None` where there is none; zero is a bound.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Allowance {
    /// Subscriptions that it may have.
    pub subscriptions: Option<usize>,
    /// Bytes of a payload that it may publish, headers included.
    pub payload: Option<usize>,
}

impl Allowance {
    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            subscriptions: least(self.subscriptions, other.subscriptions),
            payload: least(self.payload, other.payload),
        }
    }
}

fn least(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}

/// How many clients an account has, on all shards: the same for the life of the process, whatever
/// becomes of its bounds.
#[derive(Clone, Debug, Default)]
pub struct Headcount(Arc<AtomicUsize>);

impl Headcount {
    /// Places that are held.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// The clients that an account may have at a time.
#[derive(Clone, Debug)]
pub struct Places {
    most: usize,
    count: Headcount,
}

impl PartialEq for Places {
    fn eq(&self, other: &Self) -> bool {
        self.most == other.most && Arc::ptr_eq(&self.count.0, &other.count.0)
    }
}

impl Eq for Places {}

impl Places {
    /// At most so many, counted there.
    #[must_use]
    pub fn new(most: usize, count: &Headcount) -> Self {
        Self { most, count: count.clone() }
    }

    /// How many there may be.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// A place for one more client, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Place> {
        let one_more = |count: usize| (count < self.most).then_some(count + 1);
        let order = Ordering::Relaxed;
        self.count.0.fetch_update(order, order, one_more).ok()?;
        Some(Place(self.count.clone()))
    }

    /// The place of a client that has one already, or one for a client that came while there was no
    /// bound. `None` if there are too many now: of those who ask, as many get none as there are too
    /// many.
    #[must_use]
    pub fn keep(&self, held: Option<Place>) -> Option<Place> {
        match held {
            Some(place) if Arc::ptr_eq(&place.0.0, &self.count.0) => {
                if self.count.get() <= self.most {
                    return Some(place);
                }
                drop(place);
                self.take()
            }
            other => {
                drop(other);
                self.take()
            }
        }
    }
}

/// That a client is counted, until this is dropped.
#[derive(Debug)]
pub struct Place(Headcount);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_narrower_bound_holds() {
        let of = |subscriptions, payload| Allowance { subscriptions, payload };
        assert_eq!(of(Some(1), None).and(of(Some(2), Some(0))), of(Some(1), Some(0)));
        assert_eq!(of(None, None).and(of(None, None)), Allowance::default());
    }

    #[test]
    fn threads_never_take_more_than_there_are() {
        let count = Headcount::default();
        let places = Places::new(3, &count);
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let Some(place) = places.take() else { continue };
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        assert!(count.get() <= 3);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(count.get(), 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Come,
        Go(usize),
        Bound(usize),
        Unbound,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Come),
            3 => (0_usize..8).prop_map(Step::Go),
            1 => (0_usize..6).prop_map(Step::Bound),
            1 => Just(Step::Unbound),
        ]
    }

    proptest! {
        /// Against a count by hand: clients come, go, and are looked at again whenever the bound
        /// changes.
        #[test]
        fn as_many_as_may_be(steps in prop::collection::vec(step(), 0..60)) {
            let count = Headcount::default();
            let mut places: Option<Places> = None;
            let mut clients: Vec<Option<Place>> = Vec::new();
            for step in steps {
                match step {
                    Step::Come => match &places {
                        None => clients.push(None),
                        Some(places) => {
                            let room = clients.len() < places.most();
                            let place = places.take();
                            prop_assert_eq!(place.is_some(), room);
                            clients.extend(place.map(Some));
                        }
                    },
                    Step::Go(which) if which < clients.len() => drop(clients.remove(which)),
                    Step::Go(_) => {}
                    Step::Unbound => {
                        places = None;
                        clients = clients.iter().map(|_| None).collect();
                    }
                    Step::Bound(most) => {
                        let bound = Places::new(most, &count);
                        let before = clients.len();
                        clients = clients
                            .into_iter()
                            .filter_map(|held| bound.keep(held).map(Some))
                            .collect();
                        prop_assert_eq!(clients.len(), before.min(most));
                        places = Some(bound);
                    }
                }
                let bounded = places.as_ref().map_or(0, |_| clients.len());
                prop_assert_eq!(count.get(), bounded);
            }
            clients.clear();
            prop_assert_eq!(count.get(), 0);
        }
    }
}
