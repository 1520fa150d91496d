//! Lines that a person types or a pipe brings, one at a time.
//!
//! On a terminal, with the feature `editing`, a half-typed line survives what is printed meanwhile,
//! Tab completes and the arrow keys bring back; otherwise lines are plain.

use crate::net::limits::{FOREGROUND_LOOK_MS, LINE_BYTES_MAX};
use crate::net::screen::Screen;
use crate::net::threads;
#[cfg(feature = "terminal")]
use parking_lot::Mutex;
use std::io::{self, BufRead, IsTerminal, Read};
#[cfg(feature = "terminal")]
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What came from standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C, which while a line is being edited is a key and not a signal.
    Interrupt,
    /// Nothing more will come.
    End,
}

/// Whether somebody sits at both ends: only then is there a prompt and an editor.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_in_background()
}

/// Whether a shell has started us with `&`. The system stops a program that then reads from its
/// terminal or changes its settings, and no signal but SIGKILL ends it.
fn is_in_background() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // proc(5): behind the name, which may hold anything, the fields 3 to 8.
    let mut fields = stat.rsplit(") ").next().unwrap_or("").split(' ').skip(2);
    let (group, in_front) = (fields.next(), fields.nth(2));
    // Without a terminal, or where the system does not say, there is no such thing.
    in_front.is_some_and(|in_front| in_front != "-1") && in_front != group
}

/// Returns when lines can be read: at once, or after the shell's `fg`.
fn wait_for_foreground() {
    while io::stdin().is_terminal() && is_in_background() {
        thread::park_timeout(Duration::from_millis(FOREGROUND_LOOK_MS));
    }
}

/// Starts reading. `words` are what Tab completes to; `take` gets what was typed, and says whether
/// it wants more.
pub fn read(
    words: &'static [&'static str],
    screen: &Screen,
    mut take: impl FnMut(Typed) -> bool + Send + 'static,
) -> io::Result<()> {
    let screen = screen.clone();
    // Not joined: nothing can wake it while it waits for a key.
    threads::detach("stdin", move || {
        wait_for_foreground();
        #[cfg(feature = "editing")]
        if is_interactive() && editing::read(words, &screen, &mut take) {
            take(Typed::End);
            return;
        }
        let _ = (words, screen);
        read_plain(&mut io::stdin().lock(), &mut take);
        take(Typed::End);
    })
}

/// Starts reading lines as they are, without an editor: for programs that draw something else on
/// the terminal.
pub fn read_plainly(mut take: impl FnMut(Typed) -> bool + Send + 'static) -> io::Result<()> {
    threads::detach("stdin", move || {
        wait_for_foreground();
        read_plain(&mut io::stdin().lock(), &mut take);
        take(Typed::End);
    })
}

fn read_plain(input: &mut impl BufRead, take: &mut dyn FnMut(Typed) -> bool) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        if !take(Typed::Line(text)) {
            return;
        }
    }
}

/// The terminal's settings as they were at the start; given back when dropped.
///
/// A program that ends while a line is being edited would otherwise leave a terminal behind that
/// shows nothing of what is typed.
#[derive(Debug, Clone)]
pub struct Settings {
    #[cfg(feature = "terminal")]
    saved: Arc<Mutex<Option<nix::sys::termios::Termios>>>,
}

impl Settings {
    /// Remembers the settings, if there is a terminal.
    pub fn save() -> Settings {
        Settings {
            #[cfg(feature = "terminal")]
            saved: Arc::new(Mutex::new(nix::sys::termios::tcgetattr(io::stdin()).ok())),
        }
    }

    /// Shows nothing of what is typed until the settings are restored; only that a line has ended.
    #[cfg(feature = "terminal")]
    pub fn hide(&self) -> io::Result<()> {
        use nix::sys::termios::{LocalFlags, SetArg, tcsetattr};
        let Some(mut hidden) = self.saved.lock().clone() else { return Ok(()) };
        hidden.local_flags.remove(LocalFlags::ECHO);
        hidden.local_flags.insert(LocalFlags::ECHONL);
        Ok(tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &hidden)?)
    }

    /// Gives them back.
    pub fn restore(&self) {
        #[cfg(feature = "terminal")]
        if let Some(saved) = &*self.saved.lock()
            && !is_in_background()
        {
            use nix::sys::termios::{SetArg, tcsetattr};
            // Without a terminal any more there is nothing to restore.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, saved);
        }
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.restore();
    }
}

