//! Progress bars: on a terminal only, and never with `NO_COLOR`.

use crate::net::screen::{Screen, Sink, write_stdout};
use indicatif::ProgressBar;
use std::io::{self, IsTerminal};

/// A bar of so many steps on standard error. Elsewhere than on a terminal it shows nothing.
pub fn bar(steps: u64) -> ProgressBar {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain { ProgressBar::hidden() } else { ProgressBar::new(steps) }
}

/// One that stays below the lines of a screen, also of those that the screen has not shown yet.
pub fn bar_below(screen: &Screen, steps: u64) -> ProgressBar {
    let bar = bar(steps);
    keep_below(screen, &bar);
    bar
}

/// Shows what is said on the screen above the bar.
pub fn keep_below(screen: &Screen, bar: &ProgressBar) {
    // A pipe is not where the bar is, and one that nobody reads must not hold the bar.
    if !bar.is_hidden() && io::stdout().is_terminal() {
        screen.redirect(Box::new(Above(bar.clone())));
    }
}

/// Lines that do not disturb the bar below them.
struct Above(ProgressBar);

impl Sink for Above {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.suspend(|| write_stdout(text))
    }
}
