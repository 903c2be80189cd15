//! Mappings: what operators put in the place of subjects that clients publish to.
//!
//! A mapping has a source and several destinations with weights of together at most 100. What is
//! left of 100 goes to the subject itself, unless the source is one of the destinations: then it
//! goes nowhere. The first mapping whose source matches decides, and a subject is mapped once.

use super::matches;
use super::tokens::tokens;
use super::transform::{SubjectTokens, Transform, TransformError, as_destination};

/// Weights are parts of this.
const WHOLE: u8 = 100;

/// One of the places that a mapping leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// What the subject becomes.
    pub subject: Vec<u8>,
    /// Of a hundred messages, so many.
    pub weight: u8,
    /// Only in the cluster of this name.
    pub cluster: Option<String>,
}

/// Why there cannot be such a mapping.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MappingError {
    /// The source is no pattern.
    Source,
    /// The same destination is there twice.
    Duplicate(String),
    /// One weight is more than 100.
    Weight,
    /// All weights of a cluster are more than 100.
    TotalWeight,
    /// A destination is wrong.
    Destination(TransformError),
}

impl std::fmt::Display for MappingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source => f.write_str("invalid subject"),
            Self::Duplicate(subject) => write!(f, "duplicate entry for {subject:?}"),
            Self::Weight => f.write_str("individual weights need to be <= 100"),
            Self::TotalWeight => f.write_str("total weight needs to be <= 100"),
            Self::Destination(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MappingError {}

/// What becomes of the subjects that match one source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mapping {
    source: Box<[u8]>,
    literal: bool,
    /// Those for no cluster first.
    clusters: Box<[(Option<String>, Ways)]>,
    /// Which of them are in force.
    own: usize,
}

/// Where subjects go, and the sum of the weights up to there.
type Way = (u8, Transform);
type Ways = Box<[Way]>;

impl Mapping {
    /// From `source` to `destinations`, as they hold in `cluster`: if any is for it, only those for
    /// it, otherwise those for none.
    ///
    /// # Errors
    /// Returns the first thing that is wrong, with the destinations of other clusters too.
    pub fn new(
        source: &[u8],
        destinations: &[Destination],
        cluster: Option<&str>,
    ) -> Result<Self, MappingError> {
        if !super::is_valid_pattern(source) || super::has_blank(source) {
            return Err(MappingError::Source);
        }
        let mut clusters: Vec<(Option<String>, Vec<Way>)> = vec![(None, Vec::new())];
        for (index, destination) in destinations.iter().enumerate() {
            let Destination { subject, weight, cluster } = destination;
            if destinations.iter().take(index).any(|other| other.subject == *subject) {
                let subject = String::from_utf8_lossy(subject).into_owned();
                return Err(MappingError::Duplicate(subject));
            }
            if *weight > WHOLE {
                return Err(MappingError::Weight);
            }
            let place = clusters.iter().position(|(known, _)| known == cluster);
            let place = place.unwrap_or_else(|| {
                clusters.push((cluster.clone(), Vec::new()));
                clusters.len() - 1
            });
            let Some((_, ways)) = clusters.get_mut(place) else { continue };
            if total(ways) + u16::from(*weight) > u16::from(WHOLE) {
                return Err(MappingError::TotalWeight);
            }
            let way = Transform::mapping(source, subject).map_err(MappingError::Destination)?;
            ways.push((*weight, way));
        }
        let to_itself = destinations.iter().any(|destination| destination.subject == source);
        for (_, ways) in &mut clusters {
            if !to_itself {
                complete(source, ways).map_err(MappingError::Destination)?;
            }
            ways.sort_by_key(|(weight, _)| *weight);
            let mut sum = 0;
            for (weight, _) in ways {
                sum += *weight;
                *weight = sum;
            }
        }
        let own = clusters.iter().position(|(known, _)| known.as_deref() == cluster).unwrap_or(0);
        let clusters = clusters.into_iter().map(|(name, ways)| (name, ways.into())).collect();
        let literal = super::is_literal(source);
        Ok(Self { source: source.into(), literal, clusters, own })
    }

