//! The rows of a table, and how their values are written.

use std::fmt;
use std::time::Duration;

/// What was measured in one run: names and values, which are also printed as they come.
#[derive(Clone, Debug, Default)]
pub struct Rows(Vec<(String, String)>);

impl Rows {
    /// Adds a row.
    pub fn add(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        let (name, value) = (name.into(), value.to_string());
        eprintln!("  {name}: {value}");
        self.0.push((name, value));
    }
}

/// A column for each run, a row for each name.
#[derive(Debug)]
pub struct Table {
    corner: &'static str,
    columns: Vec<String>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// An empty table; `corner` stands above the names of the rows.
    pub fn new(corner: &'static str) -> Table {
        Table { corner, columns: Vec::new(), rows: Vec::new() }
    }

    /// Whether it has no run yet.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Adds a run.
    pub fn add(&mut self, column: impl Into<String>, rows: Rows) {
        let before = self.columns.len();
        self.columns.push(column.into());
        for (name, value) in rows.0 {
            if !self.rows.iter().any(|(known, _)| *known == name) {
                self.rows.push((name.clone(), vec![String::new(); before]));
            }
            let row = self.rows.iter_mut().find(|(known, values)| *known == name && values.len() == before);
            row.into_iter().for_each(|(_, values)| values.push(value.clone()));
        }
        let width = self.columns.len();
        self.rows.iter_mut().for_each(|(_, values)| values.resize(width, String::new()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | {} |", self.corner, self.columns.join(" | "))?;
        write!(f, "|---|{}", "---|".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|(name, values)| write!(f, "\n| {name} | {} |", values.join(" | ")))
    }
}

/// Times of single events, in order.
#[derive(Debug)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn new(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times(times)
    }

    /// The shortest time within which this percentage of the events took place.
    pub fn percentile(&self, percentage: usize) -> Duration {
        let rank = (self.0.len() * percentage).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `12.3 s`
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// `12.34 s`
pub fn exact_seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// `123 ms`
pub fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// `12.3 MiB`
pub fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", kibibytes as f64 / 1_024.0)
}

/// How many times `other` goes into `time`: `1.23`
pub fn ratio(time: Duration, other: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() / other.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_one_run_lacks_is_empty_there() {
        let mut table = Table::new("Objects");
        for (column, names) in [("10", ["a", "b"]), ("20", ["b", "c"])] {
            let mut rows = Rows::default();
            names.iter().for_each(|name| rows.add(*name, column));
            table.add(column, rows);
        }
        let lines =
            ["| Objects | 10 | 20 |", "|---|---|---|", "| a | 10 |  |", "| b | 10 | 20 |", "| c |  | 20 |"];
        assert_eq!(table.to_string(), lines.join("\n"));
    }

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times = Times::new((1..=100).rev().map(Duration::from_secs).collect());
        assert_eq!([50, 99, 100].map(|p| times.percentile(p).as_secs()), [50, 99, 100]);
        let one = Times::new(vec![Duration::from_secs(7)]);
        assert_eq!(one.percentile(99).as_secs(), 7);
        assert_eq!(Times::new(Vec::new()).percentile(99), Duration::ZERO);
    }
}
