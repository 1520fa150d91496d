//! Seccomp: which system calls a script may make.
//!
//! A list of what is refused, not of what is allowed: Python and the libraries that people use with
//! it make calls that no list of ours would foresee, and files, signals and other processes are
//! already behind other walls. Refused is what these walls do not see. A refused call fails with
//! `EPERM`, as if we lacked the right, so that a script that asks for it needlessly goes on.

use super::walls::Strength;
use nix::libc;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};
use std::collections::BTreeMap;

/// Never, with any argument.
const NEVER: &[i64] = &[
    // Networks. A pair of connected sockets is no network, and is allowed below.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // A file on its way through a pair is open, and no look finds it. Few send so: a pair has
    // `send`.
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // The kernel's other ways to do all that is refused here.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_migrate_pages,
    // Memory that outlives the script or that no limit counts.
    libc::SYS_memfd_create,
    libc::SYS_memfd_secret,
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Owners and attributes of files, which Landlock does not guard.
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    libc::SYS_quotactl,
    // The system as a whole.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// Of older processors only.
#[cfg(target_arch = "x86_64")]
const NEVER_OLD: &[i64] = &[
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_mknod,
    libc::SYS_inotify_init,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_OLD: &[i64] = &[];

/// Answered with "done" and not done: modes and times of files, which Landlock does not guard. With
/// `EPERM`, Python's own way to copy a file would fail.
const IGNORED: &[i64] =
    &[libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchmodat2, libc::SYS_utimensat];
#[cfg(target_arch = "x86_64")]
const IGNORED_OLD: &[i64] =
    &[libc::SYS_chmod, libc::SYS_utime, libc::SYS_utimes, libc::SYS_futimesat];
#[cfg(not(target_arch = "x86_64"))]
const IGNORED_OLD: &[i64] = &[];

/// Newer than the library's list, and the same numbers everywhere: `setxattrat`, `removexattrat`,
/// `open_tree_attr`, `file_setattr`.
const NEVER_NEW: [i64; 4] = [463, 466, 467, 469];

/// Answered with "no such call": what hides its arguments from us, and has an older way that does
/// not. Libraries then take that one.
const UNKNOWN: [i64; 2] = [libc::SYS_clone3, libc::SYS_openat2];

/// Answered with "this file system cannot": what reserves room that a file's size does not show.
/// The C library then writes instead.
const UNSUPPORTED: [i64; 1] = [libc::SYS_fallocate];

/// A second set of numbers for the same calls, which some kernels have.
const X32: i64 = 0x4000_0000;
/// Calls of this set that have numbers of their own.
const X32_OWN: std::ops::Range<i64> = X32 + 512..X32 + 600;

/// From now on, this process and all that it starts make none of these calls.
pub fn refuse(strength: Strength) -> Result<(), String> {
    let trouble = |error: &dyn std::fmt::Display| format!("cannot use seccomp: {error}");
    let mut refused = always(NEVER.iter().chain(NEVER_OLD).chain(&NEVER_NEW));
    refused.extend(sometimes(strength).map_err(|error| trouble(&error))?);
    if !strength.has_truncate {
        refused.extend(always([libc::SYS_truncate].iter()));
    }
    let ignored = always(IGNORED.iter().chain(IGNORED_OLD));
    if cfg!(target_arch = "x86_64") {
        refused.extend(X32_OWN.map(|call| (call, Vec::new())));
    }
    let unknown = always(UNKNOWN.iter());
    let unsupported = always(UNSUPPORTED.iter());
    for (rules, answer) in [
        (refused, libc::EPERM),
        (ignored, 0),
        (unknown, libc::ENOSYS),
        (unsupported, libc::EOPNOTSUPP),
    ] {
        let program = compile(rules, answer as u32).map_err(|error| trouble(&error))?;
        apply_filter(&program).map_err(|error| trouble(&error))?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn always<'a>(calls: impl Iterator<Item = &'a i64>) -> Rules {
    calls.map(|call| (*call, Vec::new())).collect()
}

/// The rules, and the same for the second set of numbers.
fn compile(mut rules: Rules, answer: u32) -> Result<BpfProgram, seccompiler::BackendError> {
    if cfg!(target_arch = "x86_64") {
        let twins: Vec<_> = rules.iter().map(|(call, when)| (call | X32, when.clone())).collect();
        rules.extend(twins);
    }
    let arch = std::env::consts::ARCH.try_into()?;
    let answer = SeccompAction::Errno(answer);
    SeccompFilter::new(rules, SeccompAction::Allow, answer, arch)?.try_into()
}

/// Refused with some arguments only.
fn sometimes(strength: Strength) -> Result<Rules, seccompiler::BackendError> {
    let mut rules = Rules::new();
    let mut add = |call: i64, when: &[(u8, SeccompCmpOp, u64)]| {
        let conditions = when.iter().map(|(arg, how, value)| {
            SeccompCondition::new(*arg, SeccompCmpArgLen::Dword, how.clone(), *value)
        });
        let rule = SeccompRule::new(conditions.collect::<Result<_, _>>()?)?;
        rules.entry(call).or_default().push(rule);
        Ok::<(), seccompiler::BackendError>(())
    };
    // Of pairs, only streams: one end of any other could write to whom it likes.
    let kind = MaskedEq(0xf);
    for other in (0..16).filter(|kind| *kind != libc::SOCK_STREAM as u64) {
        add(libc::SYS_socketpair, &[(1, kind.clone(), other)])?;
    }
    for flag in NAMESPACES {
        add(libc::SYS_clone, &[(0, MaskedEq(flag), flag)])?;
    }
    // On itself only.
    add(libc::SYS_prlimit64, &[(0, Ne, 0)])?;
    add(libc::SYS_sched_setaffinity, &[(0, Ne, 0)])?;
    add(libc::SYS_sched_setscheduler, &[(0, Ne, 0)])?;
    add(libc::SYS_sched_setparam, &[(0, Ne, 0)])?;
    add(libc::SYS_sched_setattr, &[(0, Ne, 0)])?;
    // Signals that the kernel sends for a file to whom its owner names.
    for command in [libc::F_SETOWN as u64, F_SETSIG, F_SETOWN_EX] {
        add(libc::SYS_fcntl, &[(1, Eq, command)])?;
    }
    let to_others = [FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX];
    for request in to_others.iter().chain(&RESERVE) {
        add(libc::SYS_ioctl, &[(1, Eq, *request)])?;
    }
    // What waits in a pair is counted by its usual size.
    for size in [libc::SO_SNDBUF, libc::SO_SNDBUFFORCE] {
        let level = libc::SOL_SOCKET as u64;
        add(libc::SYS_setsockopt, &[(1, Eq, level), (2, Eq, size as u64)])?;
    }
    if !strength.has_truncate {
        let cut = (libc::O_ACCMODE | libc::O_TRUNC) as u64;
        add(libc::SYS_openat, &[(2, MaskedEq(cut), libc::O_TRUNC as u64)])?;
        #[cfg(target_arch = "x86_64")]
        add(libc::SYS_open, &[(1, MaskedEq(cut), libc::O_TRUNC as u64)])?;
    }
    if !strength.has_signals {
        // To its own process group (0) or to the script itself, from which a child differs.
        let ourselves = u64::from(std::process::id());
        add(libc::SYS_kill, &[(0, Ne, 0), (0, Ne, ourselves)])?;
        for call in [libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo] {
            add(call, &[(0, Ne, ourselves)])?;
        }
        add(libc::SYS_tkill, &[(0, Ne, ourselves)])?;
    }
    Ok(rules)
}

/// `CLONE_NEW…`: mounts, control groups, names, messages, users, processes, networks.
const NAMESPACES: [u64; 7] = [
    libc::CLONE_NEWNS as u64,
    libc::CLONE_NEWCGROUP as u64,
    libc::CLONE_NEWUTS as u64,
    libc::CLONE_NEWIPC as u64,
    libc::CLONE_NEWUSER as u64,
    libc::CLONE_NEWPID as u64,
    libc::CLONE_NEWNET as u64,
];
const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
/// Older ways to reserve room in a file: `FS_IOC_RESVSP`, `FS_IOC_RESVSP64`, `FS_IOC_ZERO_RANGE`.
const RESERVE: [u64; 3] = [0x4030_5828, 0x4030_582a, 0x4030_5839];
