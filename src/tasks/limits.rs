//! Every number of the tasks, and why it is that number.

// How a peer runs a task: the archive.

/// Entries of an archive, and files and folders that a script leaves behind (spec: Peer).
pub const ENTRIES_MAX: u64 = 10_000;
/// What an archive may unpack to, counted while it is unpacked, whatever it declares (spec: Peer).
pub const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Unpacked bytes for one of the archive (spec: Peer). Deflate reaches 1032; tables of numbers
/// stay below 20.
pub const RATIO_MAX: u64 = 200;
/// A name with its folders, in bytes. Linux takes 4096 with what stands before it.
pub const NAME_BYTES_MAX: usize = 1024;
/// One part of a name, in bytes, as file systems have it.
pub const PART_BYTES_MAX: usize = 255;
/// Folders within folders. A look at them holds one descriptor for each.
pub const DEPTH_MAX: usize = 32;
/// Bytes that are unpacked, packed or copied at a time. A task holds three such buffers at most,
/// however large its files are.
pub const COPY_BYTES: usize = 64 * 1024;
/// A result. Encoded for the wire and with what stands around it, it fits into a message.
pub const RESULT_BYTES_MAX: u64 = 95 * 1024 * 1024;
/// Where a result is too large, the last bytes of what the script said that are sent instead.
pub const LAST_WORDS_BYTES: u64 = 1024 * 1024;
/// Files that were left out of a result and are named in its `status.json`; the rest is counted.
pub const SKIPPED_NAMED_MAX: usize = 100;

// How a peer runs a task: the script.

/// What all processes of a script have in memory together. Looked at every [`LOOK_MS`].
pub const MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The address space of each process, which the kernel itself holds. Twice the memory: libraries
/// for numbers reserve more than they use.
pub const ADDRESS_BYTES_MAX: u64 = 2 * MEMORY_BYTES_MAX;
/// What a script may write, its output included: the kernel holds one file to it, and all
/// together are looked at every [`LOOK_MS`].
pub const WRITTEN_BYTES_MAX: u64 = UNPACKED_BYTES_MAX;
/// Processes and threads of a script. Looked at every [`LOOK_MS`]; one that has more is ended.
pub const PROCESSES_MAX: u64 = 64;
/// How many it can reach until then: the kernel's own limit, where it counts for each task (user
/// namespaces). Twice as many, so that a script is told what it did and does not turn in circles.
pub const PROCESSES_WALL: u64 = 2 * PROCESSES_MAX;
/// The same where the kernel can only count all that runs as this user, other slots' scripts and a
/// person's whole desktop among them: so many more than there are when the script starts.
pub const USER_PROCESSES_WALL: u64 = 512;
/// Files that one process has open. Python's own subprocesses need a few; a look at the disk
/// visits them all.
pub const DESCRIPTORS_MAX: u64 = 256;
/// How often a script's processes and files are looked at. A disk writes some 100 MB meanwhile,
/// a processor makes some 100 processes: so much more than the limits is possible for so long.
pub const LOOK_MS: u64 = 100;
/// Or less often: looking costs at most one part in so many of the time,
pub const LOOK_SHARE: u32 = 10;
/// but not less often than this. A look takes long just when a script is busy in its folder.
pub const LOOK_MS_MAX: u64 = 500;
/// How long processes may take to be gone once they are killed. They go at once but for one that
/// waits for a disk or a device.
pub const KILL_MS_MAX: u64 = 10_000;
/// The pause between two rounds of killing what is left, where no namespace does it in one.
pub const KILL_MS: u64 = 2;
/// Lines that the guard of a script says: how it ended, what it used, why it was cut.
pub const REPORT_LINES_MAX: usize = 16;
/// One such line, in bytes.
pub const REPORT_LINE_BYTES_MAX: u64 = 4096;
/// Folders of the same task at a time: one that was taken from us and given to us again while it
/// still ran.
pub const FOLDERS_MAX: u32 = 16;
/// A peer's time limit for a task, unless it says otherwise: the master's.
pub const TIMEOUT_MS: u64 = 600_000;

const _: () = assert!(LOOK_MS < LOOK_MS_MAX);
const _: () = assert!(LAST_WORDS_BYTES * 2 < RESULT_BYTES_MAX);