#[cfg(feature = "editing")]
mod editing {
    use super::{Typed, io};
    use crate::net::limits::HISTORY_LINES_MAX;
    use crate::net::screen::{Screen, Sink, Stdout, write_stdout};
    use rustyline::completion::Completer;
    use rustyline::error::ReadlineError;
    use rustyline::history::MemHistory;
    use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter};
    use rustyline::{Helper, highlight::Highlighter, hint::Hinter, validate::Validator};

    /// None: the editor draws it again after each text printed, also the last one of the program.
    const PROMPT: &str = "";

    /// Prints above the line that is being typed.
    struct Beside<P>(P);

    impl<P: ExternalPrinter + Send> Sink for Beside<P> {
        fn write(&mut self, text: &[u8]) -> io::Result<()> {
            let text = String::from_utf8_lossy(text).into_owned();
            self.0.print(text).map_err(io::Error::other)
        }

        /// The editor takes texts from a queue of one. Once it has taken a second one behind ours,
        /// ours has been shown. These show nothing: one line up, one line down.
        fn finish(&mut self) {
            let nothing = || "\x1b[A\n".to_owned();
            let shown = self.0.print(nothing()).is_ok() && self.0.print(nothing()).is_ok();
            if shown {
                // Takes a half-typed line away. The program ends, so a failure does not matter.
                let _ = write_stdout(b"\r\x1b[K");
            }
        }
    }

    struct Words(&'static [&'static str]);

    impl Completer for Words {
        type Candidate = String;

        fn complete(
            &self,
            line: &str,
            at: usize,
            _: &Context<'_>,
        ) -> rustyline::Result<(usize, Vec<String>)> {
            let typed = &line[..at];
            let fitting = self.0.iter().filter(|word| word.starts_with(typed));
            Ok((0, fitting.map(ToString::to_string).collect()))
        }
    }

    impl Hinter for Words {
        type Hint = String;
    }
    impl Highlighter for Words {}
    impl Validator for Words {}
    impl Helper for Words {}

    /// False if this terminal cannot be edited on; then nothing has been read.
    pub(super) fn read(
        words: &'static [&'static str],
        screen: &Screen,
        take: &mut dyn FnMut(Typed) -> bool,
    ) -> bool {
        let Ok((editor, printer)) = start(words) else { return false };
        screen.redirect(Box::new(Beside(printer)));
        // An error is the end of input, by a key or because the terminal is gone.
        let _ = edit(editor, take);
        screen.redirect(Box::new(Stdout));
        true
    }

    type Lines = Editor<Words, MemHistory>;

    fn start(
        words: &'static [&'static str],
    ) -> rustyline::Result<(Lines, impl ExternalPrinter + Send + 'static)> {
        let config = Config::builder()
            .max_history_size(HISTORY_LINES_MAX)?
            .completion_type(CompletionType::List)
            .build();
        let history = MemHistory::with_config(&config);
        let mut editor: Lines = Editor::with_history(config, history)?;
        editor.set_helper(Some(Words(words)));
        let printer = editor.create_external_printer()?;
        Ok((editor, printer))
    }

    fn edit(mut editor: Lines, take: &mut dyn FnMut(Typed) -> bool) -> rustyline::Result<()> {
        loop {
            let wants_more = match editor.readline(PROMPT) {
                Ok(text) => {
                    editor.add_history_entry(&text)?;
                    // What was pasted may be several lines.
                    text.split('\n').all(|line| take(Typed::Line(line.to_owned())))
                }
                Err(ReadlineError::Interrupted) => take(Typed::Interrupt),
                Err(error) => return Err(error),
            };
            if !wants_more {
                return Ok(());
            }
        }
    }
}
