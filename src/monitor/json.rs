//! JSON as nats-server writes it: indented, `<`, `>` and `&` escaped, whole floats without a point.
//! Tools compare it as text, and escaped it is harmless wherever somebody pastes it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// The value in lines, each level indented by `indent`.
#[must_use]
pub(super) fn pretty(value: &impl Serialize, indent: &str) -> Vec<u8> {
    write(value, PrettyFormatter::with_indent(indent.as_bytes()))
}

/// The value in one line.
#[must_use]
pub(super) fn compact(value: &impl Serialize) -> Vec<u8> {
    write(value, CompactFormatter)
}

fn write(value: &impl Serialize, formatter: impl Formatter) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut serializer = Serializer::with_formatter(&mut out, GoStyle(formatter));
    // Our own values, written to memory, can always be written.
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok(), "{written:?}");
    out
}

/// Changes what Go writes differently; leaves the rest to another formatter.
struct GoStyle<F>(F);

impl<F: Formatter> Formatter for GoStyle<F> {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            w.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            let special = chars.next().map_or(0, u32::from);
            write!(w, "\\u{special:04x}")?;
            rest = chars.as_str();
        }
        w.write_all(rest.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, w: &mut W, value: f64) -> io::Result<()> {
        if value.fract() == 0.0 && value.abs() < 1e15 {
            write!(w, "{value:.0}")
        } else {
            self.0.write_f64(w, value)
        }
    }

    fn begin_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }

    fn end_array<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }

    fn end_object<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn as_go_writes_it() {
        let value = json!({"a": "foo.> & <b>\u{2028}\"", "b": [2.0, 0.25], "c": {}, "d": []});
        let text = String::from_utf8(pretty(&value, "  ")).unwrap();
        let expected = "{\n  \"a\": \"foo.\\u003e \\u0026 \\u003cb\\u003e\\u2028\\\"\",\n  \
                        \"b\": [\n    2,\n    0.25\n  ],\n  \"c\": {},\n  \"d\": []\n}";
        assert_eq!(text, expected);
        assert_eq!(compact(&json!({"status": "ok"})), b"{\"status\":\"ok\"}");
    }
}
