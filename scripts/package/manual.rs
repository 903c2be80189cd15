//! Makes the manual page and the completions of bash, zsh and fish from the declaration of the
//! flags: `cargo run --example manual <folder>`. None of them is kept in the tree, so that none can
//! be out of date.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use ringbus::cli;

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: manual <folder>");
        return ExitCode::FAILURE;
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manual: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("ringbus.1"), page()?)?;
    for (name, shell) in
        [("ringbus.bash", Shell::Bash), ("_ringbus", Shell::Zsh), ("ringbus.fish", Shell::Fish)]
    {
        fs::write(folder.join(name), completions(shell))?;
    }
    Ok(())
}

/// What a shell offers: flags that do something, and the words that are commands.
fn completions(shell: Shell) -> Vec<u8> {
    let words = [
        Command::new("doctor").about("Check this host for what the server needs"),
        Command::new("help").about("Show the flags"),
        Command::new("version").about("Show the version"),
    ];
    let mut command = cli::declaration(false).subcommands(words);
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "ringbus", &mut text);
    text
}

fn page() -> io::Result<Vec<u8>> {
    let command = cli::declaration(true);
    let mut out = Vec::new();
    Man::new(Command::new("ringbus").version(env!("CARGO_PKG_VERSION")))
        .title("RINGBUS")
        .manual("System administration")
        .date("")
        .render_title(&mut out)?;
    let mut roff = Roff::new();
    section(&mut roff, "NAME", "ringbus - NATS server for bare-metal Linux");
    roff.control("SH", ["SYNOPSIS"]);
    for (name, rest) in [
        ("ringbus", " [options]"),
        ("ringbus doctor", " [--shards <count>]"),
        ("ringbus --signal", " <signal>[=<pid>]"),
    ] {
        roff.text([bold(name), roman(rest)]).control("br", []);
    }
    section(
        &mut roff,
        "DESCRIPTION",
        "A drop-in NATS server: it speaks the protocol of nats-server and takes its flags. One \
         pinned shard per core serves clients through io_uring. 'ringbus doctor' says what this \
         host lacks for it.",
    );
    options(&mut roff, &command);
    signals(&mut roff);
    section(
        &mut roff,
        "EXIT STATUS",
        "0 after a clean stop or a command that succeeded, 1 if the server cannot start or the \
         command failed.",
    );
    section(
        &mut roff,
        "ENVIRONMENT",
        "NOTIFY_SOCKET, WATCHDOG_USEC and JOURNAL_STREAM are those of systemd: readiness, the \
         watchdog, which is fed only while every shard turns, and severities in the journal.",
    );
    roff.to_writer(&mut out)?;
    Ok(out)
}

fn section(roff: &mut Roff, name: &str, text: &str) {
    roff.control("SH", [name]).text([roman(text)]);
}

fn options(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["OPTIONS"]);
    roff.text([roman(
        "Flags may be written with one dash or two. Values follow after a blank or an equals \
         sign. A switch is turned off by =false.",
    )]);
    let mut heading = None;
    for arg in command.get_arguments() {
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            roff.control("SS", [heading.unwrap_or("Options")]);
        }
        roff.control("TP", []);
        let mut names: Vec<Inline> = Vec::new();
        for name in cli::spellings(arg) {
            if !names.is_empty() {
                names.push(roman(", "));
            }
            names.push(bold(name));
        }
        if arg.get_action().takes_values()
            && let Some(value) = arg.get_value_names().and_then(|values| values.first())
        {
            names.push(roman(format!(" <{value}>")));
        }
        roff.text(names);
        roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
}

fn signals(roff: &mut Roff) {
    roff.control("SH", ["SIGNALS"]);
    for (name, text) in [
        ("SIGINT", "Stop cleanly."),
        ("SIGTERM", "Stop cleanly; ignored in lame duck mode."),
        ("SIGHUP", "Read the configuration again."),
        ("SIGUSR1", "Open the log file again."),
        (
            "SIGUSR2",
            "Lame duck mode: take no new clients, tell those that are there to move, and let them \
             go one after the other; then stop.",
        ),
    ] {
        roff.control("TP", []).text([bold(name)]).text([roman(text)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_page_shows_every_name_of_every_flag() {
        let page = text(page().unwrap()).replace("\\-", "-").replace("\\fR", " ");
        let words: Vec<&str> = page.split(['\n', ' ', ',']).collect();
        for arg in cli::declaration(true).get_arguments() {
            for name in cli::spellings(arg) {
                let shown = words.contains(&format!("\\fB{name}").as_str());
                assert!(shown, "{name} is not in\n{page}");
            }
        }
        for name in ["NAME", "SYNOPSIS", "OPTIONS", "SIGNALS", "EXIT STATUS", "ENVIRONMENT"] {
            let heads = [format!(".SH {name}\n"), format!(".SH \"{name}\"\n")];
            assert!(heads.iter().any(|head| page.contains(head)), "{name} is not in\n{page}");
        }
    }

    #[test]
    fn every_shell_offers_every_flag_that_does_something() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = text(completions(shell));
            for arg in cli::declaration(false).get_arguments() {
                let long = arg.get_long().unwrap();
                let offered = match shell {
                    Shell::Fish => script.contains(&format!("-l {long} ")),
                    _ => script.contains(&format!("--{long}")),
                };
                assert!(offered, "{shell}: --{long}");
            }
            assert!(script.contains("doctor"), "{shell}");
            assert!(!script.contains("routes"), "{shell}");
        }
    }
}
