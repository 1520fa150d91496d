//! Before the first task: where Python is, as whom scripts run, and whether the walls hold.

use super::place::Place;
use super::{Confinement, Means, Workshop, cannot, failure};
use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::tasks::sandbox::{self, Run};
use crate::tasks::tree;
use nix::unistd::{Gid, Uid, User, geteuid};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Python keeps what it is made of. Some systems keep a part of it elsewhere.
const ASK: &str = "\
import os, sys
print(sys.executable, sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix, sep='\\n')
try: import sitecustomize
except ImportError: pass
else: print(os.path.realpath(sitecustomize.__file__))
";

/// Finds out what orders need.
pub fn means(workshop: &mut Workshop) -> Result<Means, Failure> {
    let folder = &workshop.folder;
    let made = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
    workshop.folder = made.map_err(Failure::from_io(cannot("make", folder)))?;
    let user = if geteuid().is_root() { Some(user(&workshop.user)?) } else { None };
    let (python, readable) = python(&workshop.python)?;
    Ok(Means { python, readable, user })
}

fn user(name: &str) -> Result<(Uid, Gid), Failure> {
    let what = format!("cannot run scripts as {name}");
    let because = |why: &str| Failure { what: what.clone(), why: format!("{why}; see --user") };
    match User::from_name(name) {
        Ok(Some(user)) if !user.uid.is_root() => Ok((user.uid, user.gid)),
        Ok(Some(_)) => Err(because("limits do not bind root")),
        Ok(None) => Err(because("there is no such user")),
        Err(error) => Err(because(&error.to_string())),
    }
}

/// The real program (not a script that chooses one), and the folders that it needs.
fn python(python: &Path) -> Result<(PathBuf, Vec<PathBuf>), Failure> {
    let what = format!("cannot run {}", python.display());
    let because = |why: String| Failure { what: what.clone(), why: format!("{why}; see --python") };
    let mut command = Command::new(python);
    command.args(["-c", ASK]).stdin(Stdio::null());
    let asked = command.output().map_err(|error| because(error.to_string()))?;
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    let mut paths = said.lines().map(PathBuf::from);
    let Some(program) = paths.next().filter(|path| asked.status.success() && path.is_absolute())
    else {
        let why = String::from_utf8_lossy(&asked.stderr);
        let last = why.lines().next_back().unwrap_or("it is not Python 3");
        return Err(because(last.to_owned()));
    };
    let mut readable: Vec<PathBuf> = paths.filter(|path| path.parent().is_some()).collect();
    readable.sort();
    readable.dedup();
    // A virtual environment's program is a link to another.
    readable.extend(program.canonicalize());
    Ok((program, readable))
}

/// A script that does what scripts do, and tries what they must not. It says which wall is missing.
const SCRIPT: &str = "\
import os, socket, trial_part
open('written', 'w').write('x')
assert trial_part.x == 1
if os.environ.get('LANG') != 'C.UTF-8': print('an empty environment')
def holds(wall, attempt):
    try: attempt()
    except OSError: return
    print(wall)
holds('Landlock', lambda: open('../secret').read())
holds('Landlock', lambda: open('../secret', 'w'))
holds('seccomp', socket.socket)
";

/// Runs it.
pub fn run(workshop: &Workshop) -> Result<(), Failure> {
    let name = format!("trial-{}", std::process::id());
    let place = Place::make(&workshop.folder, &name, false, &workshop.trace)?;
    let write = |path: PathBuf, text: &str| {
        fs::write(&path, text).map_err(Failure::from_io(cannot("write", &path)))
    };
    write(place.files().join("main.py"), SCRIPT)?;
    write(place.files().join("trial_part.py"), "x = 1\n")?;
    let secret = place.files().with_file_name("secret");
    write(secret, "secret")?;
    if let Some((user, group)) = workshop.means.user {
        let given = tree::give(place.files(), user, group);
        given.map_err(Failure::from_io(cannot("give away", place.files())))?;
    }
    let order = workshop.order(place.files(), ["-B", "main.py"].map(OsString::from).to_vec());
    let create =
        |path: PathBuf| File::create(&path).map_err(Failure::from_io(cannot("write", &path)));
    let (out, err) = (create(place.out())?, create(place.err())?);
    let run = sandbox::run(&order, out, err, &Stop::never());
    let run = run.map_err(Failure::from_io(cannot("start", &workshop.program)))?;
    let said = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    judge(workshop, run, &said(place.out()), &said(place.err()))
}

fn judge(workshop: &Workshop, run: Run, out: &str, err: &str) -> Result<(), Failure> {
    let is_full = workshop.confinement == Confinement::Full;
    let python = workshop.means.python.display();
    let as_whom = match workshop.means.user {
        Some(_) => format!(" as {}", workshop.user),
        None => String::new(),
    };
    let ending = match run {
        Run::Trouble(why) => {
            let what = format!("cannot run scripts{as_whom}");
            let wall = ["Landlock", "seccomp"].iter().any(|wall| why.contains(wall));
            let hint = if wall { "see --no-sandbox".to_owned() } else { hint(workshop) };
            return Err(Failure { what, why: format!("{why}; {hint}") });
        }
        Run::Stopped => return Ok(()),
        Run::Ended(ending) => ending,
    };
    if let Some(why) = failure(&ending, workshop.timeout_ms) {
        let what = format!("cannot run {python} in {}{as_whom}", workshop.folder.display());
        let why = err.lines().next_back().map_or(why, str::to_owned);
        return Err(Failure { what, why: format!("{why}; {}", hint(workshop)) });
    }
    match out.lines().next() {
        Some(wall) if is_full => Err(Failure {
            what: "the sandbox does not hold".to_owned(),
            why: format!("this kernel lets a script pass {wall}; see --no-sandbox"),
        }),
        _ => Ok(()),
    }
}

/// Which options may help. Somebody's own Python, in a folder that is closed to others, is what
/// most often stands in the way.
fn hint(workshop: &Workshop) -> String {
    let system = Path::new("/usr/bin/python3");
    match system.exists() && workshop.python != system {
        true => format!("see --python ({} is one), --user, --work", system.display()),
        false => "see --python, --user, --work".to_owned(),
    }
}
