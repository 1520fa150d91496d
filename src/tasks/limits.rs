//! Every number of the tasks, and why it is that number.

/// A message, unless `--max-message` says otherwise, in MiB (spec: Master).
pub const MESSAGE_MIB_MAX: u64 = 128;
/// All of a message but the archive that it carries. Names and ids are short.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Objects within objects of a message. Ours have none.
pub const NESTED_MAX: usize = 32;
/// Text in base64 that is decoded at once; a multiple of 4.
pub const TEXT_BYTES: usize = 64 * 1024;
/// An archive's bytes that make so much text, so they are encoded at once.
pub const PIECE_BYTES: usize = TEXT_BYTES / 4 * 3;
/// Decoded bytes that are kept before they are written to a file. A small archive takes one write;
/// and who begins one and does not go on holds no more than this.
pub const SPOOL_FIRST_BYTES: usize = 64 * 1024;
/// An archive of which so much has come is a large one.
pub const SPOOL_LARGE_BYTES: usize = 1024 * 1024;
/// And of such so many bytes are kept, and written at once. ext4 takes in 512 KiB with two thirds
/// of the work of as much in pieces of 48 KiB, because it reserves less often and in larger pages;
/// more at once falls out of the processor's cache.
pub const SPOOL_BYTES: usize = 512 * 1024;
/// So many archives at a time; others go on in small pieces. No disk is faster for more, and who
/// sends a lot and does not go on holds little.
pub const SPOOLS_LARGE_MAX: usize = 32;
/// An archive that says only why a task failed.
pub const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// How much of a long message makes a sign that its sender lives, or its reader, in bytes. Slower
/// than 4 KiB a second is no life.
pub const NEWS_BYTES: u64 = 64 * 1024;
/// And how often such a sign is told.
pub const NEWS_MS: u64 = 1_000;

/// A name of a task or result, in bytes: what file systems take, less what we put before it.
pub const TASK_NAME_BYTES_MAX: usize = 200;
/// The id of a peer, in bytes. A UUID has 36.
pub const PEER_BYTES_MAX: usize = 128;
/// Why a task failed, in bytes. A longer text is cut.
pub const REASON_BYTES_MAX: usize = 1_000;
/// A secret: fewer bytes are easily guessed.
pub const TOKEN_BYTES_MIN: usize = 8;
/// A secret's file is no other file by mistake.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// Peers at a time, unless `--max-peers` says otherwise (spec: Master).
pub const PEERS_MAX: usize = 256;
/// Connections for each of them: one that asks, and one that gives signs of life.
pub const CONNECTIONS_PER_PEER: usize = 2;
/// Events that may wait for the master beside one turn for each connection.
pub const INBOX_EVENTS_MAX: usize = 64;
/// Jobs that the storing thread may have ahead; more wait at the coordinator.
pub const JOBS_MAX: usize = 256;

/// How soon the coordinator looks whether the storing thread has room again.
pub const BACKLOG_MS: u64 = 10;

/// How often a peer says that it lives (spec: Messages).
pub const HEARTBEAT_MS: u64 = 5_000;
/// A peer that was silent for so long has lost its tasks (spec: Master).
pub const SILENT_MS_MAX: u64 = 15_000;
/// A task's lease, unless `--task-timeout` says otherwise (spec: Master).
pub const TASK_MS_MAX: u64 = 600_000;
/// How much longer the master waits than a task may take, and
pub const LEASE_MORE_MS: u64 = 5_000;
/// at most so much of that: what a peer has just cut at the same limit is still to be packed and
/// sent.
pub const LEASE_MORE_SHARE: u64 = 10;
/// For so long what a peer says of a task counts for the lease of it that its time has ended, not
/// for one that it was given since.
pub const LATE_MS: u64 = 60_000;
/// The longest that `--task-timeout` takes: a week.
pub const TASK_MS_LIMIT: u64 = 7 * 86_400_000;
/// How often a task may be lost or fail, unless `--attempts` says otherwise (spec: Master).
pub const ATTEMPTS_MAX: u32 = 3;
/// Silence in the middle of a message, after which its connection is closed.
pub const STALL_MS_MAX: u64 = 60_000;
/// How much longer than a task may take a connection may say nothing.
pub const IDLE_MORE_MS: u64 = 300_000;
/// How soon a failed task's last output is stored again, if it could not be.
pub const STORE_AGAIN_MS: u64 = 5_000;
/// How long the master still answers when all is done: the last peers hear that it is.
pub const ENDING_MS: u64 = 500;
/// How often `tasks/` is looked into.
pub const FOLDER_MS: u64 = 500;
/// The end of a ZIP that is searched for its last record, in bytes: the record and its comment.
pub const ZIP_END_BYTES: u64 = 22 + 65_535;
/// How often the page, the bar and whoever else looks are told what has changed.
pub const SHOW_MS: u64 = 200;
/// Tasks and peers that a page lists; of more it shows the number.
pub const PAGE_ROWS_MAX: usize = 500;

