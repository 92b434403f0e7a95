//! What was measured: medians, ratios, and the table for people. What programs get is in [`crate::json`].

use std::fmt;
use std::sync::LazyLock;

use crate::json::{Bench, BenchRun};

/// The line above the rows.
pub(super) static HEADING: LazyLock<String> =
    LazyLock::new(|| columns(["row", "unit", "ours", "peer", "ratio", "(lowest-highest)"], "peer's name"));

impl BenchRun {
    pub(super) fn new(ours: f64, peer: f64) -> Self {
        Self { ours: rounded(ours), peer: rounded(peer), ratio: (ours / peer * 1000.0).round() / 1000.0 }
    }
}

impl Bench {
    pub(super) fn new(row: &str, unit: &str, peer_name: &str, runs: Vec<BenchRun>) -> Self {
        let median = |of: fn(&BenchRun) -> f64| median(runs.iter().map(of).collect());
        Self {
            row: row.to_owned(),
            unit: unit.to_owned(),
            ours: median(|run| run.ours),
            peer: median(|run| run.peer),
            peer_name: peer_name.to_owned(),
            ratio: median(|run| run.ratio),
            runs,
        }
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratios = || self.runs.iter().map(|run| run.ratio);
        let (lowest, highest) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
        let cells = [
            &self.row,
            &self.unit,
            &figure(self.ours),
            &figure(self.peer),
            &format!("{:.2}", self.ratio),
            &format!("({lowest:.2}-{highest:.2})"),
        ];
        f.write_str(&columns(cells, &self.peer_name))
    }
}

fn columns(cells: [impl AsRef<str>; 6], last: &str) -> String {
    let [row, unit, ours, peer, ratio, spread] = cells.each_ref().map(AsRef::as_ref);
    format!("{row:12}  {unit:10}  {ours:>11}  {peer:>11}  {ratio:>6}  {spread:16}  {last}")
}

/// Four digits are more than a measurement of a second is worth; counts stay whole.
fn rounded(rate: f64) -> f64 {
    if rate >= 1000.0 { rate.round() } else { (rate * 100.0).round() / 100.0 }
}

/// With a comma for every thousand.
fn figure(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.1}");
    }
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_runs() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn figures_are_easy_to_read() {
        for (rate, text) in [(12.34, "12.3"), (999.6, "1,000"), (1_234_567.0, "1,234,567"), (100.0, "100")] {
            assert_eq!(figure(rate), text);
        }
    }

    #[test]
    fn the_ratio_is_that_of_runs_beside_each_other() {
        let bench = Bench::new(
            "direct",
            "messages/s",
            "raw",
            vec![BenchRun::new(100.0, 50.0), BenchRun::new(10.0, 10.0), BenchRun::new(300.0, 100.0)],
        );
        assert_eq!((bench.ours, bench.peer, bench.ratio), (100.0, 50.0, 2.0));
        assert!(bench.to_string().contains("  2.00  (1.00-3.00) "), "{bench}");
    }
}
