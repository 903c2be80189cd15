//! Text that is safe in HTML, and the few SVG elements that the charts need.

use std::fmt::Write;

/// Text between tags or in a quoted attribute. Names come from files and command lines.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Not allowed in HTML, and never part of a figure.
            _ if symbol.is_control() && !symbol.is_whitespace() => safe.push('\u{fffd}'),
            _ => safe.push(symbol),
        }
    }
    safe
}

/// Where a text is anchored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture that grows element by element. Colours are classes of the style sheet, so that it
/// follows light and dark.
#[derive(Debug)]
pub(super) struct Svg {
    body: String,
    width: f64,
    height: f64,
    title: String,
}

impl Svg {
    /// The title is what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        Self { body: String::new(), width, height, title: escape(title) }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (place(x), place(y), escape(text));
        let tag = "text";
        writeln!(
            self.body,
            r#"<{tag} x="{x}" y="{y}" text-anchor="{anchor}" class="{class}">{text}</{tag}>"#
        )
        .ok();
    }

    pub(super) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let [x, y, width, height] = [x, y, width, height].map(place);
        writeln!(
            self.body,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" class="{class}"/>"#
        )
        .ok();
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(place);
        writeln!(self.body, r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{class}"/>"#)
            .ok();
    }

    /// A line through all points, with a dot on each.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        let path: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", place(*x), place(*y))).collect();
        writeln!(self.body, r#"<polyline points="{}" class="{class}"/>"#, path.join(" ")).ok();
        for (x, y) in points {
            let (x, y) = (place(*x), place(*y));
            writeln!(self.body, r#"<circle cx="{x}" cy="{y}" r="2.5" class="{class}"/>"#).ok();
        }
    }

    pub(super) fn finish(self) -> String {
        let Self { body, width, height, title } = self;
        let (width, height) = (place(width), place(height));
        format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n\
             {body}</svg>\n"
        )
    }
}

/// A coordinate: one decimal is finer than any screen, and the text stays the same everywhere.
fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}
