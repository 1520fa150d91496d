//! How a peer runs one task: unpack, run, pack. It blocks; each slot has a thread for it.

mod place;
mod result;
mod trial;

use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::tasks::archive::{self, Trouble};
use crate::tasks::limits::TIMEOUT_MS;
use crate::tasks::sandbox::{self, Ending, Order, Run};
use crate::tasks::tree;
use nix::unistd::{Gid, Uid};
use place::Place;
use result::Found;

pub(super) use place::MARK;
pub use result::excuse;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where and how tasks are run.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// Python: a path, or a name to look for in `PATH`.
    pub python: PathBuf,
    /// Each task has a folder in it while it runs.
    pub folder: PathBuf,
    /// As whom scripts run if we are root.
    pub user: String,
    /// How long a script may run.
    pub timeout_ms: u64,
    /// What surrounds a script.
    pub confinement: Confinement,
    /// Whether a task's folder stays when it is done.
    pub keep: bool,
    /// Where starts and ends are told.
    pub trace: Trace,
    /// Our own program, which looks after a script as another process.
    pub program: PathBuf,
    /// Whether the kernel is to be used as if it had the first Landlock only (Linux 5.13) and no
    /// namespaces, to try what holds then.
    pub as_if_old: bool,
    means: Means,
}

/// What surrounds a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Landlock and seccomp, or it does not run.
    Full,
    /// Limits and another user only.
    None,
}

/// What was found out before the first task.
#[derive(Debug, Clone, Default)]
struct Means {
    python: PathBuf,
    readable: Vec<PathBuf>,
    user: Option<(Uid, Gid)>,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The result is there.
    Done,
    /// It failed, for this reason; the result is there and holds its last output.
    Failed(String),
    /// Stop was asked for; there is no result.
    GivenBack,
    /// We cannot run tasks now, for this reason; there is no result.
    Broken(String),
}

impl Workshop {
    /// One with the usual settings, which works in `folder`.
    pub fn new(folder: PathBuf, trace: Trace) -> Workshop {
        Workshop {
            python: PathBuf::from("python3"),
            folder,
            user: "nobody".to_owned(),
            timeout_ms: TIMEOUT_MS,
            confinement: Confinement::Full,
            keep: false,
            trace,
            // What cannot be found is said when it is tried.
            program: std::env::current_exe().unwrap_or_default(),
            as_if_old: false,
            means: Means::default(),
        }
    }

    /// Finds Python, and tries it and the sandbox with a script that tries to get out.
    ///
    /// A failure says what is missing, and which option helps.
    pub fn prepare(mut self) -> Result<Workshop, Failure> {
        self.means = trial::means(&mut self)?;
        trial::run(&self)?;
        Ok(self)
    }

    /// Removes what a peer left that was killed. Only while nobody else works in the folder.
    pub fn tidy(&self) {
        if !self.keep {
            place::remove_left(&self.folder, &self.trace);
        }
    }

    /// Runs the task in the ZIP at `archive` and writes the result ZIP to `result`. Ends early when
    /// `stop` is asked for. Only after [`Workshop::prepare`].
    pub fn perform(&self, task: &str, archive: &Path, result: &Path, stop: &Stop) -> Outcome {
        self.trace.event(format_args!("ev=task-begin task={task}"));
        let outcome = self.attempt(task, archive, result, stop);
        let outcome = outcome.unwrap_or_else(|failure| Outcome::Broken(failure.to_string()));
        if matches!(outcome, Outcome::GivenBack | Outcome::Broken(_)) {
            // None was promised; half of one may be there.
            let _ = std::fs::remove_file(result);
        }
        self.trace.event(format_args!("ev=task-end task={task} outcome={outcome:?}"));
        outcome
    }

    fn attempt(
        &self,
        task: &str,
        archive: &Path,
        result: &Path,
        stop: &Stop,
    ) -> Result<Outcome, Failure> {
        if stop.is_asked() {
            return Ok(Outcome::GivenBack);
        }
        let place = Place::make(&self.folder, task, self.keep, &self.trace)?;
        let mut found = Found::new(task, &place);
        match self.begin(&place, archive)? {
            Err(why) => found.failure = Some(why),
            Ok(home) => {
                found.look(&home).map_err(Failure::from_io(cannot("look at", &home)))?;
                match self.run(&home, &place, stop)? {
                    Run::Ended(ending) => found.judge(ending, self.timeout_ms),
                    Run::Stopped => return Ok(Outcome::GivenBack),
                    Run::Trouble(why) => {
                        let what = format!("cannot run the task {task}");
                        return Err(Failure { what, why });
                    }
                }
            }
        }
        if let Some(folder) = result.parent() {
            // Somebody may have removed it while the script ran.
            let made = std::fs::create_dir_all(folder);
            made.map_err(Failure::from_io(cannot("make", folder)))?;
        }
        found.pack(result).map_err(Failure::from_io(cannot("write", result)))?;
        Ok(found.failure.map_or(Outcome::Done, Outcome::Failed))
    }

