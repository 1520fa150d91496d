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
pub type Sink = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

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
    sink: Mutex<Sink>,
}

#[derive(Default)]
struct Page {
    /// Bounded by [`SCREEN_BYTES_MAX`] and one line.
    text: Vec<u8>,
    lines_lost: u64,
    /// The printing thread waits for text.
    idle: bool,
    /// Nobody reads what we print.
    gone: bool,
    ended: bool,
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("mark", &self.mark).finish_non_exhaustive()
    }
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> io::Result<Screen> {
        Screen::to(Box::new(write_stdout))
    }

    /// Anything else.
    pub fn to(sink: Sink) -> io::Result<Screen> {
        let shared = Arc::new(Shared {
            page: Mutex::new(Page::default()),
            written: Condvar::new(),
            printed: Condvar::new(),
            sink: Mutex::new(sink),
        });
        let printing = Arc::clone(&shared);
        // Not joined: it may be blocked on the terminal for as long as the process lives.
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
        for line in lines {
            if page.text.len() >= SCREEN_BYTES_MAX {
                page.lines_lost += 1;
                continue;
            }
            page.text.extend_from_slice(self.mark.as_bytes());
            write(line, &mut page.text);
            page.text.push(b'\n');
        }
        if page.idle {
            page.idle = false;
            self.shared.written.notify_one();
        }
    }

    /// Sends what follows elsewhere.
    pub fn redirect(&self, sink: Sink) {
        *self.shared.sink.lock() = sink;
    }

    /// Whether nobody reads what we print any more: the other end of a pipe was closed.
    pub fn is_gone(&self) -> bool {
        self.shared.page.lock().gone
    }

    /// Waits until all has been printed, or so long that nobody seems to read it.
    pub fn finish(&self) {
        let end = Instant::now() + Duration::from_millis(SCREEN_END_MS_MAX);
        let mut page = self.shared.page.lock();
        page.ended = true;
        self.shared.written.notify_one();
        while !(page.idle || page.gone) {
            if self.shared.printed.wait_until(&mut page, end).timed_out() {
                return;
            }
        }
    }
}

impl Shared {
    fn print(&self) {
        let mut text = Vec::new();
        loop {
            let mut page = self.page.lock();
            while page.text.is_empty() && page.lines_lost == 0 {
                page.idle = true;
                self.printed.notify_all();
                self.written.wait(&mut page);
            }
            page.idle = false;
            if !page.ended {
                // More may come at once; `finish` ends this wait early.
                self.written.wait_for(&mut page, Duration::from_millis(SCREEN_MS));
            }
            std::mem::swap(&mut page.text, &mut text);
            if page.lines_lost > 0 {
                let _ =
                    writeln!(text, "({} lines not shown)", std::mem::take(&mut page.lines_lost));
            }
            drop(page);
            if (self.sink.lock())(&text).is_err() {
                self.page.lock().gone = true;
                self.printed.notify_all();
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
