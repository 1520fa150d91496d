//! Rows of figures, and what they are compared with.

use std::fmt::Display;

/// The middle one; of an even number the upper of both.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// `0.78 (0.71 to 0.83)`: the median and the range.
pub(super) fn spread(figures: &[f64]) -> String {
    let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let high = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({low:.2} to {high:.2})", median(figures.to_vec()))
}

/// Prints a row of cells under their heads.
pub(super) fn print(widths: &[usize], cells: &[&dyn Display]) {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell = cell.to_string();
        line += &if index == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
    }
    // A closed standard output is no reason to panic.
    let _ = crate::net::screen::write_stdout((line + "\n").as_bytes());
}
