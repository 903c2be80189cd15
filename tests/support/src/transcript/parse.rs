//! Text of a transcript to steps. A line without a meaning is an error, never skipped.

use std::time::Duration;

use regex_lite::Regex;

use super::{Action, Field, Step, Transcript};

/// Reads a whole file. The error starts with the line number.
pub(super) fn parse(text: &str) -> Result<Transcript, String> {
    let mut transcript = Transcript {
        title: String::new(),
        flags: Vec::new(),
        config: Vec::new(),
        reference_differs: None,
        steps: Vec::new(),
    };
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line)) {
        if let Some(comment) = line.strip_prefix('#') {
            header(&mut transcript, comment.trim());
        } else if !line.trim().is_empty() {
            let actions = step(line).map_err(|e| format!("{number}: {e}: {line}"))?;
            let shown = line.chars().take(100).collect::<String>();
            for action in actions {
                transcript.steps.push(Step { line: number, shown: shown.clone(), action });
            }
        }
    }
    if transcript.title.is_empty() || transcript.steps.is_empty() {
        return Err("1: needs a title and at least one step".to_owned());
    }
    Ok(transcript)
}

fn header(transcript: &mut Transcript, comment: &str) {
    if let Some(flags) = comment.strip_prefix("server:") {
        transcript.flags.extend(flags.split_whitespace().map(str::to_owned));
    } else if let Some(line) = comment.strip_prefix("config:") {
        transcript.config.push(line.trim().to_owned());
    } else if let Some(why) = comment.strip_prefix("reference differs:") {
        transcript.reference_differs = Some(why.trim().to_owned());
    } else if transcript.title.is_empty() {
        comment.clone_into(&mut transcript.title);
    }
}

/// One line may be several steps: `@a,@b sync`.
fn step(line: &str) -> Result<Vec<Action>, String> {
    if let Some(time) = line.strip_prefix("pause ") {
        return Ok(vec![Action::Pause(duration(time)?)]);
    }
    let (who, rest) = line.split_once(' ').ok_or("no command")?;
    let names = who
        .split(',')
        .map(|name| name.strip_prefix('@').map(str::to_owned).ok_or("a name starts with @"))
        .collect::<Result<Vec<_>, _>>()?;
    let (command, argument) = rest.split_once(' ').unwrap_or((rest, ""));
    match command {
        "one:" => {
            let text = line_text(argument)?;
            return Ok(vec![Action::Share { names, total: 1, text, everyone: false }]);
        }
        "share" => {
            let (total, text) = argument.split_once(": ").ok_or("share N: text")?;
            let total = total.parse().map_err(|e| format!("bad count: {e}"))?;
            let text = line_text(text)?;
            return Ok(vec![Action::Share { names, total, text, everyone: true }]);
        }
        _ => {}
    }
    names.into_iter().map(|name| single(name, command, argument)).collect()
}

