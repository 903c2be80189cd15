//! The text formats, read strictly.

use super::classic::from_open_metrics;
use super::label;

#[test]
fn the_older_format_names_counters_in_full() {
    let open = "# HELP a Things.\n# TYPE a counter\na_total{x=\"# TYPE b counter\"} 1\n\
                # HELP b Bytes.\n# TYPE b gauge\n# UNIT b bytes\nb 2\n# TYPE c unknown\nc 3\n\
                # EOF\n";
    let expected = "# HELP a_total Things.\n# TYPE a_total counter\n\
                    a_total{x=\"# TYPE b counter\"} 1\n# HELP b Bytes.\n# TYPE b gauge\nb 2\n\
                    # TYPE c untyped\nc 3\n";
    assert_eq!(from_open_metrics(open), expected);
}

#[test]
fn labels_cannot_break_out() {
    assert_eq!(label("a\"} 1\nb\\"), "a\\\"} 1\\nb\\\\");
}
