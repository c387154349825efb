//! The figures as Markdown.

use std::{fmt, fs, process::Command};

use tower_bearer::Algorithm;

use crate::{measure::Row, tokens::Case};

pub struct Table {
    pub algorithm: Algorithm,
    pub case: Case,
    pub rows: Vec<Row>,
}

impl Table {
    /// Those whose figures are to be compared: who judges, and judges rightly.
    pub fn judges(&self) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(|row| !row.name.starts_with("inner service"))
    }

    fn ours(&self) -> f64 {
        self.rows
            .iter()
            .find(|row| row.name == "tower-bearer")
            .map_or(f64::NAN, |row| row.nanoseconds)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n#### {}, {}\n", self.algorithm, self.case)?;
        writeln!(f, "| | ns | of tower-bearer | allocations | bytes |")?;
        writeln!(f, "|---|--:|--:|--:|--:|")?;
        for row in &self.rows {
            let note = match row.answered {
                Some(status) => format!(" (answers {status})"),
                None => String::new(),
            };
            writeln!(
                f,
                "| {}{note} | {:.0} | {:.2} | {} | {} |",
                row.name,
                row.nanoseconds,
                row.nanoseconds / self.ours(),
                row.allocations,
                row.bytes
            )?;
        }
        Ok(())
    }
}

/// Where and with what it was measured.
pub fn head() -> String {
    let output = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
            .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let start = format!("name = \"{name}\"\nversion = \"");
        let versions: Vec<_> = lock
            .match_indices(&start)
            .filter_map(|(at, _)| lock[at + start.len()..].split('"').next())
            .collect();
        format!("{name} {}", versions.last().copied().unwrap_or("?"))
    };
    let versions: Vec<String> = [
        "tower-bearer",
        "jsonwebtoken",
        "tower-jwt",
        "jwt-authorizer",
        "axum-jwt-auth",
        "tower-oauth2-resource-server",
        "oauth-resource-server",
        "aws-lc-rs",
    ]
    .map(version)
    .to_vec();
    format!(
        "{}, {}, {}; {}.\n",
        output("date", &["-u", "+%Y-%m-%d"]),
        cpu.unwrap_or_else(|| "unknown processor".to_owned()),
        output("rustc", &["--version"]),
        versions.join(", ")
    )
}
