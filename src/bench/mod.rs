//! Load, and comparison with something bare in the same run. Prints ratios.

use crate::net::failure::Failure;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {}

impl Bench {
    /// Measures.
    pub fn run(self) -> Result<u8, Failure> {
        match self {}
    }
}