fn single(name: String, command: &str, argument: &str) -> Result<Action, String> {
    Ok(match command {
        "raw" => Action::Raw(name),
        "ready" => Action::Ready(name),
        "connect" => Action::Connect(name, bytes(argument)?),
        "C:" => Action::Send(name, line_text(argument)?),
        "C+" => Action::Send(name, bytes(argument)?),
        "S:" => Action::Expect(name, line_text(argument)?),
        "S+" => Action::Expect(name, bytes(argument)?),
        "S~" => {
            let pattern = format!("^(?:{argument})$");
            Action::Matches(name, Regex::new(&pattern).map_err(|e| e.to_string())?)
        }
        "any:" => Action::AnyOf(name, texts(argument)?),
        "all:" => Action::AllOf(name, texts(argument)?),
        "info" => Action::Info(name, fields(argument)?),
        "sync" => Action::Sync(name),
        "quiet" => Action::Quiet(name),
        "silent" => Action::Silent(name, duration(argument)?),
        "closed" => Action::Closed(name),
        "finish" => Action::Finish(name),
        "close" => Action::Close(name),
        _ => return Err(format!("unknown command {command}")),
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim().strip_suffix("ms").ok_or("a time is in ms")?;
    number.parse().map(Duration::from_millis).map_err(|e| format!("bad time: {e}"))
}

fn fields(text: &str) -> Result<Vec<Field>, String> {
    let one = |word: &str| {
        if let Some(name) = word.strip_prefix('!') {
            return Ok(Field::Absent(name.to_owned()));
        }
        if let Some((name, json)) = word.split_once('=') {
            let value = serde_json::from_str(json).map_err(|e| format!("{word}: {e}"))?;
            return Ok(Field::Equal(name.to_owned(), value));
        }
        let (name, kind) = word.split_once(':').ok_or_else(|| format!("no type: {word}"))?;
        Ok(Field::Typed(name.to_owned(), kind.to_owned()))
    };
    text.split_whitespace().map(one).collect()
}

fn texts(argument: &str) -> Result<Vec<Vec<u8>>, String> {
    argument.split(" | ").map(line_text).collect()
}

fn line_text(text: &str) -> Result<Vec<u8>, String> {
    let mut line = bytes(text)?;
    line.extend(b"\r\n");
    Ok(line)
}

/// Escapes and repetitions become bytes.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '$']) {
        let (plain, special) = rest.split_at(at);
        out.extend(plain.bytes());
        if let Some(inside) = special.strip_prefix("${") {
            let (repeat, after) = inside.split_once('}').ok_or("no } after ${")?;
            let (count, unit) = repeat.split_once('*').ok_or("${count*text}")?;
            let count: usize = count.parse().map_err(|e| format!("bad count: {e}"))?;
            out.extend(bytes(unit)?.repeat(count));
            rest = after;
        } else if let Some(plain) = special.strip_prefix('$') {
            out.push(b'$');
            rest = plain;
        } else {
            rest = escape(special, &mut out)?;
        }
    }
    out.extend(rest.bytes());
    Ok(out)
}

/// Takes one escape, which `text` starts with, and returns what follows.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut chars = text.chars();
    let kind = (chars.next(), chars.next()).1.ok_or("a lone backslash at the end")?;
    let byte = match kind {
        'r' => b'\r',
        'n' => b'\n',
        't' => b'\t',
        '0' => 0,
        '\\' => b'\\',
        'x' => {
            let digits = chars.as_str().get(..2).ok_or("\\xHH")?;
            out.push(u8::from_str_radix(digits, 16).map_err(|e| format!("\\x{digits}: {e}"))?);
            return Ok(chars.as_str().get(2..).unwrap_or_default());
        }
        other => return Err(format!("unknown escape \\{other}")),
    };
    out.push(byte);
    Ok(chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_repetitions() {
        let cases: [(&str, &[u8]); 5] = [
            ("PUB a 2\\r\\nhi", b"PUB a 2\r\nhi"),
            ("${3*ab}c", b"abababc"),
            ("\\x00\\xff\\\\", b"\x00\xff\\"),
            ("$G.a ${2*\\x20}", b"$G.a   "),
            ("", b""),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        for text in ["@a D: x", "a C: x", "@a C: \\q", "@a C: ${2x}", "pause 2s", "@a info x"] {
            assert!(parse(&format!("# title\n{text}\n")).is_err(), "{text}");
        }
        assert!(parse("@a C: x\n").is_err(), "no title");
        assert!(parse("# title\n").is_err(), "no steps");
    }

    #[test]
    fn headers_set_flags() {
        let text = "# title\n# server: --user a\n# reference differs: why\n@a,@b sync\n";
        let transcript = parse(text).unwrap();
        assert_eq!(transcript.title, "title");
        assert_eq!(transcript.flags, ["--user", "a"]);
        assert_eq!(transcript.reference_differs.as_deref(), Some("why"));
        assert_eq!(transcript.steps.len(), 2);
    }
}
