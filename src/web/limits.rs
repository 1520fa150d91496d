//! Every number of the page server, and why it is that number.

/// The head of a request: a browser's own is below 2 KiB.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Header lines that are parsed.
pub const HEADERS_MAX: usize = 64;
/// The body of a request: one form.
pub const BODY_BYTES_MAX: usize = 4 * 1024;
/// How long a request may take to arrive.
pub const REQUEST_MS_MAX: u64 = 5_000;
/// Connections at a time. A page keeps one, and a browser opens some more ahead.
pub const CONNECTIONS_MAX: usize = 64;
/// How long what a page asks for may take.
pub const ACT_MS_MAX: u64 = 10_000;
/// Things asked for that may wait.
pub const ACTS_MAX: usize = 16;
/// Events that may wait for a page. One that does not take them is cut; its browser connects
/// again, and is told everything anew.
pub const EVENTS_MAX: usize = 256;
/// Events that may wait to be told to the pages.
pub const NEWS_MAX: usize = 1_024;
/// How often a page that hears nothing is told so: a connection that is gone is noticed then.
pub const ALIVE_MS: u64 = 15_000;
/// How soon a browser connects again, in ms.
pub const RETRY_MS: u64 = 1_000;
