//! Which kinds of connections a user may use: `allowed_connection_types`.

use std::fmt;

use ringbus_shard::options::ConnectionKind;

/// Every kind, with its name in configurations and claims.
const NAMES: [(&str, ConnectionKind); 7] = [
    ("STANDARD", ConnectionKind::Standard),
    ("WEBSOCKET", ConnectionKind::Websocket),
    ("LEAFNODE", ConnectionKind::Leafnode),
    ("LEAFNODE_WS", ConnectionKind::LeafnodeWebsocket),
    ("MQTT", ConnectionKind::Mqtt),
    ("MQTT_WS", ConnectionKind::MqttWebsocket),
    ("IN_PROCESS", ConnectionKind::InProcess),
];

/// Some of them; none at all means every one, since that is what a user without a list may use.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Kinds(u8);

impl Kinds {
    /// Those with these names, in any case; then the names that are of none, in upper case.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> (Self, Vec<String>) {
        let (mut kinds, mut unknown) = (Self::default(), Vec::new());
        for name in names {
            match NAMES.iter().position(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some(place) => kinds.0 |= 1 << place,
                None => unknown.push(name.to_uppercase()),
            }
        }
        (kinds, unknown)
    }

    /// Whether a connection of that kind may be used.
    #[must_use]
    pub fn allow(self, kind: ConnectionKind) -> bool {
        self.is_all() || self.iter().any(|(_, allowed)| allowed == kind)
    }

    /// Whether nothing is ruled out.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.0 == 0
    }

    fn iter(self) -> impl Iterator<Item = (&'static str, ConnectionKind)> {
        let mut place = 0;
        NAMES.into_iter().filter(move |_| {
            place += 1;
            self.0 & 1 << (place - 1) != 0
        })
    }
}

/// As the grammar has a list of them.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(|(name, _)| name).collect();
        write!(f, "[{}]", names.join(", "))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_list_may_use_everything() {
        for (name, kind) in NAMES {
            assert!(Kinds::default().allow(kind));
            let (only, unknown) = Kinds::named([name.to_lowercase().as_str()]);
            assert!(unknown.is_empty() && only.allow(kind));
            assert_eq!(only.to_string(), format!("[{name}]"));
            let others = NAMES.into_iter().filter(|(_, other)| only.allow(*other));
            assert_eq!(others.count(), 1);
        }
    }

    #[test]
    fn unknown_names_are_told() {
        let (kinds, unknown) = Kinds::named(["mqtt", "tcp", "Standard", "x"]);
        assert_eq!(kinds.to_string(), "[STANDARD, MQTT]");
        assert_eq!(unknown, ["TCP", "X"]);
    }
}