    /// Which subjects it is for.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// Where subjects go: for which cluster, the sum of the weights up to it, and how.
    pub fn ways(&self) -> impl Iterator<Item = (Option<&str>, u8, &Transform)> {
        self.clusters.iter().flat_map(|(cluster, ways)| {
            ways.iter().map(move |(sum, way)| (cluster.as_deref(), *sum, way))
        })
    }

    fn in_force(&self) -> &[Way] {
        self.clusters.get(self.own).map(|(_, ways)| &**ways).unwrap_or_default()
    }

    /// Whether the same subject always becomes the same.
    fn is_fixed(&self) -> bool {
        matches!(self.in_force(), [(WHOLE, way)] if way.is_fixed())
    }

    /// Where one message goes; nowhere if the weights leave a part.
    fn pick(&self, rng: &mut fastrand::Rng) -> Option<&Transform> {
        if let [(WHOLE, only)] = self.in_force() {
            return Some(only);
        }
        let random = rng.u8(..WHOLE);
        self.in_force().iter().find(|(sum, _)| random < *sum).map(|(_, way)| way)
    }
}

fn total(ways: &[Way]) -> u16 {
    ways.iter().map(|(weight, _)| u16::from(*weight)).sum()
}

/// What is left of the whole goes to the subject itself.
fn complete(source: &[u8], ways: &mut Vec<Way>) -> Result<(), TransformError> {
    let left = u16::from(WHOLE).saturating_sub(total(ways));
    if let Some(left) = u8::try_from(left).ok().filter(|left| *left > 0) {
        ways.push((left, Transform::new(source, &as_destination(source))?));
    }
    Ok(())
}

/// All mappings of an account, in the order in which they are tried.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mappings {
    all: Vec<Mapping>,
}

impl Mappings {
    /// Adds one; one with the same source is replaced.
    pub fn add(&mut self, mapping: Mapping) {
        match self.all.iter_mut().find(|known| known.source == mapping.source) {
            Some(known) => *known = mapping,
            None => self.all.push(mapping),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.all.iter()
    }

    /// What `subject` becomes this time; `None` if no mapping is for it. For one that was asked for
    /// again and again, see [`Mapped`].
    pub fn map(&self, subject: &[u8], rng: &mut fastrand::Rng) -> Option<Vec<u8>> {
        let mut mapped = Mapped::default();
        mapped.look_up(self, subject, rng).map(<[u8]>::to_vec)
    }

    fn find(&self, subject: &[u8]) -> Option<usize> {
        self.all.iter().position(|mapping| {
            if mapping.literal { *mapping.source == *subject } else { fits(mapping, subject) }
        })
    }
}

/// As [`matches`], except that a `>` of the source also takes tokens that are empty.
fn fits(mapping: &Mapping, subject: &[u8]) -> bool {
    if matches(&mapping.source, subject) {
        return true;
    }
    let Some(head) = mapping.source.strip_suffix(b">") else { return false };
    let fixed = super::token_count(&mapping.source) - 1;
    let subject: SubjectTokens<'_> = tokens(subject).collect();
    subject.len() > fixed
        && tokens(head)
            .take(fixed)
            .zip(&subject)
            .all(|(own, other)| !other.is_empty() && (own == b"*" || own == *other))
}

/// The last subject of a publisher, and what becomes of it. Publishers stay on a subject for many
/// messages, so that mostly one comparison says all.
#[derive(Debug, Default)]
pub struct Mapped {
    subject: Vec<u8>,
    known: Known,
    /// What it became last.
    result: Vec<u8>,
    /// That is what it becomes the next time too, whatever decides.
    kept: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Known {
    /// No subject was looked up.
    #[default]
    Nothing,
    /// No mapping is for it.
    Unmapped,
    /// It always becomes the result.
    Fixed,
    /// The mapping at this index decides anew each time.
    Drawn(usize),
}

impl Mapped {
    /// What `subject` becomes this time; `None` if no mapping is for it. Empty if the message is to
    /// be lost.
    #[inline]
    pub fn look_up(
        &mut self,
        mappings: &Mappings,
        subject: &[u8],
        rng: &mut fastrand::Rng,
    ) -> Option<&[u8]> {
        if self.known == Known::Nothing || self.subject != subject {
            self.subject.clear();
            self.subject.extend_from_slice(subject);
            self.known = match mappings.find(subject) {
                None => Known::Unmapped,
                Some(index) => self.draw(mappings, index, rng),
            };
        } else if let Known::Drawn(index) = self.known
            && !self.kept
        {
            self.draw(mappings, index, rng);
        }
        self.kept = false;
        (self.known != Known::Unmapped).then_some(&self.result)
    }

