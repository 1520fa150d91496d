//! Landlock: which files a script may read and write.

use super::order::Order;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// What programs and libraries are made of, and the little that they read when they start.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

/// What the kernel's Landlock leaves to the other wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// It knows that cutting a file is writing (Linux 6.2).
    pub has_truncate: bool,
    /// It keeps signals within the script's processes (Linux 6.12).
    pub has_signals: bool,
}

/// From now on, this process and all that it starts reach nothing else.
pub fn raise(order: &Order) -> Result<Strength, String> {
    // Where we are is its folder, whose path it may not be able to walk.
    let here = PathFd::new(".").map_err(|error| format!("cannot open its folder: {error}"))?;
    let status = restrict(order, here).map_err(|error| format!("cannot use Landlock: {error}"))?;
    let LandlockStatus::Available { effective_abi, .. } = status else {
        return Err("this kernel has no Landlock, which keeps a script from your files".to_owned());
    };
    let has = |abi| effective_abi >= abi && !order.as_if_old;
    Ok(Strength { has_truncate: has(ABI::V3), has_signals: has(ABI::V6) })
}

fn restrict(order: &Order, here: PathFd) -> Result<LandlockStatus, RulesetError> {
    let newest = if order.as_if_old { ABI::V1 } else { ABI::V6 };
    let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let own = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSym
        | AccessFs::Refer;
    let write_null: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile;
    let all = AccessFs::from_all(newest);
    let mut rules = Ruleset::default().handle_access(all)?;
    if !order.as_if_old {
        rules = rules.handle_access(AccessNet::from_all(newest))?.scope(Scope::from_all(newest))?;
    }
    let status = rules
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(&order.readable, read))?
        .add_rules(path_beneath_rules(["/dev/null"], write_null))?
        .add_rule(PathBeneath::new(here, own & all))?
        .restrict_self()?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Ok(LandlockStatus::NotEnabled),
        _ => Ok(status.landlock),
    }
}
