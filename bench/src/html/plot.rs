//! Line charts with logarithmic axes.

use super::svg::{Anchor, Svg};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 250.0;
/// Room for the labels of the axes, and above and right of the lines.
const LEFT: f64 = 46.0;
const BOTTOM: f64 = 38.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 22.0;

/// A line of one target.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Position of the target, which decides the colour.
    pub(super) target: usize,
    /// In any order of x; both positive.
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart; marks of the x axis are given, those of the y axis are powers of ten.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x_name: &'static str,
    pub(super) y_name: &'static str,
    /// Value and label, rising.
    pub(super) x_marks: Vec<(f64, String)>,
    pub(super) lines: Vec<Line>,
}

/// A logarithmic axis on the paper.
#[derive(Clone, Copy, Debug)]
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let span = (self.high / self.low).ln();
        let part = if span > 0.0 { (value / self.low).ln() / span } else { 0.5 };
        self.from + part * (self.to - self.from)
    }
}

/// Draws it; nothing if there is not a single point.
pub(super) fn draw(plot: &Plot) -> Option<String> {
    let good = |value: f64| value.is_finite() && value > 0.0;
    let points = || plot.lines.iter().flat_map(|line| &line.points);
    let ys = || points().map(|(_, y)| *y).filter(|y| good(*y));
    let (lowest, highest) = (ys().reduce(f64::min)?, ys().reduce(f64::max)?);
    let (first, last) = (plot.x_marks.first()?, plot.x_marks.last()?);
    let x_axis = Axis { low: first.0, high: last.0, from: LEFT, to: WIDTH - RIGHT };
    // A logarithm may be off by its last digit.
    let low = 10f64.powf((lowest.log10() + 1e-9).floor());
    let high = 10f64.powf((highest.log10() - 1e-9).ceil()).max(low * 10.0);
    let y_axis = Axis { low, high, from: HEIGHT - BOTTOM, to: TOP };
    let mut svg = Svg::new(WIDTH, HEIGHT, &plot.title);
    for (value, label) in &plot.x_marks {
        let x = x_axis.place(*value);
        svg.line((x, y_axis.to), (x, y_axis.from), "grid");
        svg.text(x, y_axis.from + 14.0, Anchor::Middle, "label", label);
    }
    let mut power = y_axis.low;
    while power <= y_axis.high * 1.001 {
        let y = y_axis.place(power);
        svg.line((x_axis.from, y), (x_axis.to, y), "grid");
        svg.text(x_axis.from - 5.0, y + 4.0, Anchor::End, "label", &power_label(power));
        power *= 10.0;
    }
    svg.text(
        f64::midpoint(x_axis.from, x_axis.to),
        HEIGHT - 6.0,
        Anchor::Middle,
        "label",
        plot.x_name,
    );
    svg.text(x_axis.from + 4.0, TOP + 10.0, Anchor::Start, "label", plot.y_name);
    for line in &plot.lines {
        let mut placed: Vec<(f64, f64)> = (line.points.iter())
            .filter(|(x, y)| good(*x) && good(*y))
            .map(|(x, y)| (x_axis.place(*x), y_axis.place(*y)))
            .collect();
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        svg.curve(&placed, &super::line_class(line.target));
    }
    Some(svg.finish())
}

/// `0.01`, `10`, `10k`, `1M`.
fn power_label(power: f64) -> String {
    let (value, unit) = match power {
        _ if power >= 0.999e6 => (power / 1e6, "M"),
        _ if power >= 0.999e4 => (power / 1e3, "k"),
        _ => (power, ""),
    };
    let decimals = if value < 0.999 { 4 } else { 0 };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_short() {
        let labels = [0.001, 0.1, 1.0, 1_000.0, 10_000.0, 1e6].map(power_label);
        assert_eq!(labels, ["0.001", "0.1", "1", "1000", "10k", "1M"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let plot = Plot {
            title: String::new(),
            x_name: "",
            y_name: "",
            x_marks: vec![(1.0, "1".to_owned())],
            lines: vec![Line { target: 0, points: vec![(1.0, 0.0), (1.0, f64::NAN)] }],
        };
        assert!(draw(&plot).is_none());
    }
}
