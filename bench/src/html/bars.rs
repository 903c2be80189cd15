//! Bars of server CPU, scenario by scenario.
//!
//! A publish costs nanoseconds and a request microseconds, so every scenario has a scale of its
//! own: its longest bar is the most expensive round. The figure stands beside the bar.

use super::svg::{Anchor, Svg};
use crate::report::significant;
use crate::stats::Spread;

const WIDTH: f64 = 400.0;
const BAR_FROM: f64 = 92.0;
const BAR_WIDTH: f64 = 190.0;
const BAR_HEIGHT: f64 = 13.0;
const ROW_HEIGHT: f64 = 19.0;
const TITLE_HEIGHT: f64 = 20.0;
/// Longest name of a target that fits before its bar.
const NAME_CHARS: usize = 13;

/// One scenario: its targets with their position, name and figure.
pub(super) struct Group<'a> {
    pub(super) scenario: &'a str,
    pub(super) unit: &'a str,
    pub(super) bars: Vec<(usize, &'a str, Spread)>,
}

pub(super) fn draw(group: &Group<'_>) -> String {
    let Group { scenario, unit, bars } = group;
    let rows: f64 = bars.iter().map(|_| ROW_HEIGHT).sum();
    let mut svg = Svg::new(WIDTH, TITLE_HEIGHT + rows, &format!("server CPU of {scenario}"));
    let scale = bars.iter().map(|(_, _, spread)| spread.max).fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| (value / scale).clamp(0.0, 1.0) * BAR_WIDTH;
    svg.text(0.0, 14.0, Anchor::Start, "name", &format!("{scenario}, ns per {unit}"));
    let mut y = TITLE_HEIGHT;
    for (target, name, Spread { median, min, max }) in bars {
        let middle = y + BAR_HEIGHT / 2.0;
        svg.text(BAR_FROM - 6.0, y + 11.0, Anchor::End, "label", &shortened(name));
        svg.bar(BAR_FROM, y, length(*median), BAR_HEIGHT, &super::bar_class(*target));
        let (from, to) = (BAR_FROM + length(*min), BAR_FROM + length(*max));
        svg.line((from, middle), (to, middle), "range");
        let figure = significant(*median, 4);
        svg.text(
            to.max(BAR_FROM + length(*median)) + 6.0,
            y + 11.0,
            Anchor::Start,
            "label",
            &figure,
        );
        y += ROW_HEIGHT;
    }
    svg.finish()
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS {
        return name.to_owned();
    }
    name.chars().take(NAME_CHARS - 1).chain(['…']).collect()
}
