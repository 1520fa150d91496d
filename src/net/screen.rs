//! Standard output, shared by all that have something to say and waited for by none of them.
//!
//! Lines are put into a buffer, and one thread writes them. A terminal that is stopped or a pipe
//! that nobody reads delays that thread alone: the buffer fills, further lines are lost, and
//! how many is said as soon as there is room again.

use crate::net::limits::{SCREEN_BYTES_MAX, SCREEN_END_MS_MAX, SCREEN_MS};
use crate::net::threads;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the text of a screen ends up.
pub trait Sink: Send {
    /// Shows it, or hands it to whoever does.
    fn write(&mut self, text: &[u8]) -> io::Result<()>;

    /// Writes to `text` that so many lines are missing there.
    fn lost(&mut self, lines: u64, text: &mut Vec<u8>) {
        // Writing to a buffer cannot fail.
        let _ = writeln!(text, "({lines} lines not shown)");
    }

    /// Waits until all of it is shown.
    fn finish(&mut self) {}
}

/// Standard output itself.
#[derive(Debug)]
pub struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        write_stdout(text)
    }
}

/// A place to print on. Cheap to clone.
#[derive(Clone)]
pub struct Screen {
    shared: Arc<Shared>,
    /// Stands before each line.
    mark: Arc<str>,
}

struct Shared {
    page: Mutex<Page>,
    /// Wakes the printing thread: there is text, or it is the end.
    written: Condvar,
    /// Wakes who waits for the end: all has been printed.
    printed: Condvar,
    sink: Mutex<Box<dyn Sink>>,
}

#[derive(Default)]
struct Page {
    /// Bounded by [`SCREEN_BYTES_MAX`] and one line.
    text: Vec<u8>,
    lines_lost: u64,
    /// The printing thread waits for text.
    idle: bool,
    /// Why what we print cannot be written, once it could not.
    failure: Option<io::Error>,
    /// No more will be printed.
    ended: bool,
    /// All has been shown.
    finished: bool,
}

impl Page {
    /// Then it is no time to wait for more.
    fn is_half_full(&self) -> bool {
        self.text.len() > SCREEN_BYTES_MAX / 2
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> io::Result<Screen> {
        Screen::to(Box::new(Stdout))
    }

    /// Anything else.
    pub fn to(sink: Box<dyn Sink>) -> io::Result<Screen> {
        let shared = Arc::new(Shared {
            page: Mutex::new(Page::default()),
            written: Condvar::new(),
            printed: Condvar::new(),
            sink: Mutex::new(sink),
        });
        let printing = Arc::clone(&shared);
        // Ends after `finish`. Not joined: it may be blocked on the terminal for as long as the
        // process lives.
        threads::detach("screen", move || printing.print())?;
        Ok(Screen { shared, mark: Arc::from("") })
    }

    /// The same screen, with `mark` before each line.
    pub fn marked(&self, mark: &str) -> Screen {
        Screen { shared: Arc::clone(&self.shared), mark: Arc::from(mark) }
    }

    /// One line, without its end.
    pub fn line(&self, line: impl fmt::Display) {
        self.lines([line]);
    }

    /// Several lines that nobody else's come between.
    pub fn lines(&self, lines: impl IntoIterator<Item = impl fmt::Display>) {
        // Writing to a buffer cannot fail.
        self.write_lines(lines, |line, text| drop(write!(text, "{line}")));
    }

    /// The same, each written by `write`: for those who have many lines and a faster way.
    pub fn write_lines<L>(
        &self,
        lines: impl IntoIterator<Item = L>,
        mut write: impl FnMut(L, &mut Vec<u8>),
    ) {
        let mut page = self.shared.page.lock();
        let was_half_full = page.is_half_full();
        for line in lines {
            if page.text.len() >= SCREEN_BYTES_MAX {
                page.lines_lost += 1;
                continue;
            }
            page.text.extend_from_slice(self.mark.as_bytes());
            write(line, &mut page.text);
            page.text.push(b'\n');
        }
        if page.idle || page.is_half_full() != was_half_full {
            page.idle = false;
            self.shared.written.notify_one();
        }
    }

    /// Sends what follows elsewhere.
    pub fn redirect(&self, sink: Box<dyn Sink>) {
        *self.shared.sink.lock() = sink;
    }

    /// Whether what we print reaches nobody any more.
    pub fn is_gone(&self) -> bool {
        self.shared.page.lock().failure.is_some()
    }

    /// Why what we printed reached nobody. That the reader of a pipe has had enough is no failure.
    pub fn failure(&self) -> Option<String> {
        let page = self.shared.page.lock();
        let failure = page.failure.as_ref()?;
        (failure.kind() != io::ErrorKind::BrokenPipe).then(|| failure.to_string())
    }

    /// Waits until all has been shown, or so long that nobody seems to take it: false. The second
    /// time it does not wait. What is written after that is not shown.
    pub fn finish(&self) -> bool {
        let end = Instant::now() + Duration::from_millis(SCREEN_END_MS_MAX);
        let mut page = self.shared.page.lock();
        if std::mem::replace(&mut page.ended, true) {
            return page.finished;
        }
        self.shared.written.notify_one();
        while !page.finished {
            if self.shared.printed.wait_until(&mut page, end).timed_out() {
                return page.finished;
            }
        }
        true
    }
}

/// Text from the network, for a terminal: what would move the cursor, hide a line or turn it around
/// is shown, not done.
pub fn visible(text: &str) -> String {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_odd = |c: char| c.is_control() || turns(c);
    let show = |c: char| if is_odd(c) { c.escape_default().to_string() } else { c.into() };
    text.chars().map(show).collect()
}

impl Shared {
    fn print(&self) {
        let mut text = Vec::new();
        loop {
            let mut page = self.page.lock();
            while page.text.is_empty() && page.lines_lost == 0 {
                if page.ended {
                    drop(page);
                    self.sink.lock().finish();
                    self.page.lock().finished = true;
                    self.printed.notify_all();
                    return;
                }
                page.idle = true;
                self.written.wait(&mut page);
            }
            page.idle = false;
            if !page.ended && !page.is_half_full() {
                // More may come at once; `finish` ends this wait early, and so does too much.
                self.written.wait_for(&mut page, Duration::from_millis(SCREEN_MS));
            }
            std::mem::swap(&mut page.text, &mut text);
            let lines_lost = std::mem::take(&mut page.lines_lost);
            drop(page);
            let mut sink = self.sink.lock();
            if lines_lost > 0 {
                sink.lost(lines_lost, &mut text);
            }
            let written = sink.write(&text);
            drop(sink);
            if let Err(error) = written {
                self.page.lock().failure.get_or_insert(error);
            }
            text.clear();
        }
    }
}

/// Writes to standard output; `println!` would panic where nobody reads it.
pub fn write_stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()
}
