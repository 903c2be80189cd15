//! The usage text, made from the table of flags.

use std::fmt::Write;

use clap::{Arg, Command};

use super::{Program, go_style};

/// Column at which descriptions begin.
const DESCRIPTION: usize = 37;

/// What `-h` prints.
pub(super) fn text(program: &Program, command: &Command) -> String {
    let name = program.name();
    let usage = if program.is_nats_server() { "nats-server" } else { name };
    let mut text = format!(
        "Usage: {usage} [options]\n       \
         {usage} doctor    Check this host for what the server needs\n"
    );
    let mut heading = None;
    for arg in command.get_arguments() {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n{}:", heading.unwrap_or("Options"));
        }
        text.push_str(&line(arg));
    }
    text.push_str(
        "\nFlags may be written with one dash or two, with values as '-p 4222' or '-p=4222'.\n\
         Exit codes: 0 after a clean stop, 1 when the server cannot start or the command failed.\n",
    );
    text
}

fn line(arg: &Arg) -> String {
    let mut names = String::new();
    for name in go_style::names(arg) {
        if !names.is_empty() {
            names.push_str(", ");
        }
        names.push_str(if go_style::is_letters(&name) { "-" } else { "--" });
        names.push_str(&name);
    }
    if !go_style::is_switch(arg)
        && let Some(value) = arg.get_value_names().and_then(|names| names.first())
    {
        let _ = write!(names, " <{value}>");
    }
    let indent = if names.starts_with("--") { 8 } else { 4 };
    let column = indent + names.chars().count();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let first = DESCRIPTION.saturating_sub(column);
    let mut line = format!("{:indent$}{names}", "");
    if first == 0 {
        let _ = write!(line, "\n{:DESCRIPTION$}", "");
    } else {
        let _ = write!(line, "{:first$}", "");
    }
    let mut rows = help.lines().map(str::trim);
    let _ = writeln!(line, "{}", rows.next().unwrap_or_default());
    for row in rows {
        let _ = writeln!(line, "{:DESCRIPTION$}{row}", "");
    }
    line
}
