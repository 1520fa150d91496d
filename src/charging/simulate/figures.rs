//! How long vehicles waited, and the table of it.

use crate::charging::limits::{MINUTE_MS, SIMULATED_SECONDS_MAX};
use crate::charging::roles::{Line, Waited};
use hdrhistogram::Histogram;

/// What vehicles lived through.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// From the question to the cable, in ms.
    waits: Histogram<u64>,
    /// Of it at the station, in ms.
    queues: Histogram<u64>,
    /// Charges that came to their end.
    pub charges: u64,
    /// Times that a station had no place, or no longer, or said nothing.
    pub refusals: u64,
    /// Times that no station could be named.
    pub nowhere: u64,
    /// Vehicles that wait at the end.
    pub waiting: u64,
    /// Vehicles that have no station in reach at the end.
    pub stranded: u64,
}

impl Default for Figures {
    fn default() -> Figures {
        let longest = SIMULATED_SECONDS_MAX * 1_000;
        let histogram = || {
            Histogram::new_with_bounds(1, longest, 3).expect("the bounds are constant and valid")
        };
        Figures {
            waits: histogram(),
            queues: histogram(),
            charges: 0,
            refusals: 0,
            nowhere: 0,
            waiting: 0,
            stranded: 0,
        }
    }
}

impl Figures {
    /// A vehicle says something.
    pub fn hear(&mut self, line: &Line) {
        match line {
            Line::Plugs(Waited { asked_ms, queued_ms }) => {
                self.waits.saturating_record(*asked_ms);
                self.queues.saturating_record(*queued_ms);
            }
            Line::Charged(_) => self.charges += 1,
            Line::Refused(..) => self.refusals += 1,
            Line::Nowhere(_) => self.nowhere += 1,
            _ => {}
        }
    }

    /// From the question to the cable, in minutes, on an average.
    pub fn wait_mean(&self) -> f64 {
        self.waits.mean() / MINUTE_MS as f64
    }

    fn wait(&self, quantile: f64) -> f64 {
        self.waits.value_at_quantile(quantile) as f64 / MINUTE_MS as f64
    }
}

const HEAD_COLUMNS: usize = 30;
const COLUMNS: usize = 17;

/// What is compared, and what it is called.
pub type Columns = Vec<(&'static str, Figures)>;

/// What our rule is called. The others are compared with it.
pub const LEAST: &str = "least minutes";

/// A column for each.
pub fn table(columns: &[(&str, Figures)]) -> Vec<String> {
    let row = |name: &str, cell: &dyn Fn(&Figures) -> String| {
        let cells = columns.iter().map(|(_, figures)| format!("{:>COLUMNS$}", cell(figures)));
        format!("{name:<HEAD_COLUMNS$}{}", cells.collect::<String>())
    };
    let heads = columns.iter().map(|(name, _)| format!("{name:>COLUMNS$}")).collect::<String>();
    let minutes = |minutes: f64| format!("{minutes:.1}");
    let mut lines = vec![
        format!("{:<HEAD_COLUMNS$}{heads}", ""),
        row("wait, mean, in minutes", &|figures| minutes(figures.wait_mean())),
        row("wait, p50", &|figures| minutes(figures.wait(0.5))),
        row("wait, p95", &|figures| minutes(figures.wait(0.95))),
        row("wait, longest", &|figures| minutes(figures.wait(1.0))),
        row("of it in the queue, mean", &|figures| {
            minutes(figures.queues.mean() / MINUTE_MS as f64)
        }),
        row("charges", &|figures| figures.charges.to_string()),
        row("refusals", &|figures| figures.refusals.to_string()),
        row("told that there is no station", &|figures| figures.nowhere.to_string()),
        row("waiting at the end", &|figures| figures.waiting.to_string()),
        row("stranded", &|figures| figures.stranded.to_string()),
    ];
    let ours = columns.iter().find(|(name, _)| *name == LEAST).map(|(_, f)| f.wait_mean());
    if let Some(ours) = ours.filter(|ours| *ours > 0.0) {
        let times = |figures: &Figures| format!("{:.2}", figures.wait_mean() / ours);
        lines.push(row("wait, times that of our rule", &times));
    }
    lines
}
