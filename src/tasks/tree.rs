//! Folders full of what a stranger left there: looked at, given away, removed.
//!
//! Nothing is ever followed or opened but folders and regular files, each by its name in the folder
//! that is open already, so that a link leads nowhere and a pipe blocks nobody.

use crate::tasks::limits::DEPTH_MAX;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Something in a folder.
#[derive(Debug)]
pub struct Seen<'a> {
    folder: BorrowedFd<'a>,
    name: &'a CStr,
    /// Where it is, from the folder where we began.
    pub path: &'a Path,
    /// What the system says of it, as it is at this moment.
    pub stat: FileStat,
    /// A folder whose owner allows nobody to look into it, not even us.
    pub is_closed: bool,
}

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes.
    File,
    /// A folder.
    Folder,
    /// Any other: a link, a pipe, a socket, a device.
    Other,
}

impl Seen<'_> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        kind(&self.stat)
    }

    /// Opens it, if it still is a regular file.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = openat(self.folder, self.name, flags, Mode::empty())?;
        if kind(&fstat(&file)?) != Kind::File {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(File::from(file))
    }
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

const OPEN_FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// Shows all that is in a folder and in folders within it, as deep as [`DEPTH_MAX`], until `each`
/// breaks. What is deeper is shown as a folder and not entered, nor is what is closed. What
/// vanishes meanwhile is passed over. Fails if the folder itself is closed.
pub fn walk(
    root: &Path,
    each: &mut dyn FnMut(&Seen<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut folder = reachable(Dir::open(root, OPEN_FOLDER, Mode::empty())?)?;
    enter(&mut folder, Path::new(""), 1, each).map(drop)
}

/// The names in a folder can be read without reaching what they name.
fn reachable(folder: Dir) -> nix::Result<Dir> {
    fstatat(&folder, c".", AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(folder)
}

fn enter(
    folder: &mut Dir,
    path: &Path,
    depth: usize,
    each: &mut dyn FnMut(&Seen<'_>) -> io::Result<ControlFlow<()>>,
) -> io::Result<ControlFlow<()>> {
    // One descriptor reads the names, another opens them: `Dir` cannot do both at a time.
    let here = folder.as_fd().try_clone_to_owned()?;
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if is_dots(name) {
            continue;
        }
        let Ok(stat) = fstatat(&here, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        let path = path.join(as_path(name));
        let enters = kind(&stat) == Kind::Folder && depth < DEPTH_MAX;
        let open = || Dir::openat(&here, name, OPEN_FOLDER, Mode::empty()).and_then(reachable);
        let inner = enters.then(open).transpose();
        let is_closed = matches!(inner, Err(Errno::EACCES));
        let seen = Seen { folder: here.as_fd(), name, path: &path, stat, is_closed };
        if each(&seen)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if let Ok(Some(mut inner)) = inner
            && enter(&mut inner, &path, depth + 1, each)?.is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn is_dots(name: &CStr) -> bool {
    name == c"." || name == c".."
}

fn as_path(name: &CStr) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// Gives a folder and all that is in it to another user. Only for what we made ourselves.
pub fn give(root: &Path, user: Uid, group: Gid) -> io::Result<()> {
    fchown(&File::open(root)?, Some(user), Some(group))?;
    walk(root, &mut |seen| {
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        nix::unistd::fchownat(seen.folder, seen.name, Some(user), Some(group), flags)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Removes a folder and all that is in it, however deep and whatever its modes.
pub fn remove(root: &Path) -> io::Result<()> {
    match Dir::open(root, OPEN_FOLDER, Mode::empty()) {
        Ok(mut folder) => {
            let mut lifted = 0;
            // A folder that lies too deep is lifted up to here, and removed in the next round.
            loop {
                let before = lifted;
                let top = folder.as_fd().try_clone_to_owned()?;
                clear(&mut folder, top.as_fd(), 1, &mut lifted)?;
                if lifted == before {
                    break;
                }
            }
        }
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    std::fs::remove_dir(root)
}

fn clear(folder: &mut Dir, top: BorrowedFd<'_>, depth: usize, lifted: &mut u64) -> io::Result<()> {
    let here = folder.as_fd().try_clone_to_owned()?;
    // Its owner may have locked himself out, and he may be us.
    fchmod(&here, Mode::S_IRWXU)?;
    // All names first: a folder that changes while it is read may hide some.
    let mut names: Vec<CString> = folder
        .iter()
        .map(|entry| entry.map(|entry| entry.file_name().to_owned()))
        .filter(|name| !name.as_deref().is_ok_and(is_dots))
        .collect::<Result<_, _>>()?;
    // What says whose folder it is goes last: somebody else may have to go on with this.
    names.sort_by_key(|name| name.as_bytes().starts_with(b"."));
    for name in &names {
        let stat = fstatat(&here, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if kind(&stat) != Kind::Folder {
            unlinkat(&here, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
            continue;
        }
        if depth == DEPTH_MAX {
            *lifted += 1;
            renameat(&here, name.as_c_str(), top, lifted_name(*lifted).as_path())?;
            continue;
        }
        let mut inner = open_locked(here.as_fd(), name)?;
        clear(&mut inner, top, depth + 1, lifted)?;
        unlinkat(&here, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
    }
    Ok(())
}

/// No other name there is like it, but by malice; then removing fails and says so.
fn lifted_name(number: u64) -> PathBuf {
    PathBuf::from(format!(".removed-{}-{number}", std::process::id()))
}

fn open_locked(folder: BorrowedFd<'_>, name: &CStr) -> nix::Result<Dir> {
    use nix::sys::stat::{FchmodatFlags, fchmodat};
    match Dir::openat(folder, name, OPEN_FOLDER, Mode::empty()) {
        Err(Errno::EACCES) => {
            // It is a folder and not a link: nobody but us is left to change that.
            fchmodat(folder, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
            Dir::openat(folder, name, OPEN_FOLDER, Mode::empty())
        }
        opened => opened,
    }
}
