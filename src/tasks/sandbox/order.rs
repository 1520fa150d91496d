//! What a guard is told to run, as the arguments of a process.

use nix::unistd::{Gid, Uid};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// What runs, where, and within which walls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Our own program, which becomes the guard, and then the script.
    pub program: PathBuf,
    /// Python, as an absolute path.
    pub python: PathBuf,
    /// What Python is told to run.
    pub args: Vec<OsString>,
    /// Where the script runs, and all that it may change.
    pub folder: PathBuf,
    /// Further folders that it may read and run programs from: those of Python itself.
    pub readable: Vec<PathBuf>,
    /// As whom it runs; none: as ourselves.
    pub user: Option<(Uid, Gid)>,
    /// How long it may run.
    pub timeout_ms: u64,
    /// Whether Landlock and seccomp confine it.
    pub is_confined: bool,
    /// Whether the kernel is to be used as if it had the first Landlock only, and no namespaces.
    pub as_if_old: bool,
}

impl Order {
    /// As arguments, `word=value` each.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = vec![
            pair("program", self.program.as_os_str()),
            pair("python", self.python.as_os_str()),
            pair("folder", self.folder.as_os_str()),
            pair("timeout_ms", self.timeout_ms.to_string()),
            pair("confined", self.is_confined.to_string()),
            pair("as_if_old", self.as_if_old.to_string()),
        ];
        args.extend(self.readable.iter().map(|path| pair("readable", path)));
        args.extend(self.user.map(|(user, group)| pair("user", format!("{user}:{group}"))));
        args.extend(self.args.iter().map(|arg| pair("arg", arg)));
        args
    }

    /// From such arguments; none if they are not.
    pub fn from_args(args: &[OsString]) -> Option<Order> {
        let mut order = Order {
            program: PathBuf::new(),
            python: PathBuf::new(),
            args: Vec::new(),
            folder: PathBuf::new(),
            readable: Vec::new(),
            user: None,
            timeout_ms: 0,
            is_confined: true,
            as_if_old: false,
        };
        for arg in args {
            let bytes = arg.as_bytes();
            let at = bytes.iter().position(|byte| *byte == b'=')?;
            let value = OsStr::from_bytes(&bytes[at + 1..]).to_owned();
            match &bytes[..at] {
                b"program" => order.program = value.into(),
                b"python" => order.python = value.into(),
                b"folder" => order.folder = value.into(),
                b"readable" => order.readable.push(value.into()),
                b"arg" => order.args.push(value),
                b"timeout_ms" => order.timeout_ms = value.to_str()?.parse().ok()?,
                b"confined" => order.is_confined = value.to_str()?.parse().ok()?,
                b"as_if_old" => order.as_if_old = value.to_str()?.parse().ok()?,
                b"user" => {
                    let (user, group) = value.to_str()?.split_once(':')?;
                    let user = Uid::from_raw(user.parse().ok()?);
                    order.user = Some((user, Gid::from_raw(group.parse().ok()?)));
                }
                _ => return None,
            }
        }
        let is_whole = !order.python.as_os_str().is_empty() && order.timeout_ms > 0;
        is_whole.then_some(order)
    }
}

fn pair(word: &str, value: impl AsRef<OsStr>) -> OsString {
    let bytes = [word.as_bytes(), b"=", value.as_ref().as_bytes()].concat();
    OsString::from_vec(bytes)
}
