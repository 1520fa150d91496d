//! Folders for the tests.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is gone with the test. Not in `target`, which another user may not enter.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("malha-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A name in it. Nothing is made.
    pub fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.at(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub fn fifo(&self, name: &str) -> String {
        let path = self.at(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// A program in it. Another process writes it: ours is never without a thread that is just
    /// starting a program, and what is open for writing until then cannot be run.
    pub fn program(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let (draft, path) = (self.0.join("draft"), self.0.join(name));
        std::fs::write(&draft, bytes).unwrap();
        std::fs::set_permissions(&draft, Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp").args([&draft, &path]).status().unwrap();
        assert!(copied.success());
        std::fs::remove_file(draft).unwrap();
        path
    }

    /// What is in a folder within it.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