/// A datagram of the discovery: two short fields.
pub const DATAGRAM_BYTES_MAX: usize = 1_024;
/// The port of the discovery (spec: Messages).
pub const DISCOVERY_PORT: u16 = 50005;
/// How long a peer waits for a master's announcement.
pub const ANNOUNCE_MS: u64 = 1_000;
/// A peer's first pause before it looks for the master again (spec: Messages).
pub const PAUSE_MS_MIN: u64 = 1_000;
/// Its longest pause (spec: Messages).
pub const PAUSE_MS_MAX: u64 = 30_000;
/// How soon a peer asks again when there was no task.
pub const ASK_AGAIN_MS: u64 = 1_000;
/// How soon a peer offers a result again that the master could not store.
pub const OFFER_AGAIN_MS: u64 = 5_000;
/// How long a peer that cannot work rests at most before it asks for a task again. At first it is
/// as short as [`PAUSE_MS_MIN`], and twice as long each time.
pub const REST_MS: u64 = 30_000;
/// Tasks that a peer remembers as those that it could not run. One of them that comes again and
/// cannot be run again has failed.
pub const TROUBLES_MAX: usize = 1_000;
/// Tasks that are named when their results cannot be delivered; the rest is counted.
pub const UNDELIVERED_NAMED_MAX: usize = 10;
/// How long a peer that leaves waits for a task that it has asked for, in order to give it back.
pub const LEAVE_MS_MAX: u64 = 2_000;
/// How long a master may be silent before the connection counts as lost.
pub const ANSWER_MS_MAX: u64 = 60_000;
/// Bytes that one read takes: archives are long.
pub const READ_BYTES: usize = 64 * 1024;
/// Messages of a master that the peer has not looked at yet.
pub const HEARD_MAX: usize = 16;
/// The stack of a thread that runs a task. Building a compressor takes some 300 KiB of it where
/// nothing is optimised.
pub const TASK_STACK_BYTES: usize = 2 * 1024 * 1024;
/// Tasks at a time that `--slots` takes.
pub const SLOTS_MAX: usize = 256;

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
/// What a connected socket of a script counts as memory, once for all that have it: what may wait
/// in it, as Linux has it (212992 and what was sent last). A script cannot make that more. At 256
/// descriptors for each of 64 processes, all together could be 4 GiB otherwise. Pipes need no such
/// count: the kernel gives all of one user 64 MiB.
pub const SOCKET_BYTES: u64 = 256 * 1024;
/// What a script may write, its output included: the kernel holds one file to it, and all
/// together are looked at every [`LOOK_MS`].
pub const WRITTEN_BYTES_MAX: u64 = UNPACKED_BYTES_MAX;
/// What a file counts as that is mapped, closed and removed, where its size cannot be asked: it can
/// be as large as any, so it is too much.
pub const UNASKED_BYTES: u64 = WRITTEN_BYTES_MAX + 1;
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
const _: () = assert!(TEXT_BYTES.is_multiple_of(4));
const _: () = assert!(SPOOL_LARGE_BYTES.is_multiple_of(SPOOL_FIRST_BYTES));
const _: () = assert!(HEARTBEAT_MS * 2 < SILENT_MS_MAX);
const _: () = assert!(NEWS_MS < SILENT_MS_MAX);
const _: () = assert!(PAUSE_MS_MIN < PAUSE_MS_MAX);
const _: () = assert!(TASK_NAME_BYTES_MAX < 255);
const _: () = assert!(LAST_WORDS_BYTES * 2 < RESULT_BYTES_MAX);
