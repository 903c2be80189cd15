//! Rules that concern more than one key.

use super::Settings;
use super::problem::Report;
use super::setting::{Origin, Setting};
use super::units;

/// Reports settings that contradict each other, at the first of them that the file decided.
pub(super) fn check(settings: &Settings, report: &Report) {
    let (life, limits) = (&settings.life, &settings.limits);
    let (grace, duration) = (&life.lame_duck_grace_period, &life.lame_duck_duration);
    if **grace >= **duration {
        let (grace_text, duration_text) = (units::written(**grace), units::written(**duration));
        let text = format!(
            "lame_duck_grace_period ({grace_text}) must be shorter than lame_duck_duration \
             ({duration_text})"
        );
        complain(report, grace, duration, text);
    }
    let (payload, pending) = (&limits.payload, &limits.pending);
    if **payload > **pending {
        let text = format!(
            "max_payload ({}) cannot be higher than max_pending ({})",
            **payload, **pending
        );
        complain(report, payload, pending, text);
    }
    let (http, https) = (&settings.monitoring.http, &settings.monitoring.https);
    if let (Some(plain), Some(secure)) = (**http, **https) {
        // A free port is asked for with -1.
        let shown = |port: u16| if port == 0 { -1 } else { i32::from(port) };
        let text = format!(
            "can't specify both HTTP ({}) and HTTPs ({}) ports",
            shown(plain),
            shown(secure)
        );
        complain(report, https, http, text);
    }
    let (users, accounts) = (&settings.auth.users, &settings.auth.accounts);
    let in_accounts = accounts.iter().any(|account| !account.users.is_empty());
    for (origin, has_users) in
        [(users.origin(), !users.is_empty()), (accounts.origin(), in_accounts)]
    {
        if let (Origin::Flag(flag), Origin::File(at), true) =
            (settings.auth.user.origin(), origin, has_users)
        {
            report.note(at, format!("these users win over flag {flag}"));
        }
    }
}

fn complain<T, U>(report: &Report, one: &Setting<T>, other: &Setting<U>, text: String) {
    match (one.origin(), other.origin()) {
        (Origin::File(at), _) | (_, Origin::File(at)) => report.error(at, text),
        _ => report.general_error(text),
    }
}
