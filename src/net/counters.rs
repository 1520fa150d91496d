//! What a server counts, and how it tells it at its end.

/// A counter's name, and how far it is.
pub type Counter = (&'static str, u64);

/// Those that are not zero.
pub fn nonzero(counters: impl IntoIterator<Item = Counter>) -> Vec<Counter> {
    counters.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// In one line: `name=count`, with spaces between.
pub fn line(counters: &[Counter]) -> String {
    let told: Vec<String> =
        counters.iter().map(|(name, count)| format!("{name}={count}")).collect();
    told.join(" ")
}