    /// The message could not go out yet: when it can, it goes where it would have gone.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Other mappings hold from now on.
    pub fn forget(&mut self) {
        self.known = Known::Nothing;
        self.kept = false;
    }

    fn draw(&mut self, mappings: &Mappings, index: usize, rng: &mut fastrand::Rng) -> Known {
        self.result.clear();
        let Some(mapping) = mappings.all.get(index) else { return Known::Unmapped };
        if let Some(way) = mapping.pick(rng) {
            let mut all: SubjectTokens<'_> = tokens(&self.subject).collect();
            // nats-server does not take a subject apart that it found at once: a partition of it
            // is one of nothing.
            if mapping.literal && index == 0 {
                all.clear();
            }
            way.apply(&all, rng, &mut self.result);
        }
        if mapping.is_fixed() { Known::Fixed } else { Known::Drawn(index) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(subject: &str, weight: u8) -> Destination {
        Destination { subject: subject.into(), weight, cluster: None }
    }

    fn within(subject: &str, weight: u8, cluster: &str) -> Destination {
        Destination { cluster: Some(cluster.to_owned()), ..to(subject, weight) }
    }

    fn mappings(all: &[(&str, &[Destination])]) -> Mappings {
        let mut mappings = Mappings::default();
        for (source, destinations) in all {
            mappings.add(Mapping::new(source.as_bytes(), destinations, None).unwrap());
        }
        mappings
    }

    /// How often of 1000 times a subject becomes what; "-" if it is not mapped.
    fn shares(mappings: &Mappings, subject: &str) -> Vec<(String, usize)> {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut mapped = Mapped::default();
        let mut found: Vec<(String, usize)> = Vec::new();
        for _ in 0..1000 {
            let result = mapped.look_up(mappings, subject.as_bytes(), &mut rng);
            let result = result.unwrap_or(b"-").escape_ascii().to_string();
            match found.iter_mut().find(|(known, _)| *known == result) {
                Some((_, count)) => *count += 1,
                None => found.push((result, 1)),
            }
        }
        found.sort();
        found
    }

    fn close(found: &[(String, usize)], expected: &[(&str, usize)]) {
        let names = |all: &[(String, usize)]| all.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
        let wanted: Vec<String> = expected.iter().map(|it| it.0.to_owned()).collect();
        assert_eq!(names(found), wanted);
        for ((_, count), (_, wanted)) in found.iter().zip(expected) {
            assert!(count.abs_diff(*wanted) < 60, "{found:?} {expected:?}");
        }
    }

    #[test]
    fn the_first_that_matches_decides_and_once() {
        let mappings = mappings(&[
            ("a", &[to("b", 100)]),
            ("b", &[to("c", 100)]),
            ("x.*.y", &[to("one.$1", 100)]),
            ("x.>", &[to("all.>", 100)]),
        ]);
        for (subject, expected) in [
            ("a", "b"),
            ("b", "c"),
            ("c", "-"),
            ("x.1.y", "one.1"),
            ("x.1.z", "all.1.z"),
            ("x", "-"),
            ("x.", "all."),
            ("x.a..b", "all.a..b"),
            ("x..y", "all..y"),
            ("", "-"),
        ] {
            assert_eq!(shares(&mappings, subject), [(expected.to_owned(), 1000)], "{subject}");
        }
    }

    #[test]
    fn what_is_left_goes_to_the_subject_itself() {
        let some = mappings(&[("a.*", &[to("b.$1", 20), to("c.$1", 50)])]);
        close(&shares(&some, "a.x"), &[("a.x", 300), ("b.x", 200), ("c.x", 500)]);
    }

    #[test]
    fn what_is_left_is_lost_if_the_source_is_named() {
        let some = mappings(&[("a", &[to("a", 50)])]);
        close(&shares(&some, "a"), &[("", 500), ("a", 500)]);
        let none = mappings(&[("a", &[to("a", 0)])]);
        assert_eq!(shares(&none, "a"), [(String::new(), 1000)]);
    }

    #[test]
    fn destinations_of_other_clusters_do_not_count() {
        let all = [to("b", 100), within("c", 100, "east"), within("d", 40, "west")];
        for (cluster, expected) in [
            (None, &[("b", 1000)][..]),
            (Some("north"), &[("b", 1000)]),
            (Some("east"), &[("c", 1000)]),
            (Some("west"), &[("a", 600), ("d", 400)]),
        ] {
            let mut mappings = Mappings::default();
            mappings.add(Mapping::new(b"a", &all, cluster).unwrap());
            close(&shares(&mappings, "a"), expected);
        }
        let only_elsewhere = mappings(&[("a", &[within("c", 100, "east")])]);
        assert_eq!(shares(&only_elsewhere, "a"), [("a".to_owned(), 1000)]);
    }

    #[test]
    fn a_partition_of_a_literal_is_of_nothing_at_the_first_place() {
        let mappings = mappings(&[
            ("a", &[to("b.{{partition(1000)}}", 100)]),
            ("c", &[to("d.{{partition(1000)}}", 100)]),
        ]);
        assert_eq!(shares(&mappings, "a"), [("b.261".to_owned(), 1000)]);
        assert_eq!(shares(&mappings, "c"), [("d.458".to_owned(), 1000)]);
    }

    #[test]
    fn a_later_one_replaces_an_earlier_one() {
        let mappings =
            mappings(&[("a", &[to("b", 100)]), ("c", &[to("d", 100)]), ("a", &[to("e", 100)])]);
        assert_eq!(mappings.iter().count(), 2);
        assert_eq!(shares(&mappings, "a"), [("e".to_owned(), 1000)]);
    }

    #[test]
    fn what_is_wrong() {
        for (source, destinations, text) in [
            ("a b", &[][..], "invalid subject"),
            ("a..b", &[], "invalid subject"),
            ("a", &[to("b", 10), to("b", 20)], "duplicate entry for \"b\""),
            ("a", &[to("b", 101)], "individual weights need to be <= 100"),
            ("a", &[to("b", 60), to("c", 60)], "total weight needs to be <= 100"),
            ("a", &[within("b", 60, "x"), within("c", 60, "x")], "total weight needs to be <= 100"),
            ("a", &[to("", 10)], "invalid mapping destination: invalid transform"),
            ("a.*", &[to("b.*", 10)], "invalid subject"),
            (
                "a.*",
                &[to("b.$2", 10)],
                "invalid mapping destination: wildcard index out of range in $2: [2]",
            ),
        ] {
            let error = Mapping::new(source.as_bytes(), destinations, None).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
        let fine = [within("b", 60, "x"), within("c", 60, "y"), to("d", 60)];
        assert!(Mapping::new(b"a", &fine, None).is_ok());
    }

    #[test]
    fn what_waits_goes_where_it_would_have_gone() {
        let mappings = mappings(&[("a", &[to("b.{{random(1000000)}}", 100)])]);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut mapped = Mapped::default();
        let first = mapped.look_up(&mappings, b"a", &mut rng).map(<[u8]>::to_vec);
        mapped.keep();
        assert_eq!(mapped.look_up(&mappings, b"a", &mut rng).map(<[u8]>::to_vec), first);
        assert_ne!(mapped.look_up(&mappings, b"a", &mut rng).map(<[u8]>::to_vec), first);
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_would_be_found(
            subjects in prop::collection::vec("[ab](\\.[ab]){0,2}", 1..20),
        ) {
            let mappings = mappings(&[
                ("a", &[to("x", 100)]),
                ("a.*", &[to("y.{{partition(9,1)}}", 100)]),
                ("a.*.>", &[to("z.$1.>", 100)]),
            ]);
            let mut rng = fastrand::Rng::with_seed(1);
            let mut mapped = Mapped::default();
            for subject in &subjects {
                for _ in 0..2 {
                    let subject = subject.as_bytes();
                    let found = mapped.look_up(&mappings, subject, &mut rng).map(<[u8]>::to_vec);
                    prop_assert_eq!(found, mappings.map(subject, &mut rng));
                }
            }
        }
    }
}
