//! The figures as bars, readable on light and on dark.

use std::fmt::Write;

use crate::{
    table::Table,
    tokens::{ALGORITHMS, Case},
};

const LABEL: u32 = 230;
const BAR: u32 = 400;
const WIDTH: u32 = LABEL + BAR + 110;
const LINE: u32 = 22;

/// A drawing for each case, with its file name.
pub fn all(tables: &[Table]) -> Vec<(String, String)> {
    Case::ALL
        .into_iter()
        .map(|case| {
            let of_case: Vec<_> = tables.iter().filter(|table| table.case == case).collect();
            let name = case.to_string().replace(", ", "-").replace(' ', "-");
            (format!("{name}.svg"), draw(case, &of_case))
        })
        .collect()
}

fn draw(case: Case, tables: &[&Table]) -> String {
    let mut bars = String::new();
    let mut y = 50;
    for table in ALGORITHMS
        .iter()
        .filter_map(|one| tables.iter().find(|t| t.algorithm == *one))
    {
        let longest = table
            .judges()
            .map(|row| row.nanoseconds)
            .fold(1.0, f64::max);
        let _ = writeln!(
            bars,
            r#"<text class="group" x="8" y="{}">{}</text>"#,
            y + 14,
            table.algorithm
        );
        y += LINE;
        for row in table.judges() {
            let width = (row.nanoseconds / longest * f64::from(BAR)).max(1.0);
            let class = if row.name.starts_with("tower-bearer") {
                "ours"
            } else {
                "bar"
            };
            let note = row
                .answered
                .map(|status| format!(", answers {status}"))
                .unwrap_or_default();
            let time = match row.nanoseconds {
                ns if ns < 10_000.0 => format!("{ns:.0} ns"),
                ns => format!("{:.1} µs", ns / 1000.0),
            };
            let _ = writeln!(
                bars,
                r#"<text x="{}" y="{}" text-anchor="end">{}</text><rect class="{class}" x="{LABEL}" y="{}" width="{width:.1}" height="16" rx="2"/><text x="{:.1}" y="{}">{time}{note}</text>"#,
                LABEL - 8,
                y + 13,
                row.name,
                y,
                f64::from(LABEL) + width + 6.0,
                y + 13,
            );
            y += LINE;
        }
        y += 10;
    }
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img" aria-label="time per request, {case}">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f }}
.title {{ font-weight: 600; font-size: 15px }}
.group {{ font-weight: 600 }}
.bar {{ fill: #8c959f }}
.ours {{ fill: #0969da }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
.bar {{ fill: #6e7681 }}
.ours {{ fill: #58a6ff }}
}}
</style>
<text class="title" x="8" y="26">Time per request: token {case} (shorter is better)</text>
{bars}</svg>
"#
    )
}
