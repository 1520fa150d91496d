//! Progress bars: on a terminal only, and never with `NO_COLOR`.

use indicatif::ProgressBar;

/// A bar of so many steps on standard error. Elsewhere than on a terminal it shows nothing.
pub fn bar(steps: u64) -> ProgressBar {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain { ProgressBar::hidden() } else { ProgressBar::new(steps) }
}