    /// Unpacks; where the script is to run, or why the archive is no task.
    fn begin(&self, place: &Place, archive: &Path) -> Result<Result<PathBuf, String>, Failure> {
        match archive::unpack(archive, place.files()) {
            Ok(()) => {}
            Err(Trouble::Refused(why)) => return Ok(Err(why)),
            Err(Trouble::Broken(error)) => {
                return Err(Failure::from_io(cannot("unpack", archive))(error));
            }
        }
        let Some(home) = home(place.files()) else {
            return Ok(Err(format!("the archive holds no {SCRIPT}")));
        };
        if let Some((user, group)) = self.means.user {
            let given = tree::give(place.files(), user, group);
            given.map_err(Failure::from_io(cannot("give away", place.files())))?;
        }
        Ok(Ok(home))
    }

    fn run(&self, home: &Path, place: &Place, stop: &Stop) -> Result<Run, Failure> {
        let mut args: Vec<OsString> = PYTHON_ARGS.iter().map(OsString::from).collect();
        args.push(SCRIPT.into());
        if home.join(INPUT).is_file() {
            args.push(INPUT.into());
        }
        let order = self.order(home, args);
        let create =
            |path: PathBuf| File::create(&path).map_err(Failure::from_io(cannot("write", &path)));
        let (out, err) = (create(place.out())?, create(place.err())?);
        let run = sandbox::run(&order, out, err, stop);
        run.map_err(Failure::from_io(cannot("start", &self.program)))
    }

    fn order(&self, folder: &Path, args: Vec<OsString>) -> Order {
        Order {
            program: self.program.clone(),
            python: self.means.python.clone(),
            args,
            folder: folder.to_owned(),
            readable: self.means.readable.clone(),
            user: self.means.user,
            timeout_ms: self.timeout_ms,
            is_confined: self.confinement == Confinement::Full,
            as_if_old: self.as_if_old,
        }
    }
}

/// What is run (spec: Peer).
const SCRIPT: &str = "main.py";
/// What it is run on (spec: Peer): its only argument, if it is there.
const INPUT: &str = "input.csv";
/// No `__pycache__` among the files that it writes; nothing of what it said lost when it is killed.
const PYTHON_ARGS: [&str; 2] = ["-B", "-u"];

/// The top folder or the single one in it that holds the script. Others may lie beside it: some
/// programs add one of their own.
fn home(files: &Path) -> Option<PathBuf> {
    if files.join(SCRIPT).is_file() {
        return Some(files.to_owned());
    }
    let folders = std::fs::read_dir(files).ok()?.flatten().map(|entry| entry.path());
    let mut homes = folders.filter(|folder| folder.join(SCRIPT).is_file());
    let home = homes.next()?;
    homes.next().is_none().then_some(home)
}

fn cannot(what: &str, path: &Path) -> String {
    format!("cannot {what} {}", path.display())
}

/// Why this is a failure, if it is one.
fn failure(ending: &Ending, timeout_ms: u64) -> Option<String> {
    use crate::tasks::limits::{
        DEPTH_MAX, ENTRIES_MAX, MEMORY_BYTES_MAX, PROCESSES_MAX, WRITTEN_BYTES_MAX,
    };
    use sandbox::Cut;
    match (ending.code, ending.signal, ending.cut) {
        (Some(0), ..) => None,
        (Some(code), ..) => Some(format!("exit code {code}")),
        (_, _, Some(Cut::Time)) => Some(format!("not done after {} s", timeout_ms as f64 / 1000.0)),
        (_, _, Some(Cut::Processes)) => Some(format!("more than {PROCESSES_MAX} processes")),
        (_, _, Some(Cut::Memory)) => {
            Some(format!("more than {} MiB of memory", MEMORY_BYTES_MAX >> 20))
        }
        (_, _, Some(Cut::Bytes)) => {
            Some(format!("more than {} MiB of files", WRITTEN_BYTES_MAX >> 20))
        }
        (_, _, Some(Cut::Files)) => Some(format!("more than {ENTRIES_MAX} files")),
        (_, _, Some(Cut::Depth)) => Some(format!("folders within folders, {DEPTH_MAX} deep")),
        (_, _, Some(Cut::Closed)) => Some("a folder that cannot be looked into".to_owned()),
        (_, Some(signal), _) => Some(format!("killed by {}", signal_name(signal))),
        (None, None, None) => Some("killed".to_owned()),
    }
}

fn signal_name(signal: i32) -> String {
    let known = nix::sys::signal::Signal::try_from(signal);
    known.map_or_else(|_| format!("signal {signal}"), |known| known.as_str().to_owned())
}
