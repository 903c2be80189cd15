//! The grammar alone: text to values, shown as JSON.

use proptest::prelude::*;

use super::super::digest;
use super::super::dump::quoted;
use super::super::parser::parse;
use super::super::problem::{Report, Spot};
use super::super::value::{Entry, Item, Map, Value};
use super::*;

fn values(text: &[u8], world: &Invented) -> Result<Map, Problems> {
    let report = Report::default();
    let map = parse(Path::new("a.conf"), text, world, &report);
    let problems = report.into_problems();
    if problems.errors.is_empty() { Ok(map) } else { Err(problems) }
}

fn json(text: &str) -> String {
    let map = values(text.as_bytes(), &world());
    map.map_or_else(|problems| problems.to_string(), |map| digest::json(&map))
}

/// Every text is read as what stands beside it: values, or what is wrong.
#[track_caller]
fn reads(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(json(text), *expected, "{text:?}");
    }
}

#[test]
fn keys_and_separators() {
    reads(&[
        ("", "{}"),
        (" \n\t\r\n", "{}"),
        ("a=1", r#"{"a":1}"#),
        ("a:1", r#"{"a":1}"#),
        ("a 1", r#"{"a":1}"#),
        ("a\t=\t1", r#"{"a":1}"#),
        ("a\n=1", r#"{"a":1}"#),
        ("a\n1", r#"{"a":1}"#),
        ("a=", r#"{"a":""}"#),
        ("a==1", r#"{"a":"=1"}"#),
        ("a:=1", r#"{"a":"=1"}"#),
        ("a: b: c\n", "a.conf:1:7: the value ended before 'c': quote it"),
        ("a=1;b=2,c=3\nd=4\r\ne=5", r#"{"a":1,"b":2,"c":3,"d":4,"e":5}"#),
        ("a=1 }", r#"{"a":1}"#),
        ("\"a b\"=1\n'c\"d' 2", r#"{"a b":1,"c\"d":2}"#),
        ("ä.ö=ü", r#"{"ä.ö":"ü"}"#),
        ("a{ b=1 }", r#"{"a{":"b=1"}"#),
        ("a {b=1}", r#"{"a":{"b":1}}"#),
        ("include=1", r#"{"include":1}"#),
        ("\"include\" 1", r#"{"include":1}"#),
        ("a=1\na=2", r#"{"a":2}"#),
        ("a=1\nA=2", r#"{"A":2,"a":1}"#),
    ]);
}

#[test]
fn comments() {
    reads(&[
        ("# a\n// b", "{}"),
        ("a=1 # c\nb=2//c", r#"{"a":1,"b":"2//c"}"#),
        ("a=1//c", r#"{"a":"1//c"}"#),
        ("a=x#y", r##"{"a":"x#y"}"##),
        ("a=[1 # one\n 2 // two\n]", r#"{"a":[1,2]}"#),
        ("a=[ # nothing\n]", r#"{"a":[]}"#),
        ("a { # c\n b=1 // c\n # c\n }", r#"{"a":{"b":1}}"#),
        ("{ # c\n a=1 # c\n } # c", r#"{"a":1}"#),
        ("a=\"# no\"", r##"{"a":"# no"}"##),
        ("a=http://b", r#"{"a":"http://b"}"#),
    ]);
}

#[test]
fn numbers_and_what_only_begins_like_one() {
    reads(&[
        ("a=-5", r#"{"a":-5}"#),
        ("a=007", r#"{"a":7}"#),
        ("a=1.5", r#"{"a":1.5}"#),
        ("a=-0.25", r#"{"a":-0.25}"#),
        ("a=100000000000000000000000.0", r#"{"a":1e+23}"#),
        ("a=0.0000001", r#"{"a":1e-7}"#),
        ("a=1.0", r#"{"a":1}"#),
        ("a=5m", r#"{"a":5000000}"#),
        ("a=-1kb", r#"{"a":-1024}"#),
        ("a=[1kb,2m]", r#"{"a":[1024,2000000]}"#),
        ("a=[1]", r#"{"a":[1]}"#),
        ("a={b=5m}", r#"{"a":{"b":5000000}}"#),
        ("a=5ms", r#"{"a":"5ms"}"#),
        ("a=5s", r#"{"a":"5s"}"#),
        ("a=5kx", r#"{"a":"5kx"}"#),
        ("a=-5kx", r#"{"a":"-5kx"}"#),
        ("a=1_000", r#"{"a":"1_000"}"#),
        ("a=50%", r#"{"a":"50%"}"#),
        ("a=4222:4223", r#"{"a":"4222:4223"}"#),
        ("a=127.0.0.1", r#"{"a":"127.0.0.1"}"#),
        ("a=127.0.0.1:-1", r#"{"a":"127.0.0.1:-1"}"#),
        ("a=-1.2.3:4", r#"{"a":"-1.2.3:4"}"#),
        ("a=[127.0.0.1:4222]", r#"{"a":["127.0.0.1:4222"]}"#),
        ("a=1.2.x", "a.conf:1:7: the value ended before 'x': quote it"),
        ("a=5k3", "a.conf:1:5: the value ended before '3': quote it"),
        ("a=2026-01-31T12:00:00Z", r#"{"a":"2026-01-31T12:00:00Z"}"#),
        ("a=+5", r#"{"a":"+5"}"#),
    ]);
}

#[test]
fn words_and_strings() {
    reads(&[
        ("a=true;b=ON;c=Yes", r#"{"a":true,"b":true,"c":true}"#),
        ("a=false;b=Off;c=NO", r#"{"a":false,"b":false,"c":false}"#),
        ("a='true'", r#"{"a":"true"}"#),
        ("a=truely", r#"{"a":"truely"}"#),
        ("a=x'y", "a.conf:1:5: the value ended before 'y': quote it"),
        ("a=true'", r#"{"a":"true"}"#),
        ("a=\"x\\ty\\n\\\\\\\"\"", r#"{"a":"x\ty\n\\\""}"#),
        ("a=\"\\xe2\\x8c\\x98\"", r#"{"a":"⌘"}"#),
        ("a='\\t'", r#"{"a":"\\t"}"#),
        ("a=b\\tc", r#"{"a":"b\tc"}"#),
        ("a=\"two\nlines\"", r#"{"a":"two\nlines"}"#),
        ("a=foo.*.>", r#"{"a":"foo.*.\u003e"}"#),
        ("a=$2a$11$x", r#"{"a":"$2a$11$x"}"#),
        ("a=\"$b\"", r#"{"a":"$b"}"#),
        ("a=b$c", r#"{"a":"b$c"}"#),
        ("a=(\nx = 1\n  )\n)\nb=1", r#"{"a":"\nx = 1\n  )\n","b":1}"#),
        ("a=(\n)", r#"{"a":"\n"}"#),
        ("a=(\r\nx\r\n)\r\nb=1", r#"{"a":"\r\nx\r\n","b":1}"#),
        ("a=,b=1", r#"{"a":"","b":1}"#),
    ]);
}

#[test]
fn lists_and_maps() {
    reads(&[
        ("a=[]", r#"{"a":[]}"#),
        ("a []", r#"{"a":[]}"#),
        ("a=[1, 'b' , c,]", r#"{"a":[1,"b","c"]}"#),
        ("a=[\n1\n2\n\n3,\n]", r#"{"a":[1,2,3]}"#),
        ("a=[[1],[{b=2}]]", r#"{"a":[[1],[{"b":2}]]}"#),
        ("a=[1\n,2]", "a.conf:2:1: expected a value or ']', found ','"),
        ("a={}", r#"{"a":{}}"#),
        ("a\n{\nb=1\n}", r#"{"a":{"b":1}}"#),
        ("a {b=1,c=2;d=3\ne=4}", r#"{"a":{"b":1,"c":2,"d":3,"e":4}}"#),
        ("a {b:\n1}", r#"{"a":{"b":1}}"#),
        ("a {b {c {d=1}}}", r#"{"a":{"b":{"c":{"d":1}}}}"#),
        ("a {b=1} c {d=2}", "a.conf:1:9: the value ended before 'c': quote it"),
        ("a {b=1}, c {d=2}", r#"{"a":{"b":1},"c":{"d":2}}"#),
        ("{a=1}\nb=2", r#"{"a":1,"b":2}"#),
        ("{a=1}{b=2}", r#"{"a":1,"b":2}"#),
        ("{{a=1},b=2}", r#"{"a":1,"b":2}"#),
        ("{", "{}"),
        (
            "{a=1",
            "a.conf:1:5: expected a line end, ',' or '}' behind a value of these braces, found the \
             end of the file",
        ),
        (
            r#"{"a": {"b": [1, 2.5, true, "x"]}, "c": "d"}"#,
            r#"{"a":{"b":[1,2.5,true,"x"]},"c":"d"}"#,
        ),
    ]);
}

#[test]
fn variables() {
    reads(&[
        ("a=1\nb=$a", r#"{"a":1,"b":1}"#),
        ("a={x=1}\nb=[$a,$a]", r#"{"a":{"x":1},"b":[{"x":1},{"x":1}]}"#),
        ("a=1\nb {a=2;c {d=$a}}\ne=$a", r#"{"a":1,"b":{"a":2,"c":{"d":2}},"e":1}"#),
        ("a=1\na=2\nb=$a", r#"{"a":2,"b":2}"#),
        ("a=$PORT_OF_TEST", r#"{"a":4333}"#),
        ("a=$INDIRECT", r#"{"a":4333}"#),
        ("a=$SIZE", r#"{"a":2097152}"#),
        ("a=$LIST", r#"{"a":["a","b"]}"#),
        ("PORT_OF_TEST=1\na=$PORT_OF_TEST", r#"{"PORT_OF_TEST":1,"a":1}"#),
        ("PORT_OF_TEST=1\na=$INDIRECT", r#"{"PORT_OF_TEST":1,"a":4333}"#),
        ("a=$", "a.conf:1:3: variable $ is neither a key before this nor in the environment"),
        ("a {b=$a}", "a.conf:1:6: variable $a is neither a key before this nor in the environment"),
    ]);
}

#[test]
fn included_files_see_nothing_and_show_everything() {
    let world = Invented {
        files: [
            ("conf/b.conf", "x=1\ny=$x\ninclude 'sub/c.conf'"),
            ("conf/sub/c.conf", "z=2\ninclude \"../d.conf\";w=3"),
            ("conf/d.conf", "v=4"),
            ("conf/e.conf", "u=$a"),
        ]
        .into(),
        ..Invented::default()
    };
    let read = |text: &str| {
        let report = Report::default();
        let map = parse(Path::new("conf/a.conf"), text.as_bytes(), &world, &report);
        let problems = report.into_problems();
        if problems.errors.is_empty() { digest::json(&map) } else { problems.to_string() }
    };
    let all = r#"{"a":2,"v":4,"w":3,"x":1,"y":1,"z":2}"#;
    assert_eq!(read("include b.conf\na=$z"), all);
    assert_eq!(read("INCLUDE \"b.conf\" # c\na=$z"), all);
    assert_eq!(read("include /b.conf;a=$z"), all);
    assert_eq!(read("a { include d.conf }"), r#"{"a":{"v":4}}"#);
    assert_eq!(read("{include d.conf}"), r#"{"v":4}"#);
    assert_eq!(read("v=1\ninclude d.conf"), r#"{"v":4}"#);
    assert_eq!(read("include d.conf\ninclude d.conf"), r#"{"v":4}"#);
    assert_eq!(
        read("a=1\ninclude e.conf"),
        "conf/e.conf:1:3: variable $a is neither a key before this nor in the environment"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let read = |text: &[u8]| values(text, &world()).unwrap_err().to_string();
    assert_eq!(
        read(b"\xef\xbb\xbfport=1"),
        "a.conf:1:1: the file begins with a byte-order mark: save it as UTF-8 without one"
    );
    assert_eq!(read(b"a=1\nb='\xe4'"), "a.conf:2:4: the file is not valid UTF-8 from here on");
    assert_eq!(read(b"a=1\n\0"), "a.conf:2:1: the file has a zero byte here");
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth| "a=".to_owned() + &"[".repeat(depth) + &"]".repeat(depth);
    assert!(json(&nested(100)).starts_with("{"));
    assert!(json(&nested(101)).ends_with("more than 100 maps and lists are nested"));
    let mut tower = "a0=[]\n".to_owned();
    let mut bomb = "a0=x\n".to_owned();
    for level in 1..=200 {
        let below = level - 1;
        tower += &format!("a{level}=[$a{below}]\n");
        bomb += &format!("a{level}=[$a{below},$a{below},$a{below},$a{below}]\n");
    }
    assert!(json(&tower).ends_with("more than 100 maps and lists are nested"));
    assert!(json(&bomb).ends_with("the configuration has too many values"));
}

/// A value and the choices by which it is written.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-1e15..1e15_f64).prop_map(Value::Float),
        "[a-z$]{0,6}|\\PC{0,8}|[\\x00-\\x1f\"'\\\\]{0,4}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let at = Spot { file: "".into(), line: 1, column: 1 };
        let item_at = at.clone();
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(move |values| {
                let item = |value| Item { at: item_at.clone(), value };
                Value::List(values.into_iter().map(item).collect())
            }),
            prop::collection::btree_map("[a-z]{1,5}|[^\"\\pC]{1,5}", inner, 0..5).prop_map(
                move |pairs| {
                    let mut map = Map::default();
                    for (key, value) in pairs {
                        map.insert(Entry { key, at: at.clone(), value, is_variable: false });
                    }
                    Value::Map(map)
                }
            ),
        ]
    })
}

/// Writes values in one of the many ways there are.
struct Writer<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Writer<'_> {
    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let choice = usize::from(*self.choices.next().unwrap());
        from.get(choice % from.len()).unwrap()
    }

    fn key(&mut self, key: &str) -> String {
        let plain = key.bytes().all(|byte| byte.is_ascii_lowercase()) && key != "include";
        match self.pick(&["\"", "'", ""]) {
            "" if plain => key.to_owned(),
            "'" if !key.contains('\'') => format!("'{key}'"),
            _ if !key.contains('"') => format!("\"{key}\""),
            _ => format!("'{key}'"),
        }
    }

    fn text(&mut self, text: &str) -> String {
        let word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
        let boolean = ["true", "false", "on", "off", "yes", "no"].contains(&text);
        match self.pick(&["\"", "'", ""]) {
            "" if word && !boolean => text.to_owned(),
            "'" if !text.contains(['\'', '\0']) => format!("'{text}'"),
            _ => quoted(text),
        }
    }

    fn value(&mut self, value: &Value) -> String {
        match value {
            Value::Bool(true) => self.pick(&["true", "on", "YES"]).to_owned(),
            Value::Bool(false) => self.pick(&["false", "Off", "no"]).to_owned(),
            Value::Integer(number) if number % 1024 == 0 && number % 1000 != 0 => {
                format!("{}{}", number / 1024, self.pick(&["kb", "KiB", "Ki"]))
            }
            Value::Integer(number) => number.to_string(),
            Value::Float(number) if number.fract() == 0.0 => format!("{number}.0"),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => self.text(text),
            Value::List(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| self.value(&item.value) + self.pick(&[",", "\n", " ,\n", " # c\n"]))
                    .collect();
                format!("[{}]", items.concat())
            }
            Value::Map(map) => format!("{{{}}}", self.entries(map)),
            Value::Time(_) | Value::Unresolved => unreachable!("not generated"),
        }
    }

    fn entries(&mut self, map: &Map) -> String {
        let mut text = String::new();
        for entry in map.iter() {
            text += self.pick(&["", " ", "\n", "# c\n"]);
            text += &self.key(&entry.key);
            text += self.pick(&["=", ":", " ", " = ", "\t:\t"]);
            text += &self.value(&entry.value);
            text += self.pick(&[",", ";", "\n", "\r\n", " // c\n"]);
        }
        text
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        value in value(),
        choices in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut map = Map::default();
        let at = Spot { file: "".into(), line: 1, column: 1 };
        map.insert(Entry { key: "value".to_owned(), at, value, is_variable: false });
        let mut writer = Writer { choices: choices.iter().cycle() };
        let text = writer.entries(&map);
        prop_assert_eq!(values(text.as_bytes(), &Invented::default()), Ok(map), "{}", text);
    }
}
