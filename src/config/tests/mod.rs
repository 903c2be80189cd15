//! Golden tests: a configuration and what it comes to.
//!
//! `broken.txt` has configurations with every line that the operator reads, `good.txt`
//! has others with the settings that differ from the defaults.

mod grammar;
mod merge;
mod reload;

use std::collections::HashMap;
use std::io;
use std::sync::LazyLock;

use super::*;

/// Files and variables as in a test.
#[derive(Default)]
pub(super) struct Invented {
    files: HashMap<&'static str, &'static str>,
    variables: HashMap<&'static str, &'static str>,
}

impl Surroundings for Invented {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = path.to_str().and_then(|path| self.files.get(path));
        let missing = || io::Error::from_raw_os_error(nix::errno::Errno::ENOENT as i32);
        text.map(|text| text.as_bytes().to_vec()).ok_or_else(missing)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|text| (*text).to_owned())
    }
}

/// Certificates and keys, made once.
static PEM: LazyLock<[(&str, String); 6]> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::KeyPair::generate().unwrap();
    let labelled = |kind| format!("-----BEGIN {kind}-----\nQUJD\n-----END {kind}-----\n");
    [
        ("server.pem", made.cert.pem()),
        ("server.key", made.signing_key.serialize_pem()),
        ("other.key", other.serialize_pem()),
        ("wrong.pem", labelled("CERTIFICATE")),
        ("encrypted.key", labelled("ENCRYPTED PRIVATE KEY")),
        ("garbage.pem", "no PEM at all\n".to_owned()),
    ]
});

/// What the golden tests include and refer to.
fn world() -> Invented {
    Invented {
        files: [
            (
                "users.conf",
                "users: [\n  { user: ann, password: a }\n  { user: bob, password: b }\n]\n",
            ),
            ("limits.conf", "max_payload: 2MB\nmax_connections: 100\n"),
            ("broken.conf", "port: 4222\ndebug: [\n"),
            ("unknown.conf", "max_connections: 5\nmax_paylod: 5\n"),
            ("loop.conf", "debug: true\ninclude \"./sub/../loop.conf\"\n"),
        ]
        .into_iter()
        .chain(PEM.iter().map(|(name, text)| (*name, text.as_str())))
        .collect(),
        variables: [
            ("PORT_OF_TEST", "4333"),
            ("SIZE", "2MB"),
            ("TEXT", "\"from the environment\""),
            ("INDIRECT", "$PORT_OF_TEST"),
            ("LIST", "[a, b]"),
            ("CIRCLE", "$CIRCLE_BACK"),
            ("CIRCLE_BACK", "$CIRCLE"),
            ("BROKEN", "\"half"),
        ]
        .into(),
    }
}

fn outcome(text: &str) -> Result<Loaded, Problems> {
    read(Path::new("a.conf"), text.as_bytes(), &Flags::default(), &world())
}

/// Title, configuration and expected lines of each case of a golden file.
fn cases(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    text.split("=== ").skip(1).map(|case| {
        let (title, rest) = case.split_once('\n').unwrap();
        let (config, expected) = rest.split_once("---\n").unwrap();
        (title, config, expected)
    })
}

#[test]
fn broken_configurations_say_what_is_wrong_and_where() {
    let mut count = 0;
    for (title, config, expected) in cases(include_str!("broken.txt")) {
        let problems = outcome(config).expect_err(title);
        assert_eq!(format!("{problems}\n"), expected, "{title}");
        count += 1;
    }
    assert!(count >= 60, "{count}");
}

#[test]
fn good_configurations_come_to_settings() {
    for (title, config, expected) in cases(include_str!("good.txt")) {
        let loaded = outcome(config).unwrap_or_else(|problems| panic!("{title}: {problems}"));
        let mut lines = String::new();
        for line in loaded.settings.dump().lines().filter(|line| line.contains(".conf:")) {
            let (setting, origin) = line.split_once(" # ").unwrap();
            lines += &format!("{} # {origin}\n", setting.trim_end());
        }
        for (kind, found) in
            [("warning", &loaded.problems.warnings), ("note", &loaded.problems.notes)]
        {
            for problem in found {
                lines += &format!("{kind}: {problem}\n");
            }
        }
        assert_eq!(lines, expected, "{title}");
    }
}
